package redact

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"ssmlocal/server/action"
	"ssmlocal/server/tc3"
)

// wordsOfAnswers are the texts in answers that the service writes itself.
var wordsOfAnswers = []string{
	"AccountId", "CreateUinString", "Expiration", "ExpireTime", "KmsKeyType", "LatestRotateTime", "NextRotateBeginTime", "NextRotationTime",
	"PayModel", "PublicKey", "Regions", "RotatedTime", "RotationBeginTime", "Status", "TagMsg", "TargetUinString", "Type",
}

// TestEveryTextHasAKind looks at all texts that an action takes or gives: each
// is known, and none in an answer is kept by accident.
func TestEveryTextHasAKind(t *testing.T) {
	t.Parallel()
	texts := map[string]bool{}
	var visit func(reflect.Type)
	visit = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct {
			return
		}
		for _, f := range reflect.VisibleFields(of) {
			element := f.Type
			for element.Kind() == reflect.Pointer || element.Kind() == reflect.Slice {
				element = element.Elem()
			}
			if element.Kind() == reflect.String && anAnswer.kindOf(f.Name, nil) == plain {
				texts[f.Name] = true
			}
			visit(f.Type)
		}
	}
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			visit(a.Reply)
		}
	}
	if got := slices.Sorted(maps.Keys(texts)); !slices.Equal(got, wordsOfAnswers) {
		t.Errorf("%q", got)
	}
	known := map[string]bool{"Message": true, "Code": true}
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			for _, of := range []reflect.Type{a.Request, a.Reply} {
				fieldsOf(of, func(f reflect.StructField) string { return f.Name }, known)
			}
		}
	}
	for field := range kinds {
		if !known[field] && !parameters()[field] && !slices.Contains(tc3.Common(), field) {
			t.Errorf("no action has the field %s", field)
		}
	}
}
