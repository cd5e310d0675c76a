package action

import (
	"testing"

	"ssmlocal/server/ssm"
)

// FuzzTags takes two tags that pass the rules: the names of their lists are the
// same only if they are.
func FuzzTags(f *testing.F) {
	f.Add("a", "b", "a", "b")
	f.Add("a\x00b", "c", "a", "b\x00c")
	f.Add("k", "", "k\x00", "")
	f.Fuzz(func(t *testing.T, key1, value1, key2, value2 string) {
		one, two := ssm.Tag{TagKey: key1, TagValue: value1}, ssm.Tag{TagKey: key2, TagValue: value2}
		if ssm.CheckTags([]ssm.Tag{one}) != nil || ssm.CheckTags([]ssm.Tag{two}) != nil {
			return
		}
		o := ssm.NewOwner(1, "r")
		list := func(tag ssm.Tag) string { return string(scope(o)) + byTag(ssm.Custom, tag.TagKey, tag.TagValue) }
		if (list(one) == list(two)) != (one == two) {
			t.Errorf("%q and %q", one, two)
		}
		for _, other := range []string{byTagKey(ssm.Custom, key2), byResource(ssm.Custom, key2), byProduct(ssm.Custom, key2), byType(ssm.Custom, nil, nil)} {
			if byTag(ssm.Custom, key1, value1) == other {
				t.Errorf("%q is also the list %q", one, other)
			}
		}
	})
}
