package seed

import (
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"ssmlocal/server/account"
	"ssmlocal/server/clock"
	"ssmlocal/server/ssm"
)

// Write writes a state as a document that makes it again: sorted, and without what goes without saying, so that two
// states differ in few lines. Times are absolute.
func Write(s *State) ([]byte, error) {
	f := File{Clock: describeClock(s.Clock), Faults: s.Faults}
	accounts := map[uint64]*Account{}
	of := func(uin uint64) *Account {
		if accounts[uin] == nil {
			accounts[uin] = &Account{Uin: uin}
		}
		return accounts[uin]
	}
	for _, e := range s.Estates {
		describeEstate(of(e.Uin), e)
	}
	for _, r := range s.Roles { // by account and name
		of(r.Uin).Roles = append(of(r.Uin).Roles, Role{r.Name, r.Policies, r.Bound, r.Seconds})
	}
	for _, c := range s.Credentials {
		of(c.Uin).Credentials = append(of(c.Uin).Credentials, describeCredential(c))
	}
	for _, uin := range slices.Sorted(maps.Keys(accounts)) {
		a := accounts[uin]
		slices.SortFunc(a.Credentials, func(a, b Credential) int { return strings.Compare(a.SecretID, b.SecretID) })
		f.Accounts = append(f.Accounts, *a)
	}
	if f.Clock == nil && f.Accounts == nil && f.Faults == nil {
		return []byte("{}\n"), nil
	}
	return yaml.Dump(&f, yaml.WithLineWidth(-1), yaml.WithCompactSeqIndent(false))
}

func describeClock(c clock.State) *Clock {
	switch {
	case c.Frozen:
		return &Clock{Now: time.Unix(0, c.At).UTC().Format(time.RFC3339Nano), Frozen: true}
	case c.Offset != 0:
		return &Clock{Offset: time.Duration(c.Offset).String()}
	}
	return nil
}

// moment writes a time in nanoseconds, "" for none.
func moment(nanoseconds int64) string {
	if nanoseconds == 0 {
		return ""
	}
	return time.Unix(0, nanoseconds).UTC().Format(time.RFC3339Nano)
}

func describeCredential(c account.Credential) Credential {
	return Credential{
		SecretID: c.SecretID, SecretKey: c.SecretKey, User: c.User, Token: c.Token, ExpireTime: moment(c.ExpiresAt), Policies: c.Policies,
	}
}

func describeEstate(a *Account, e *ssm.Estate) {
	d := e.Data
	a.Postpaid, a.SecretLimit, a.Isolated = d.Postpaid, d.SecretLimit, slices.Sorted(slices.Values(d.Isolated))
	if d.Service != ssm.Bought {
		a.Service = d.Service.String()
	}
	for id, state := range d.KmsKeys {
		if a.KmsKeys == nil {
			a.KmsKeys = map[string]string{}
		}
		a.KmsKeys[id] = state.String()
	}
	for _, uin := range slices.Sorted(maps.Keys(d.Users)) {
		a.Users = append(a.Users, User{uin, d.Users[uin].OtherKeys})
	}
	for _, h := range e.Secrets {
		a.Secrets = append(a.Secrets, describeSecret(h))
	}
	for _, id := range slices.Sorted(maps.Keys(e.Tasks)) {
		t := e.Tasks[id]
		out := Task{
			FlowID: id, Kind: t.Kind.String(), Region: region(t.Region), SecretName: t.SecretName, BeginTime: moment(t.BeganAt),
			DueTime: moment(t.DueAt), Polls: t.Polls, Fails: t.Fails,
		}
		if t.Status != ssm.TaskRunning {
			out.Status = taskStatuses[t.Status]
		}
		a.Tasks = append(a.Tasks, out)
	}
}

// region leaves out the default.
func region(r string) string {
	if r == ssm.DefaultRegion {
		return ""
	}
	return r
}

func describeSecret(h *ssm.Holding) Secret {
	s := &h.Secret
	out := Secret{
		SecretName: s.Name, Region: region(h.Region), SecretType: uint64(s.Type), CreateTime: moment(s.CreatedAt), DeleteTime: moment(s.DeleteAt),
		Description: s.Description, KmsKeyID: s.KmsKeyID, AdditionalConfig: s.AdditionalConfig, FlowID: s.FlowID,
		CreationFailed: s.DeleteAt != 0 && s.Birth == ssm.MakingFailed, TargetUin: s.TargetUin,
	}
	if s.Status() != ssm.Enabled {
		out.Status = s.Status().String()
	}
	if s.SoftwareKey {
		out.EncryptType = 1
	}
	for _, t := range s.Tags {
		out.Tags = append(out.Tags, Tag{t.TagKey, t.TagValue})
	}
	describeVersions(&out, h)
	out.LatestRotateTime = moment(s.Rotation.LastAt)
	switch s.Type {
	case ssm.Custom, ssm.AccessKey:
		out.ResourceID = s.ResourceID
	case ssm.Product:
		describeProduct(&out, s)
	case ssm.SSHKeyPair:
		out.ProjectID, out.SSHKeyID, out.SSHKeyName = s.ProjectID, s.ResourceID, s.ResourceName
		if h.KeyPair != nil {
			out.PublicKey, out.PrivateKey = h.KeyPair.Public, h.KeyPair.Private
		}
	}
	for _, k := range h.Keys {
		out.AccessKeys = append(out.AccessKeys, AccessKey{k.SecretID, k.SecretKey})
	}
	return out
}

func describeVersions(out *Secret, h *ssm.Holding) {
	for _, id := range slices.Sorted(maps.Keys(h.Versions)) {
		v := h.Versions[id]
		created := moment(v.CreatedAt)
		if v.CreatedAt == h.Secret.CreatedAt {
			created = ""
		}
		out.Versions = append(out.Versions, Version{id, created, v.String, v.Binary})
	}
	if v := out.Versions; len(v) == 1 && v[0].VersionID == ssm.CurrentVersion && v[0].CreateTime == "" {
		out.SecretString, out.SecretBinary, out.Versions = v[0].SecretString, v[0].SecretBinary, nil
	}
}

func describeProduct(out *Secret, s *ssm.Secret) {
	out.ProductName, out.ResourceID = s.ProductName, s.ResourceID
	if !slices.Equal(s.Domains, []string{"%"}) {
		out.Domains = s.Domains
	}
	out.EnableRotation, out.RotationBeginTime = s.Rotation.Enabled, s.Rotation.Begin
	if s.Rotation.Frequency != ssm.MinFrequency {
		out.RotationFrequency = s.Rotation.Frequency
	}
	for _, a := range s.Accounts {
		out.DatabaseAccounts = append(out.DatabaseAccounts, DBAccount{a.Name, a.Version, moment(a.RotatedAt)})
	}
}
