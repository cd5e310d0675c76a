package redact

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ssmlocal/server/action"
	"ssmlocal/server/seed"
	"ssmlocal/server/tc3"
)

// wordsOfAnswers are the texts in answers that the service writes itself,
// wordsOfSeeds those in states that say nothing of their own, or that no
// exported state has.
var (
	wordsOfAnswers = strings.Fields(`AccountId CreateUinString Expiration ExpireTime KmsKeyType LatestRotateTime NextRotateBeginTime
		NextRotationTime PayModel PublicKey Regions RotatedTime RotationBeginTime Status TagMsg TargetUinString Type`)
	wordsOfSeeds = strings.Fields(`action beginTime createTime deleteTime dueTime effect env expireTime file kind latestRotateTime now offset
		publicKey region rotatedTime rotationBeginTime service status version`)
)

// textsIn calls found with each field that is a text or a list of them.
func textsIn(of reflect.Type, found func(reflect.StructField)) {
	element := func(t reflect.Type) reflect.Type {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		return t
	}
	if of = element(of); of.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(of) {
		if element(f.Type).Kind() == reflect.String && f.IsExported() {
			found(f)
		}
		textsIn(f.Type, found)
	}
}

// TestEveryTextOfAnAnswerHasAKind looks at all texts that an action gives: none
// is kept by accident.
func TestEveryTextOfAnAnswerHasAKind(t *testing.T) {
	t.Parallel()
	texts, fields := map[string]bool{}, map[string]bool{"Message": true, "Code": true}
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			textsIn(a.Reply, func(f reflect.StructField) {
				if anAnswer.kindOf(f.Name, nil) == kindPlain {
					texts[f.Name] = true
				}
			})
			for _, of := range []reflect.Type{a.Request, a.Reply} {
				fieldsOf(of, func(f reflect.StructField) string { return f.Name }, fields)
			}
		}
	}
	if got := slices.Sorted(maps.Keys(texts)); !slices.Equal(got, wordsOfAnswers) {
		t.Errorf("%q", got)
	}
	for field := range kinds {
		if !fields[field] && !slices.Contains(tc3.Common(), field) {
			t.Errorf("no action has the field %s", field)
		}
	}
}

// TestEveryTextOfASeedHasAKind looks at all texts that a state can have.
func TestEveryTextOfASeedHasAKind(t *testing.T) {
	t.Parallel()
	texts := map[string]bool{}
	textsIn(reflect.TypeFor[seed.File](), func(f reflect.StructField) {
		written, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if written != "" && aState.kindOf(written, nil) == kindPlain { // "" is a list that is written in place
			texts[written] = true
		}
	})
	if got := slices.Sorted(maps.Keys(texts)); !slices.Equal(got, wordsOfSeeds) {
		t.Errorf("%q", got)
	}
}
