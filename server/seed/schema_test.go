package seed

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"ssmlocal/fixtures"
	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/fault"
	"ssmlocal/server/ssm"
)

const schemaFile = "../../fixtures/seed.schema.json"

// TestSchemaLists compares the schema's actions and regions with those that
// exist; -update writes them.
func TestSchemaLists(t *testing.T) {
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			names = append(names, a.Name)
		}
	}
	want := string(text)
	for list, values := range map[string][]string{"region": ssm.Regions(), "action": names} {
		found := regexp.MustCompile(`(?s)("` + list + `": \{\s*(?:"description": "[^"]*",\s*)?"enum": )\[.*?\]`)
		line, _ := json.Marshal(values)
		want = found.ReplaceAllString(want, "${1}"+strings.ReplaceAll(string(line), ",", ", "))
	}
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatal("the schema lists other actions or regions than there are: run go test ./server/seed -update")
	}
	if err := os.WriteFile(schemaFile, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

var update = flag.Bool("update", false, "write the schema's lists anew")

// TestSchemaFields compares the fields of the schema with those that the loader
// reads, in both directions.
func TestSchemaFields(t *testing.T) {
	text, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]struct {
			Properties           map[string]any `json:"properties"`
			AdditionalProperties any            `json:"additionalProperties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	objects := map[string]bool{}
	for _, of := range []any{
		File{}, Clock{}, Account{}, Instance{}, Privilege{}, Order{}, User{}, Role{}, Credential{}, Secret{}, Version{}, From{}, DBAccount{}, AccessKey{}, Task{},
		account.Policy{}, account.Statement{}, fault.Rule{}, fault.Effect{}, fault.Error{},
	} {
		x := reflect.TypeOf(of)
		def, ok := schema.Defs[x.Name()]
		objects[x.Name()] = true
		if !ok || def.AdditionalProperties != false {
			t.Errorf("the schema has no %s, or lets it have any field", x.Name())
		}
		fields := map[string]bool{}
		for _, name := range yamlFields(x) {
			fields[name] = true
			if _, ok := def.Properties[name]; !ok {
				t.Errorf("%s: the schema has no %s", x.Name(), name)
			}
		}
		for name := range def.Properties {
			if !fields[name] {
				t.Errorf("%s: the loader has no %s", x.Name(), name)
			}
		}
	}
	for name, def := range schema.Defs {
		if def.Properties != nil && !objects[name] {
			t.Errorf("%s is compared with nothing", name)
		}
	}
}

// TestSchemaAgrees gives the same documents to the schema and to the loader:
// built-in seeds, which both take, and mistakes of form, which both refuse. No
// schema can find what only the model knows, such as two secrets with one name.
func TestSchemaAgrees(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	validate := func(text string) error {
		var value any
		if err := yaml.Load([]byte(text), &value); err != nil {
			return err
		}
		plain, err := json.Marshal(value)
		if err != nil {
			return err
		}
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(plain)))
		if err != nil {
			return err
		}
		return schema.Validate(document)
	}
	good := []string{
		"{}", "clock: {offset: 72h}", "faults: [{drop: true, times: 3}, {script: [{}, {error: {code: InternalError}}]}]",
		account1("roles: [{roleName: a, bound: true}]"), account1("kmsKeys: {a: foreign}\nusers: [{uin: 2}]\nservice: arrears"), secret1("tags: {a: b, c: 5}"), secret1("secretString: 8675309"), account1("credentials: [{secretId: a, secretKey: 12345678}]"),
		account1("credentials: [{secretId: a, secretKey: b, policies: [{version: 2.0, statement: [{effect: deny, action: [x], resource: '*'}]}]}]"),
		account1(`credentials: [{secretId: a, secretKey: b, policies: [{version: "2.0", statement: [{effect: allow, action: x, resource: ["*"]}]}]}]`),
	}
	for _, name := range fixtures.Seeds() {
		text, _ := fixtures.Seed(name)
		good = append(good, string(text))
	}
	for _, text := range good {
		if err := validate(text); err != nil {
			t.Errorf("the schema refuses\n%s\n%v", text, err)
		}
		if s, err := Parse("x", []byte(text)); err != nil {
			t.Errorf("the loader refuses\n%s\n%v", text, err)
		} else if s.Name != "x" {
			t.Error(s.Name)
		}
	}
	for _, text := range []string{
		"- a", "state: x", "clock: now", "clock: {frozen: maybe}", "clock: {time: x}", "accounts: {uin: 1}",
		"accounts: [{uin: 0}]", "accounts: [{uin: one}]", account1("service: good"), account1("kmsKeys: {a: lost}"), account1("users: [{uin: 2, otherKeys: 3}]"),
		account1("credentials: [{secretId: a}]"), account1("credentials: [{secretId: '', secretKey: x}]"), account1("secrets: [{region: ap-beijing}]"),
		account1(`credentials: [{secretId: a, secretKey: b, policies: [{version: "1.0", statement: []}]}]`),
		account1(`credentials: [{secretId: a, secretKey: b, policies: [{version: "2.0", statement: [{effect: maybe, action: x, resource: "*"}]}]}]`),
		secret1("secretType: 5"), secret1("status: Gone"), secret1("encryptType: 2"), secret1("value: x"), account1("secrets: [{secretName: a/b}]"),
		account1("roles: [{roleName: a/b}]"), account1("roles: [{bound: true}]"), secret1("versions: [{id: v1}]"), secret1("versions: {}"), secret1("tags: [a]"), secret1("secretString: [x]"), secret1("rotationFrequency: 366"),
		account1("tasks: [{flowId: 1, kind: party, secretName: a}]"), account1("tasks: [{flowId: 0, kind: rotation, secretName: a}]"),
		"faults: [{name: x}]", "faults: [{drop: 7}]", "faults: [{probability: 2, drop: true}]", "faults: [{error: InternalError}]", "faults: [{times: -1, drop: true}]", "faults: [{times: 0, drop: true}]", "faults: [{every: 0, drop: true}]", "faults: [{probability: 0, drop: true}]",
		"faults: [{}]", "faults: [{status: 99999}]", "faults: [{delay: ''}]", "faults: [{delay: 3 s}]", "faults: [{action: Nope, drop: true}]", "faults: [{id: a/b, drop: true}]",
		secret1("createTime: yesterday"), secret1("region: nowhere"), account1("credentials: [{secretId: 'a b', secretKey: x}]"), secret1("versions: [{versionId: v1}]"),
		"accounts: [null]", account1("secrets: [null]"),
	} {
		if validate(text) == nil {
			t.Errorf("the schema takes\n%s", text)
		}
		if _, err := build(text); err == nil {
			t.Errorf("the loader takes\n%s", text)
		}
	}
}
