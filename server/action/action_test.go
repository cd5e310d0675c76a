package action

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmlocal/fixtures"
	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
	"ssmlocal/store/storetest"
)

// TestTableIsTheDocumentedOne compares the table with the documented facts,
// both ways: actions, rates, every field of parameters and answers with its
// type and whether it must be given.
func TestTableIsTheDocumentedOne(t *testing.T) {
	api := facts(t)
	if api.Version != Version {
		t.Errorf("the version is %s, documented %s", Version, api.Version)
	}
	known := map[string]bool{}
	for _, a := range All() {
		known[a.Name] = true
		doc, ok := api.Actions[a.Name]
		if !ok {
			t.Errorf("%s is not documented", a.Name)
			continue
		}
		if a.Rate != doc.Rate {
			t.Errorf("%s: rate %d, documented %d", a.Name, a.Rate, doc.Rate)
		}
		compare(t, a.Name+" in", describe(a.Request), doc.In, api.Objects)
		compare(t, a.Name+" out", describe(a.Reply), doc.Out, api.Objects)
	}
	for name := range api.Actions {
		if !known[name] {
			t.Errorf("%s is documented and not in the table", name)
		}
	}
	if !slices.IsSortedFunc(All(), func(a, b *Action) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the table is not in alphabetical order")
	}
}

// TestDryRunIsWhereDocumented compares the actions that take DryRun with those
// that list DryRunOperation.
func TestDryRunIsWhereDocumented(t *testing.T) {
	for name, doc := range facts(t).Actions {
		i := slices.IndexFunc(All(), func(a *Action) bool { return a.Name == name })
		_, takes := All()[i].NewRequest().(dryRunner)
		if documented := slices.Contains(doc.Errors, "DryRunOperation"); takes != documented {
			t.Errorf("%s: takes DryRun: %t, documented: %t", name, takes, documented)
		}
	}
}

// TestUnpaidIsWhereDocumented compares the actions that need a purchase with
// those that list NotPurchased.
func TestUnpaidIsWhereDocumented(t *testing.T) {
	for name, doc := range facts(t).Actions {
		i := slices.IndexFunc(All(), func(a *Action) bool { return a.Name == name })
		if lists := slices.Contains(doc.Errors, "ResourceUnavailable.NotPurchased"); lists == All()[i].unpaid {
			t.Errorf("%s: works unpaid: %t, documented: %t", name, All()[i].unpaid, !lists)
		}
	}
}

// TestEveryDocumentedCodeHasAText looks for each code of each action in the set
// of errors.
func TestEveryDocumentedCodeHasAText(t *testing.T) {
	codes := map[string]bool{}
	for _, k := range apierr.Kinds() {
		codes[k.Code] = true
	}
	for name, doc := range facts(t).Actions {
		for _, code := range doc.Errors {
			if !codes[code] {
				t.Errorf("%s: no error has the code %s", name, code)
			}
		}
	}
}

// TestDryRunLeavesNothing runs a writing action with and without DryRun, and
// one that fails.
func TestDryRunLeavesNothing(t *testing.T) {
	type request struct {
		SecretName string
		DryRunnable
	}
	write := command(spec[request, NameReply]{Name: "Write", Do: func(c *Call, q *request) (*NameReply, error) {
		if q.SecretName == "taken" {
			return nil, apierr.SecretExists.With("taken", ssm.Enabled)
		}
		return &NameReply{q.SecretName}, c.create(&ssm.Secret{Name: q.SecretName})
	}})
	db := storetest.Open(t, Tables()...)
	c := &Call{Tx: Tx{Owner: ssm.Owner{Uin: 1, Region: "r"}, Now: time.Unix(1, 0), Random: zeros{}}, SecretLimit: 10}
	for _, step := range []struct {
		name   string
		dryRun bool
		want   *apierr.Kind
		held   uint64
	}{
		{"a", true, apierr.DryRunOperation, 0}, {"taken", true, apierr.SecretExists, 0}, {"a", false, nil, 1},
		{"a", true, apierr.SecretExists, 1}, {"b", true, apierr.DryRunOperation, 1},
	} {
		_, err := write.Run(db, c, &request{step.name, DryRunnable{step.dryRun}})
		var got *apierr.Error
		if step.want == nil && err != nil || step.want != nil && (!errors.As(err, &got) || got.Kind != step.want) {
			t.Errorf("%+v: %v", step, err)
		}
		_ = db.View(func(tx *store.Tx) error {
			c.tx = tx
			if held := c.held(); held != step.held {
				t.Errorf("%+v: %d secrets are there", step, held)
			}
			return nil
		})
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func facts(t *testing.T) fixtures.API {
	t.Helper()
	api, err := fixtures.Facts()
	if err != nil {
		t.Fatal(err)
	}
	return api
}

type object struct {
	fields []fixtures.Parameter
	nested map[string]object // by field
}

// describe reads a struct type as the documentation would list it.
func describe(t reflect.Type) object {
	o := object{nested: map[string]object{}}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || f.Name == "DryRun" {
			continue
		}
		p := fixtures.Parameter{Name: f.Name, Required: f.Tag.Get("tc3") == "required"}
		kind := f.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if kind.Kind() == reflect.Slice {
			p.Type, kind = "[]", kind.Elem()
		}
		if kind.Kind() == reflect.Struct {
			o.nested[f.Name] = describe(kind)
			p.Type += "object"
		} else {
			p.Type += kind.Kind().String()
		}
		o.fields = append(o.fields, p)
	}
	return o
}

func compare(t *testing.T, where string, have object, want []fixtures.Parameter, objects map[string][]fixtures.Parameter) {
	t.Helper()
	var flat []fixtures.Parameter
	for _, p := range want {
		name := strings.TrimPrefix(p.Type, "[]")
		if fields, ok := objects[name]; ok {
			compare(t, where+"."+p.Name, have.nested[p.Name], fields, objects)
			p.Type = strings.TrimSuffix(p.Type, name) + "object"
		}
		flat = append(flat, p)
	}
	if a, b := lines(have.fields), lines(flat); a != b {
		t.Errorf("%s:\n%s\ndocumented:\n%s", where, a, b)
	}
}

func lines(fields []fixtures.Parameter) string {
	var all []string
	for _, p := range fields {
		all = append(all, fmt.Sprintf("%s %s required=%t", p.Name, p.Type, p.Required))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}
