package action

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"

	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// ListSecretsRequest has the parameters of ListSecrets.
type ListSecretsRequest struct {
	Offset           uint64
	Limit            uint64 // 0 for 20. No limit is documented; Terraform's provider relies on 200.
	OrderType        uint64 // 0 newest first, 1 oldest first
	State            uint64 // 0 all, 1 Enabled, 2 Disabled, 3 PendingDelete, 4 Creating, 5 Failed
	SearchSecretName string // a part of the name, as it is written
	TagFilters       []TagFilter
	SecretType       uint64 // 0 is custom; no value means all
	ProductName      string // one or more, with commas between; only for SecretType 1
	EncryptType      *uint64
	InstanceID       string // equal to ResourceID
}

// A TagFilter asks for secrets with a tag key and, if values are given, one of
// these values. Several filters must all match. The parameter is undocumented;
// this is the rule of other services of the cloud.
type TagFilter struct {
	TagKey   string `tc3:"required"`
	TagValue []string
}

// ListSecretsReply is the answer of ListSecrets. TotalCount counts all that the
// filters let through.
type ListSecretsReply struct {
	TotalCount      uint64
	SecretMetadatas []SecretMetadata
}

// SecretMetadata is what a list shows of a secret. Times are unix seconds.
type SecretMetadata struct {
	SecretName            string
	Description           string
	KmsKeyId              string
	CreateUin             uint64
	Status                string
	DeleteTime            uint64
	CreateTime            uint64
	KmsKeyType            string // DEFAULT or CUSTOMER
	RotationStatus        int64
	NextRotationTime      uint64
	SecretType            int64
	ProductName           string
	ResourceName          string
	ProjectID             int64
	AssociatedInstanceIDs []string
	TargetUin             uint64
	RotationFrequency     int64
	ResourceID            string
	RotationBeginTime     string
	EncryptType           uint64
	EncryptSwitching      bool
	CreateUinString       string
	TargetUinString       string
}

// states has what the State filter's numbers from 1 on mean.
var states = []ssm.Status{ssm.Enabled, ssm.Disabled, ssm.PendingDelete, ssm.Creating, ssm.Failed}

const defaultLimit = 20

// 1078/38646, 1140/40519.
var listSecrets = query(spec[ListSecretsRequest, ListSecretsReply]{
	Name: "ListSecrets", Rate: 30,
	Check: func(q *ListSecretsRequest) error {
		if err := checkChoice("OrderType", q.OrderType, 1); err != nil {
			return err
		}
		if err := checkChoice("State", q.State, uint64(len(states))); err != nil {
			return err
		}
		if err := checkChoice("SecretType", q.SecretType, uint64(ssm.Redis)); err != nil {
			return err
		}
		if q.EncryptType == nil {
			return nil
		}
		return checkChoice("EncryptType", *q.EncryptType, 1)
	},
	Do: func(c *Call, q *ListSecretsRequest) (*ListSecretsReply, error) {
		page := secrets.Select(c.tx, c.listQuery(q))
		reply := &ListSecretsReply{TotalCount: page.Total}
		for _, key := range page.Keys {
			s, err := secrets.Get(c.tx, key)
			if err != nil {
				return nil, err
			}
			reply.SecretMetadatas = append(reply.SecretMetadatas, c.metadata(s))
		}
		return reply, nil
	},
})

// listQuery says in which lists the wanted secrets are.
func (c *Call) listQuery(q *ListSecretsRequest) store.Query {
	t, owner := ssm.Type(q.SecretType), string(scope(c.Owner))
	out := store.Query{Reverse: q.OrderType == 0, Offset: q.Offset, Limit: cmp.Or(q.Limit, defaultLimit)}
	for _, lists := range append(filterLists(t, q), stateLists(t, q)...) {
		slices.Sort(lists)
		lists = slices.Compact(lists)
		for i := range lists {
			lists[i] = owner + lists[i]
		}
		out.All = append(out.All, lists)
	}
	if len(out.All) == 0 { // every other list is of one type already
		out.All = [][]string{{owner + byType(t, nil, nil)}}
	}
	if q.SearchSecretName != "" {
		part := []byte(q.SearchSecretName)
		out.Match = func(key []byte) bool { return bytes.Contains(key[len(owner):], part) }
	}
	return out
}

// filterLists are the lists of products, instances and tags: one group for each
// filter, its alternatives in it.
func filterLists(t ssm.Type, q *ListSecretsRequest) (groups [][]string) {
	if q.ProductName != "" && t == ssm.Product {
		var lists []string
		for name := range strings.SplitSeq(q.ProductName, ",") {
			lists = append(lists, byProduct(t, strings.TrimSpace(name)))
		}
		groups = append(groups, lists)
	}
	if q.InstanceID != "" {
		groups = append(groups, []string{byResource(t, q.InstanceID)})
	}
	for _, f := range q.TagFilters {
		var lists []string
		for _, value := range f.TagValue {
			lists = append(lists, byTag(t, f.TagKey, value))
		}
		if len(f.TagValue) == 0 {
			lists = []string{byTagKey(t, f.TagKey)}
		}
		groups = append(groups, lists)
	}
	return groups
}

// stateLists is the list of a status, a key type or both, if one is asked for.
func stateLists(t ssm.Type, q *ListSecretsRequest) [][]string {
	var status *ssm.Status
	if q.State > 0 {
		status = &states[q.State-1]
	}
	var software *bool
	if q.EncryptType != nil {
		is := *q.EncryptType == 1
		software = &is
	}
	if status == nil && software == nil {
		return nil
	}
	return [][]string{{byType(t, status, software)}}
}

// metadata returns what a list shows of a secret; DescribeSecret shows it, too.
func (c *Call) metadata(s *ssm.Secret) SecretMetadata {
	m := SecretMetadata{
		SecretName: s.Name, Description: s.Description, Status: s.Status().String(),
		KmsKeyId:  s.KeyID(c.Owner),
		CreateUin: c.Owner.Uin, CreateUinString: strconv.FormatUint(c.Owner.Uin, 10),
		CreateTime: ssm.Unix(s.CreatedAt), DeleteTime: ssm.Unix(s.DeleteAt),
		SecretType: int64(s.Type), ProductName: s.ProductName, ResourceID: s.ResourceID,
		ResourceName: s.ResourceName, ProjectID: s.ProjectID,
		TargetUin: s.TargetUin, TargetUinString: strconv.FormatUint(s.TargetUin, 10),
		RotationFrequency: s.Rotation.Frequency, RotationBeginTime: s.Rotation.Begin,
		NextRotationTime: uint64(s.Rotation.NextAt),
	}
	if s.Rotation.Enabled {
		m.RotationStatus = 1
	}
	if m.ProductName == "" {
		m.ProductName = s.Type.ProductName()
	}
	switch {
	case s.SoftwareKey:
		m.EncryptType = 1
	case s.KmsKeyID != "":
		m.KmsKeyType = "CUSTOMER"
	default:
		m.KmsKeyType = "DEFAULT"
	}
	return m
}
