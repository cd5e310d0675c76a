package action

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
)

// The tag service, as far as it is about secrets: Terraform's provider reads
// and writes tags only through it. There is one set of tags, that of the
// secrets; ListSecrets' TagFilters see what these actions change.
//
// Numbers such as 651/33012 are pages of the vendor's documentation of that
// service.

// The versions of the tag service and of STS are the same.
const (
	TagVersion = "2018-08-13"
	STSVersion = TagVersion
)

// resource is a secret as the tag service names it:
// qcs::ssm:<region>:uin/<uin>:secret/creatorUin/<uin>/<name>, where the first
// uin may be left out.
type resource struct{ region, name string }

func (c *Call) parseResource(text string) (resource, error) {
	parts := strings.SplitN(text, ":", 6)
	if len(parts) != 6 || parts[0] != "qcs" {
		return resource{}, apierr.BadResource.With(text)
	}
	uin := strconv.FormatUint(c.Owner.Uin, 10)
	name, ok := strings.CutPrefix(parts[5], "secret/creatorUin/"+uin+"/")
	account := strings.TrimPrefix(parts[4], "uin/")
	if !ok || parts[2] != Service || account != "" && account != uin || ssm.CheckName(name) != nil {
		return resource{}, apierr.BadResource.With(text)
	}
	return resource{parts[3], name}, nil
}

// tagged finds the secret that a resource means, in whatever region that is.
func (c *Call) tagged(text string) (*ssm.Secret, error) {
	r, err := c.parseResource(text)
	if err != nil {
		return nil, err
	}
	c.Owner.Region = r.region
	return c.find(ssm.Describe, r.name)
}

// retag replaces and removes tags of one secret.
func (c *Call) retag(text string, replace []Tag, remove []string) error {
	s, err := c.tagged(text)
	if err != nil {
		return err
	}
	tags := slices.DeleteFunc(s.Tags, func(t ssm.Tag) bool {
		same := func(r Tag) bool { return r.TagKey == t.TagKey }
		return slices.Contains(remove, t.TagKey) || slices.ContainsFunc(replace, same)
	})
	s.Tags = append(tags, modelTags(replace)...)
	if err := ssm.CheckTags(s.Tags); err != nil {
		return err
	}
	return c.put(s)
}

// ResourceTagsRequest has the parameters of DescribeResourceTagsByResourceIds.
type ResourceTagsRequest struct {
	ServiceType    string   `tc3:"required"` // ssm
	ResourcePrefix string   `tc3:"required"` // secret
	ResourceIds    []string `tc3:"required"` // creatorUin/<uin>/<name>
	ResourceRegion string   `tc3:"required"`
	Offset, Limit  uint64   // Limit 0 is 15
}

// resource is one of the resources, as the other actions name it.
func (q *ResourceTagsRequest) resource(id string) string {
	return fmt.Sprintf("qcs::%s:%s::%s/%s", q.ServiceType, q.ResourceRegion, q.ResourcePrefix, id)
}

// ResourceTagsReply is the answer of DescribeResourceTagsByResourceIds.
type ResourceTagsReply struct {
	TotalCount, Offset, Limit uint64
	Tags                      []TagResource
}

// A TagResource is one tag of one resource.
type TagResource struct{ TagKey, TagValue, ResourceId string }

// 651/33003 for the rate. A resource that is not there has no tags.
var describeResourceTagsByResourceIds = query(spec[ResourceTagsRequest, ResourceTagsReply]{
	Name: "DescribeResourceTagsByResourceIds", Rate: 100, Service: tagService, Unpaid: true,
	Tagged: func(q *ResourceTagsRequest) (all []string) {
		for _, id := range q.ResourceIds {
			all = append(all, q.resource(id))
		}
		return all
	},
	Do: func(c *Call, q *ResourceTagsRequest) (*ResourceTagsReply, error) {
		reply := &ResourceTagsReply{Offset: q.Offset, Limit: cmp.Or(q.Limit, 15)}
		var all []TagResource
		for _, id := range q.ResourceIds {
			s, err := c.tagged(q.resource(id))
			if refused := (*apierr.Error)(nil); errors.As(err, &refused) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, t := range s.Tags {
				all = append(all, TagResource{t.TagKey, t.TagValue, id})
			}
		}
		reply.TotalCount = uint64(len(all))
		from := min(q.Offset, reply.TotalCount)
		reply.Tags = all[from : from+min(reply.Limit, reply.TotalCount-from)]
		return reply, nil
	},
})

// ModifyResourceTagsRequest has the parameters of ModifyResourceTags. One of
// the lists must have something in it.
type ModifyResourceTagsRequest struct {
	Resource    string `tc3:"required"`
	ReplaceTags []Tag
	DeleteTags  []TagKeyObject
}

// A TagKeyObject names a tag.
type TagKeyObject struct {
	TagKey string `tc3:"required"`
}

// 651/33012.
var modifyResourceTags = command(spec[ModifyResourceTagsRequest, EmptyReply]{
	Name: "ModifyResourceTags", Rate: 20, Service: tagService, Unpaid: true,
	Tagged: func(q *ModifyResourceTagsRequest) []string { return []string{q.Resource} },
	Check: func(q *ModifyResourceTagsRequest) error {
		for _, d := range q.DeleteTags {
			if slices.ContainsFunc(q.ReplaceTags, func(t Tag) bool { return t.TagKey == d.TagKey }) {
				return apierr.InvalidParameterValue.With("DeleteTags")
			}
		}
		if len(q.ReplaceTags)+len(q.DeleteTags) == 0 {
			return apierr.InvalidParameterValue.With("ReplaceTags")
		}
		return ssm.CheckTags(modelTags(q.ReplaceTags))
	},
	Do: func(c *Call, q *ModifyResourceTagsRequest) (*EmptyReply, error) {
		var remove []string
		for _, d := range q.DeleteTags {
			remove = append(remove, d.TagKey)
		}
		return &EmptyReply{}, c.retag(q.Resource, q.ReplaceTags, remove)
	},
})

// TagResourcesRequest has the parameters of TagResources.
type TagResourcesRequest struct {
	ResourceList []string `tc3:"required"`
	Tags         []Tag    `tc3:"required"`
}

// FailedReply is the answer of TagResources and UnTagResources: the resources
// for which it failed.
type FailedReply struct{ FailedResources []FailedResource }

// A FailedResource is a resource with the reason why it was left as it was.
type FailedResource struct{ Resource, Code, Message string }

// 651/33003 for the rate.
var tagResources = command(spec[TagResourcesRequest, FailedReply]{
	Name: "TagResources", Rate: 20, Service: tagService, Unpaid: true,
	Tagged: func(q *TagResourcesRequest) []string { return q.ResourceList },
	Check:  func(q *TagResourcesRequest) error { return ssm.CheckTags(modelTags(q.Tags)) },
	Do: func(c *Call, q *TagResourcesRequest) (*FailedReply, error) {
		return c.retagAll(q.ResourceList, q.Tags, nil)
	},
})

// UnTagResourcesRequest has the parameters of UnTagResources.
type UnTagResourcesRequest struct {
	ResourceList []string `tc3:"required"`
	TagKeys      []string `tc3:"required"`
}

// 651/33003 for the rate.
var unTagResources = command(spec[UnTagResourcesRequest, FailedReply]{
	Name: "UnTagResources", Rate: 20, Service: tagService, Unpaid: true,
	Tagged: func(q *UnTagResourcesRequest) []string { return q.ResourceList },
	Do: func(c *Call, q *UnTagResourcesRequest) (*FailedReply, error) {
		return c.retagAll(q.ResourceList, nil, q.TagKeys)
	},
})

// ResourceTagRequest has the parameters of AddResourceTag and
// UpdateResourceTagValue: a tag of one resource.
type ResourceTagRequest struct {
	TagKey   string `tc3:"required"`
	TagValue string `tc3:"required"`
	Resource string `tc3:"required"`
}

func (q *ResourceTagRequest) tagged() []string { return []string{q.Resource} }

func (q *ResourceTagRequest) tags() []Tag { return []Tag{{q.TagKey, q.TagValue}} }

// 651/33016. Terraform's tencentcloud_tag_attachment calls this,
// UpdateResourceTagValue and DeleteResourceTag.
var addResourceTag = command(spec[ResourceTagRequest, EmptyReply]{
	Name: "AddResourceTag", Rate: 20, Service: tagService, Unpaid: true,
	Tagged: (*ResourceTagRequest).tagged,
	Check:  func(q *ResourceTagRequest) error { return ssm.CheckTags(modelTags(q.tags())) },
	Do: func(c *Call, q *ResourceTagRequest) (*EmptyReply, error) {
		if err := c.wantTag(q.Resource, q.TagKey, false); err != nil {
			return nil, err
		}
		return &EmptyReply{}, c.retag(q.Resource, q.tags(), nil)
	},
})

// 651/33011.
var updateResourceTagValue = command(spec[ResourceTagRequest, EmptyReply]{
	Name: "UpdateResourceTagValue", Rate: 20, Service: tagService, Unpaid: true,
	Tagged: (*ResourceTagRequest).tagged,
	Check:  func(q *ResourceTagRequest) error { return ssm.CheckTags(modelTags(q.tags())) },
	Do: func(c *Call, q *ResourceTagRequest) (*EmptyReply, error) {
		if err := c.wantTag(q.Resource, q.TagKey, true); err != nil {
			return nil, err
		}
		return &EmptyReply{}, c.retag(q.Resource, q.tags(), nil)
	},
})

// DeleteResourceTagRequest has the parameters of DeleteResourceTag.
type DeleteResourceTagRequest struct {
	TagKey   string `tc3:"required"`
	Resource string `tc3:"required"`
}

// Its rate is that of the other two.
var deleteResourceTag = command(spec[DeleteResourceTagRequest, EmptyReply]{
	Name: "DeleteResourceTag", Rate: 20, Service: tagService, Unpaid: true,
	Tagged: func(q *DeleteResourceTagRequest) []string { return []string{q.Resource} },
	Do: func(c *Call, q *DeleteResourceTagRequest) (*EmptyReply, error) {
		if err := c.wantTag(q.Resource, q.TagKey, true); err != nil {
			return nil, err
		}
		return &EmptyReply{}, c.retag(q.Resource, nil, []string{q.TagKey})
	},
})

// wantTag refuses a resource that has a tag key although it must not, or lacks
// one that it must have.
func (c *Call) wantTag(text, key string, want bool) error {
	s, err := c.tagged(text)
	if err != nil {
		return err
	}
	has := slices.ContainsFunc(s.Tags, func(t ssm.Tag) bool { return t.TagKey == key })
	switch {
	case has && !want:
		return apierr.TagKeyAttached.With(key, s.Name)
	case !has && want:
		return apierr.TagKeyNotAttached.With(key, s.Name)
	}
	return nil
}

func (c *Call) retagAll(resources []string, replace []Tag, remove []string) (*FailedReply, error) {
	reply := &FailedReply{}
	for _, text := range resources {
		err := c.retag(text, replace, remove)
		if refused, ok := err.(*apierr.Error); ok {
			reply.FailedResources = append(reply.FailedResources, FailedResource{text, refused.Kind.Code, refused.Message(apierr.English)})
		} else if err != nil {
			return nil, err
		}
	}
	return reply, nil
}

// GetResourcesRequest has the parameters of GetResources. With a ResourceList,
// MaxResults has no effect.
type GetResourcesRequest struct {
	ResourceList    []string
	TagFilters      []TagFilter
	PaginationToken string
	MaxResults      uint64 // 0 is 50
}

// GetResourcesReply is the answer of GetResources. PaginationToken is "" with
// the last page.
type GetResourcesReply struct {
	PaginationToken        string
	ResourceTagMappingList []ResourceTags
}

// ResourceTags is a resource with its tags.
type ResourceTags struct {
	Resource string
	Tags     []TagPair
}

// A TagPair is a tag in an answer.
type TagPair struct{ TagKey, TagValue string }

// 651/46539. Resources without a tag are not listed.
var getResources = query(spec[GetResourcesRequest, GetResourcesReply]{
	Name: "GetResources", Rate: 20, Service: tagService, Unpaid: true,
	Tagged: func(q *GetResourcesRequest) []string { return q.ResourceList },
	Check: func(q *GetResourcesRequest) error {
		if _, err := strconv.ParseUint(cmp.Or(q.PaginationToken, "0"), 10, 64); err != nil {
			return apierr.InvalidParameterValue.With("PaginationToken")
		}
		return nil
	},
	Do: func(c *Call, q *GetResourcesRequest) (*GetResourcesReply, error) {
		var all []ResourceTags
		err := secrets.Scan(c.tx, AccountKey(c.Owner.Uin, c.Owner.Generation), func(key []byte, s *ssm.Secret) error {
			o, _ := splitSecretKey(key)
			if len(s.Tags) == 0 || !matchesTags(s.Tags, q.TagFilters) || len(q.ResourceList) > 0 && !c.listed(q.ResourceList, resource{o.Region, s.Name}) {
				return nil
			}
			r := ResourceTags{Resource: o.Resource(s.Name)}
			if c.Denied != nil && c.Denied(r.Resource) {
				return nil
			}
			for _, t := range s.Tags {
				r.Tags = append(r.Tags, TagPair(t))
			}
			all = append(all, r)
			return nil
		})
		if err != nil || len(q.ResourceList) > 0 {
			return &GetResourcesReply{ResourceTagMappingList: all}, err
		}
		token, _ := strconv.ParseUint(cmp.Or(q.PaginationToken, "0"), 10, 64) // checked
		from := min(token, uint64(len(all)))
		to := min(from+min(cmp.Or(q.MaxResults, 50), 200), uint64(len(all)))
		reply := &GetResourcesReply{ResourceTagMappingList: all[from:to]}
		if to < uint64(len(all)) {
			reply.PaginationToken = strconv.FormatUint(to, 10)
		}
		return reply, nil
	},
})

func (c *Call) listed(resources []string, want resource) bool {
	return slices.ContainsFunc(resources, func(text string) bool {
		r, err := c.parseResource(text)
		return err == nil && r == want
	})
}

func matchesTags(tags []ssm.Tag, filters []TagFilter) bool {
	for _, f := range filters {
		matches := func(t ssm.Tag) bool {
			return t.TagKey == f.TagKey && (len(f.TagValue) == 0 || slices.Contains(f.TagValue, t.TagValue))
		}
		if !slices.ContainsFunc(tags, matches) {
			return false
		}
	}
	return true
}

const tagService = "tag"
