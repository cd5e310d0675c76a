package seed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"ssmlocal/fixtures"
	"ssmlocal/server/clock"
	"ssmlocal/server/fault"
	"ssmlocal/server/ssm"
)

var wall = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func build(text string) (*State, error) {
	state, _, err := buildAll(text)
	return state, err
}

// buildAll returns the secrets, too.
func buildAll(texts ...string) (state *State, secrets []*ssm.SecretSnapshot, err error) {
	free := func(string) (bool, error) { return false, nil }
	rules := Rules{Wall: wall, IDTaken: free, FaultTaken: free, Faults: fault.Known{
		Actions: []string{"GetSecretValue"}, Codes: func(string) []string { return []string{"InternalError"} },
		Has: func(code string) bool { return code == "InternalError" }, Regions: ssm.Regions(),
	}}
	var sources []*Source
	for i, text := range texts {
		sources = append(sources, Text([]string{"x.yaml", "y.yaml"}[i], []byte(text)))
	}
	state, err = Build(context.Background(), sources, rules, func(_ time.Time, _ uint64, s *ssm.SecretSnapshot) error {
		secrets = append(secrets, s)
		return nil
	})
	return state, secrets, err
}

// account1 is a document with one account, whose fields follow.
func account1(fields string) string {
	return "accounts:\n  - uin: 100000000001\n" + indent(fields, "    ")
}

// secret1 is a document with one secret, whose fields follow.
func secret1(fields string) string {
	return account1("secrets:\n  - secretName: a\n" + indent(fields, "    "))
}

func indent(text, by string) string {
	var out strings.Builder
	for line := range strings.Lines(text + "\n") {
		out.WriteString(by + line)
	}
	return out.String()
}

const product = "secretType: 1\nproductName: Mysql\nresourceId: cdb-1\n"

// TestMistakes checks the line, the field and the reason with which each
// mistake is reported.
func TestMistakes(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		// YAML itself, and what the fields are.
		{"accounts: [", "x.yaml:2: this is not YAML"},
		{"accounts:\n  - uin: 1\n    name: x\n", "x.yaml:3: accounts[0].name: there is no such field"},
		{"accounts:\n  - uin: one\n", "x.yaml:2: accounts[0].uin: the value has the wrong type or form; it must be a whole number from 0 on"},
		{"accounts:\n  - uin: 99999999999999999999\n", "x.yaml:2: accounts[0].uin: "},
		{"accounts: 7\n", "x.yaml:1: accounts: the value has the wrong type"},
		{"accounts:\n  - uin: 1\n    uin: 2\n", "x.yaml:3: accounts[0].uin: it is given twice"},
		{"accounts: []\n---\naccounts: [{uin: 0}]\n", "x.yaml:3: accounts[0].uin: it must be a number"},
		{"accounts: []\n---\n# that\nclock: {frozen: true}\n", "x.yaml:4: clock: it must stand in the first document"},
		{"accounts: []\n...\n---\naccounts: [", "x.yaml:5: this is not YAML"},
		{"- a\n", "x.yaml:1: "},
		{"accounts:\n  - {uin: 1, service: [x]}\n", "x.yaml:2: accounts[0].service: the value has the wrong type or form; it must be a text"},
		{"accounts:\n  - {uin: 1, secrets: [{secretName: a, secretType: one}]}\n", "x.yaml:2: accounts[0].secrets[0].secretType: the value has the wrong type or form; it must be a whole number from 0 on"},
		{"accounts:\n  - {uin: 1, name: x}\n", "x.yaml:2: accounts[0].name: there is no such field here; there are uin, service"},
		{"accounts: [null]\n", "x.yaml:1: accounts[0]: there is nothing in this place of the list"},
		{"accounts:\n  - uin: 1\n    secrets:\n      - secretName: a\n      -\n", "x.yaml:5: accounts[0].secrets[1]: there is nothing"},
		{"accounts:\n  - uin: 1\n    secrets:\n      - secretStrin: x\n        secretName: a\n", "x.yaml:4: accounts[0].secrets[0].secretStrin: there is no such field"},
		{"accounts:\n  - uin: 1\n    secrets:\n      - secretName: a\n        secretString: {b: c}\n", "x.yaml:5: accounts[0].secrets[0].secretString: the value has the wrong type or form; it must be a text"},
		{"accounts:\n  - uin: 1\n    secrets:\n      - secretName: a\n        secretString:\n          b: c\n", "x.yaml:6: accounts[0].secrets[0].secretString: the value has the wrong type or form; it must be a text"},
		{"accounts:\n  - uin: 1\n    service: 'a\xff'\n", "x.yaml:3: there is a control character here, or bytes that are not UTF-8"},
		{"accounts:\n  - uin: 1\n    service: \x01\n", "x.yaml:3: there is a control character here"},
		{"accounts: [{uin: 1}\nfaults: []", "x.yaml:2: this is not YAML: did not find expected ',' or ']'"},
		{"accounts:\n  - uin: 1\n    service: a: b\n", "x.yaml:3: this is not YAML: mapping values are not allowed in this context"},
		{"faults:\n  - {times: 0, drop: true}", "x.yaml:2: faults[0].times: it must be a number of calls"},
		{secret1("secretString: ''"), "secrets[0].secretString: it is empty"},
		{secret1("secretBinary: null"), "secrets[0].secretBinary: it is empty"},
		{account1("credentials: [{secretId: a, secretKey: b}, {secretId: a, secretKey: b}]"), ""},
		{"accounts:\n  - uin: 1\n    secrets:\n      - secretName: a\n        secretString: !!int abc\n", "x.yaml:5: a value is not what its tag"},
		{secret1("secretString: {TOPSECRET: [~]}"), "secrets[0].secretString: there is nothing"},
		{secret1("secretString: {TOPSECRET: 1, TOPSECRET: 2}"), "secrets[0].secretString: it is given twice"},
		{account1("credentials: [{secretId: a, secretKey: TOP, SECRET: b}]"), "there is a field here that is not known; put a value with a comma"},
		{account1("credentials: [{secretId: a, secretKey: b, name: x}]"), "there is a field here that is not known"},
		{account1("credentials: [{secretId: a, secretKey: 'b', name: x}]"), "credentials[0].name: there is no such field"},
		{"accounts:\n  - uin: 1\n    service: \ufffd\n    kmsKeys: {a: \x01}\n", "x.yaml:4: there is a control character here"},
		{"accounts:\n  - uin: 1\n    service: a\uffffb\n", "x.yaml:3: there is a control character here"},
		{account1("credentials: [{name: x, secretId: a, secretKey: b}]"), "credentials[0].name: there is no such field"},
		{"# nothing but words\n\n  # and more\n", ""},
		{"", ""},
		// Accounts.
		{"accounts:\n  - uin: 0\n", "x.yaml:2: accounts[0].uin: it must be a number such as 100000000001"},
		{"accounts: [{secrets: [{secretName: a, secretStringFrom: {env: HOME}}]}]", "x.yaml:1: accounts[0].secrets[0].secretStringFrom: values from the environment or a file are read for --seed, and by ssmlocal import, not for a seed that is sent"},
		{"accounts:\n - secrets:\n   - {secretName: a, status: Lost}\n   - {secretName: b, secretString: x}\n   - {secretName: c, secretType: 9}\n - {uin: 5, service: rich}\nfaults: [{action: Nothing}]\n", "x.yaml:3: accounts[0].secrets[0].status: it is \"Lost\"; it must be Enabled, Disabled, PendingDelete, Creating or Failed\nx.yaml:5: accounts[0].secrets[2].secretType: it must be 0 to 4\nx.yaml:6: accounts[1].service: it is \"rich\"; it must be normal, none, arrears or released\nx.yaml:7: faults[0].action: there is no action \"Nothing\""},
		{account1("service: good"), "x.yaml:3: accounts[0].service: it is \"good\""},
		{account1("kmsKeys: {k: lost}"), "x.yaml:3: accounts[0].kmsKeys.k: it is \"lost\""},
		{account1("users: [{uin: 100000000001}]"), "users[0].uin: it must be the number of a sub-account"},
		{account1("users: [{uin: 2}, {uin: 2}]"), "users[1].uin: the user is given twice"},
		{account1("users: [{uin: 2, otherKeys: 3}]"), "otherKeys: it must be 0 to 2"},
		// Credentials and policies.
		{account1("credentials: [{secretId: a}]"), "credentials[0].secretKey: it must be there"},
		{account1("credentials: [{secretKey: a}]"), "credentials[0].secretId: it must be there"},
		{account1("credentials: [{secretId: a, secretKey: b}, {secretId: a, secretKey: c}]"), "the SecretId a is given twice"},
		{account1("credentials: [{secretId: a, secretKey: b, user: 7}]"), "credentials[0].user: 7 is none of the account's users"},
		{account1("credentials: [{secretId: a, secretKey: b, expireTime: soon}]"), "credentials[0].expireTime: it must be a time"},
		{account1(`credentials: [{secretId: a, secretKey: b, policies: [{version: "1.0"}]}]`), `policies[0].version: it is "1.0"`},
		{account1(`credentials: [{secretId: a, secretKey: b, policies: [{version: "2.0", statement: [{effect: allow, action: ssm:GetSecretValue, resource: y}]}]}]`), "policies[0].statement[0].resource[0]: \"y\" is not *"},
		{account1(`credentials: [{secretId: a, secretKey: b, policies: [{version: "2.0", statement: [{effect: allow, action: ssm:GetSecretValue, resource: "*", condition: {}}]}]}]`), "condition: there is no such field"},
		// Secrets of any type.
		{secret1("secretName: b\n"), "x.yaml:5: accounts[0].secrets[0].secretName: it is given twice"},
		{account1("secrets: [{secretName: a/b}]"), "x.yaml:3: accounts[0].secrets[0].secretName: The value of `SecretName` is not valid"},
		{account1("secrets: [{secretName: a}, {secretName: a}]"), "secrets[1].secretName: the secret a is given twice"},
		{secret1("region: mars"), "x.yaml:5: accounts[0].secrets[0].region: there is no region \"mars\""},
		{secret1("secretType: 5"), "secretType: it must be 0 to 4"},
		{secret1("status: Gone"), "status: it is \"Gone\""},
		{secret1("status: Creating"), "only product secrets"},
		{secret1("status: Failed"), "only product secrets"},
		{secret1("createTime: now+1d"), "createTime: it can't lie ahead of the clock, which is at 2026-03-01T12:00:00Z"},
		{secret1("createTime: yesterday"), "createTime: it must be a time such as"},
		{secret1("createTime: now-0d"), "createTime: it must be a time such as"},
		{secret1("createTime: now-30000d"), "createTime: it must lie between 1970-01-02 and 2205-01-01"},
		{secret1("createTime: 1969-01-01T00:00:00Z"), "createTime: it must lie between"},
		{account1("credentials: [{secretId: a, secretKey: b, expireTime: '2300-01-01T00:00:00Z'}]"), "expireTime: it must lie between"},
		{"clock: {offset: -500000h}", "clock: it must be set between 1970-01-02 and 2200-01-01"},
		{"clock: {offset: 2562047h}", "clock: it must be set between"},
		{secret1("versions: [{versionId: v, createTime: now-1d, secretString: x}]"), "versions[0].createTime: it can't lie before the secret's"},
		{secret1("secretType: 3\ntargetUin: 5\nlatestRotateTime: now-1d"), "latestRotateTime: it can't lie before createTime"},
		{account1("users: [{uin: 5}]\nsecrets: [{secretName: a, secretType: 3, targetUin: 5}, {secretName: b, secretType: 3, targetUin: 5}, {secretName: c, secretType: 3, targetUin: 5}]"), "accessKeys: The user 5 has too many access keys"},
		{secret1(product + "secretString: x"), "secretString: the value of a database account is"},
		{secret1(product + "secretString: '{\"UserName\":\"" + strings.Repeat("u", 33) + "\",\"Password\":\"p\"}'"), "secretString: the value of a database account is"},
		{account1("tasks: [{flowId: 1, kind: rotation, secretName: a}]\nsecrets:\n  - {secretName: a, secretType: 1, productName: Mysql, resourceId: c, flowId: 1, status: Failed}"), "none where the creation failed"},
		{account1("tasks: [{flowId: 1, kind: deletion, secretName: a}]\nsecrets:\n  - {secretName: a, secretType: 1, productName: Mysql, resourceId: c, flowId: 1}"), "and else a rotation"},
		{account1("tasks: [{flowId: 9007199254740991, kind: rotation, secretName: a}]"), "flowId: it must be a number from 1 to 4503599627370496"},
		{account1("isolated: [" + strings.Repeat("a, ", 10001) + "]"), "isolated: there are 10001; the limit is 10000"},
		{secret1("deleteTime: now+1d"), "deleteTime: only a secret whose status is PendingDelete"},
		{secret1("status: PendingDelete\ndeleteTime: now+31d"), "at most 30 days ahead"},
		{secret1("status: PendingDelete\ncreateTime: now-1d\ndeleteTime: now-2d"), "after createTime"},
		{secret1("creationFailed: true"), "a secret of the type 0 (custom) has none"},
		{secret1("encryptType: 2"), "encryptType: it must be 0 or 1"},
		{secret1("tags: {a: [5]}"), "x.yaml:5: accounts[0].secrets[0].tags.a: the value has the wrong type or form; it must be a text"},
		{secret1("tags: {a: 5, b: true}"), ""},
		{secret1("tags: {'': x}"), "tags: The value of `TagKey` is not valid"},
		{secret1("description: '" + strings.Repeat("x", 2049) + "'"), "description: The value of `Description` is 2049 bytes"},
		// Values.
		{secret1("secretString: x\nsecretBinary: eA=="), "Exactly one of"},
		{secret1("secretString: x\nversions: [{versionId: v1, secretString: x}]"), "not in both places"},
		{secret1("versions: [{versionId: v1}]"), "x.yaml:5: accounts[0].secrets[0].versions[0]: Exactly one of"},
		{secret1("versions: [{versionId: /, secretString: x}]"), "versions[0].versionId: The value of `VersionId`"},
		{secret1("versions: [{versionId: v, secretString: x}, {versionId: v, secretString: x}]"), "versions[1].versionId: it is given twice"},
		{secret1("versions: [{versionId: v, createTime: now+1h, secretString: x}]"), "versions[0].createTime: it can't lie ahead"},
		{secret1("secretBinary: '?'"), "is not base64"},
		{secret1("secretString: " + strings.Repeat("x", 32769)), "is 32769 bytes long"},
		{secret1("versions: [" + strings.Repeat("{versionId: v, secretString: x}, ", 11) + "]"), "there are 11; the limit is 10"},
		// Products.
		{secret1("productName: Mysql"), "productName: a secret of the type 0 (custom) has none"},
		{secret1("secretType: 1\nresourceId: cdb-1"), "productName: The value of `ProductName` is not valid"},
		{secret1("secretType: 1\nproductName: Mysql"), "resourceId: it must be there"},
		{secret1(product + "rotationFrequency: 29"), "rotationFrequency: The value of `RotationFrequency`"},
		{secret1(product + "enableRotation: true\nrotationBeginTime: soon"), "rotationBeginTime: it must be a time"},
		{secret1(product + "status: Creating\nsecretString: '{\"UserName\":\"u\",\"Password\":\"p\"}'"), "versions: a secret that has not been made yet"},
		{secret1(product + "versions: [{versionId: v1, secretString: x}]"), "versionId: a value that the service makes is SSM_Current"},
		{secret1(product + "domains: ['a b']"), "domains: "},
		{secret1(product + "userNamePrefix: 1abc"), "userNamePrefix: "},
		{secret1(product + "databaseAccounts: [{accountName: a}]"), "two accounts"},
		{secret1(product + "databaseAccounts: [{accountName: a}, {accountName: b}]"), "one of them has the version SSM_Current"},
		{secret1(product + "databaseAccounts: [{accountName: a, version: SSM_Current}, {accountName: b}]"), "a version and a rotatedTime"},
		{secret1(product + "flowId: 5"), "flowId: there is no running task"},
		{secret1(product + "secretString: '{\"UserName\":\"u\",\"Password\":\"p\"}'\nstatus: PendingDelete\ncreationFailed: true"), "has not been made yet"},
		// SSH keys, API keys, Redis.
		{secret1("secretType: 2\nsecretString: x"), "a secret of the type 2 (SSH key pair) has none"},
		{secret1("secretType: 2\nstatus: PendingDelete"), "deleted at once"},
		{secret1("secretType: 2\nsshKeyId: mine"), "sshKeyId: it must be skey-"},
		{secret1("secretType: 2\nsshKeyId: skey-12345678\nprivateKey: x"), "privateKey: it must be an RSA key"},
		{secret1("secretType: 3"), "targetUin: it must be there"},
		{secret1("secretType: 3\ntargetUin: 5\nsecretString: x"), "the value of an API key"},
		{secret1("secretType: 3\ntargetUin: 5\naccessKeys: [{secretId: a, secretKey: b}]\nsecretString: '{\"SecretId\":\"a\",\"SecretKey\":\"c\"}'"), "is not that of the value"},
		{secret1("secretType: 4"), "additionalConfig: "},
		// Tasks.
		{account1("tasks: [{flowId: 1, kind: party, secretName: a}]"), "tasks[0].kind: it is \"party\""},
		{account1("tasks: [{flowId: 1, kind: rotation, secretName: a}, {flowId: 1, kind: rotation, secretName: a}]"), "tasks[1].flowId: the flowId 1 is given twice"},
		{account1("tasks: [{flowId: 1, kind: rotation, secretName: a, status: done, polls: 2}]"), "a task that has ended"},
		{account1("tasks: [{flowId: 1, kind: rotation, secretName: a, dueTime: now+1h, polls: 2}]"), "give one of dueTime and polls"},
		{account1("tasks: [{flowId: 1, kind: creation, secretName: a}]\nsecrets:\n  - {secretName: a, secretType: 1, productName: Mysql, resourceId: c, flowId: 1}"), "a creation is under way while the status is Creating"},
		// The clock and faults.
		{"clock: {now: now, offset: 3h}", "x.yaml:1: clock: give one of now and offset"},
		{"clock: {now: 1e9}", "clock.now: it must be a time"},
		{"clock: {offset: 9999d}", ""},
		{"clock: {offset: far}", "clock.offset: it must be a duration"},
		{"faults:\n  - {action: GetSecret, drop: true}", "x.yaml:2: faults[0].action: there is no action \"GetSecret\""},
		{"faults:\n  - {}", "x.yaml:2: faults[0]: nothing would happen"},
		{"faults:\n  - {id: a, drop: true}\n  - {id: a, drop: true}", "x.yaml:3: faults[1].id: the fault a is given twice"},
		{"faults:\n  - {delay: soon}", "x.yaml:2: "},
	} {
		_, err := build(c.text)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s\n got %v\nwant %s", c.text, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "\n") && !strings.Contains(c.want, "\n") {
			t.Errorf("a mistake is told in several lines: %v", err)
		}
	}
}

// TestMistakesAreToldAtOnce has mistakes of every kind: what can't be read hides
// nothing else, and what follows from it is not told.
func TestMistakesAreToldAtOnce(t *testing.T) {
	_, err := build(`clock: {nowt: x}
accounts:
- uin: one
  bogus: 1
  service: lost
  secrets:
  - {secretNam: a}
  - {secretName: [b]}
  - {secretName: c, secretType: no, status: x}
  - {secretName: d, status: gone}
  roles: [{roleName: r, bound: perhaps}]
faults:
- {action: None, drop: true}
- {actoin: None, drop: true}
---
accounts: [{uin: 1, secrets: [{secretName: '-'}]}]
---
accounts: [
`)
	var told []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		at, _, _ := strings.Cut(line, ": ")
		rest := strings.TrimPrefix(line, at+": ")
		field, _, _ := strings.Cut(rest, ": ")
		told = append(told, strings.TrimPrefix(at, "x.yaml:")+" "+field)
	}
	want := []string{
		"1 clock.nowt", "3 accounts[0].uin", "4 accounts[0].bogus", "7 accounts[0].secrets[0].secretNam", "8 accounts[0].secrets[1].secretName",
		"9 accounts[0].secrets[2].secretType", "11 accounts[0].roles[0].bound", "14 faults[1].actoin",
		"5 accounts[0].service", "9 accounts[0].secrets[2].status", "10 accounts[0].secrets[3].status", "13 faults[0].action", "16 accounts[0].secrets[0].secretName", "19 this is not YAML",
	}
	if !slices.Equal(told, want) {
		t.Errorf("%q\n%q", told, want)
	}
}

// TestMistakesOfOneItem has several mistakes in one item, of which some follow
// from others.
func TestMistakesOfOneItem(t *testing.T) {
	for text, want := range map[string]string{
		"clock: {now: yesterday, frozn: true}":                                                                                 "clock.frozn clock.now",
		"clock: {now: x, offset: y, frozen: z}":                                                                                "clock.frozen clock.now clock.offset",
		secret1("secretType: x\nstatus: Lost\ntags: 5\nencryptType: 7"):                                                        "accounts[0].secrets[0].secretType accounts[0].secrets[0].tags accounts[0].secrets[0].encryptType accounts[0].secrets[0].status",
		secret1("createTime: x\ndeleteTime: now+1d\nencryptType: 7"):                                                           "accounts[0].secrets[0].createTime accounts[0].secrets[0].deleteTime accounts[0].secrets[0].encryptType",
		secret1("status: Lost\ndeleteTime: now+1d"):                                                                            "accounts[0].secrets[0].status",
		secret1("tags: 5\nversions: [{versionId: v1}]"):                                                                        "accounts[0].secrets[0].tags accounts[0].secrets[0].versions[0]",
		secret1("versions: [{versionId: v1, secretString: [x]}]"):                                                              "accounts[0].secrets[0].versions[0].secretString",
		secret1("tags: 5\nversions: [{versionId: '%'}]"):                                                                       "accounts[0].secrets[0].tags accounts[0].secrets[0].versions[0].versionId",
		secret1("secretTyp: 1\nenableRotation: true\nresourceId: x"):                                                           "accounts[0].secrets[0].secretTyp",
		secret1("secretType: 1\nproductNam: Mysql\nresourceId: x"):                                                             "accounts[0].secrets[0].productNam",
		secret1("secretType: 1\nproductName: Mysql\ndomains: 5"):                                                               "accounts[0].secrets[0].domains accounts[0].secrets[0].resourceId",
		secret1("secretType: 1\nproductName: Mysql\nresourceId: x\ncreateTime: x\nlatestRotateTime: now-1d"):                   "accounts[0].secrets[0].createTime",
		"faults: [{action: No, times: x, region: mars}]":                                                                       "faults[0].times faults[0].action faults[0].region",
		"faults: [{delay: x, id: '%'}]":                                                                                        "faults[0].delay faults[0].id",
		"accounts: [{uin: -5, secrets: [{secretName: a, status: Lost}]}]":                                                      "accounts[0].uin accounts[0].secrets[0].status",
		"accounts: [{uin: 0, secrets: [{secretName: a, status: Lost}]}]":                                                       "accounts[0].uin accounts[0].secrets[0].status",
		account1("users: [{uin: x}]\ncredentials: [{secretId: a, secretKey: b, user: 5}]"):                                     "accounts[0].users[0].uin",
		account1("credentials: [{secretId: a b, secretKey: '', user: 5}]"):                                                     "accounts[0].credentials[0].secretId accounts[0].credentials[0].secretKey accounts[0].credentials[0].user",
		"accounts: [{uin: x, secrets: [{secretName: a}]}, {uin: y, secrets: [{secretName: a}]}, {secrets: [{secretName: a}]}]": "accounts[0].uin accounts[1].uin",
		account1("users: [{uin: 5}]\nsecrets: [{secretName: a, secretType: 3, targetUin: 5}, {secretName: b, secretType: 3, targetUin: 5}, {secretName: c, secretType: 3, targetUin: 5}, {secretName: d, deleteTime: now+1d}]"): "accounts[0].secrets[2].accessKeys accounts[0].secrets[3].deleteTime",
		secret1("productName: x\nuserNamePrefix: y"):                                                  "accounts[0].secrets[0].productName accounts[0].secrets[0].userNamePrefix",
		"accounts: [{" + strings.Repeat("uin: 1, ", 3) + "service: x}]":                               "accounts[0].uin accounts[0].service",
		"clock: {now: x}\naccounts: [{secrets: [{secretName: a, createTime: 2040-01-01T00:00:00Z}]}]": "clock.now",
	} {
		_, err := build(text)
		var told []string
		for line := range strings.Lines(fmt.Sprint(err)) {
			_, rest, _ := strings.Cut(line, ": ")
			field, _, _ := strings.Cut(rest, ": ")
			told = append(told, field)
		}
		slices.Sort(told)
		wanted := strings.Fields(want)
		slices.Sort(wanted)
		if !slices.Equal(told, wanted) {
			t.Errorf("%s\n%v\nwant %s", text, err, want)
		}
	}
	for text, want := range map[string]string{ // none of them takes long
		"accounts: [" + strings.Repeat("a,", 10_000) + "]":                       "x.yaml:1: accounts[0]: the value has the wrong type",
		"accounts: [{" + strings.Repeat("uin: 1,", 20_000) + "}]":                "there are 20000 fields here",
		"accounts: [" + strings.Repeat("a,", 400_000) + "]":                      "there is too much in this document",
		account1("secrets: [" + strings.Repeat("{secretNam: a},", 10_000) + "]"): "secretNam: there is no such field",
	} {
		if _, err := build(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50s…: %.300v", text, err)
		}
	}
	// Long texts are no parts of a seed, in whatever form an export has them.
	for _, value := range []string{strings.Repeat(",", 4096), strings.Repeat("x\n", 4000), strings.Repeat("'\",", 1000)} {
		var out bytes.Buffer
		w := NewWriter(&out, clock.State{}, nil, nil, nil)
		_ = w.Account(&ssm.AccountSnapshot{Uin: 1})
		for i := range 60 {
			s := &ssm.SecretSnapshot{Region: ssm.DefaultRegion, Secret: ssm.Secret{Name: fmt.Sprint("s", i), CreatedAt: wall.UnixNano()}, Versions: map[string]*ssm.Version{"v": {CreatedAt: wall.UnixNano(), String: value}}}
			if err := w.Secret(1, s); err != nil {
				t.Fatal(err)
			}
		}
		_ = w.Close()
		if _, err := build("clock: {now: 2030-01-01T00:00:00Z, frozen: true}\n---\n" + out.String()); err != nil || TooLarge(out.Bytes()) {
			t.Errorf("%.20q: %.300v", value, err)
		}
		quoted, _ := json.Marshal(value)
		if _, err := build(`{"accounts": [{"uin": 1, "secrets": [` + strings.Repeat(`{"secretName": "%", "secretString": `+string(quoted)+`},`, 60) + `{"secretName": "a"}]}]}`); strings.Contains(err.Error(), "too much") {
			t.Errorf("%.20q in JSON: %.300v", value, err)
		}
	}
	for _, text := range []string{strings.Repeat("#\n", 100_000), strings.Repeat("\n", 100_000) + "{}", strings.Repeat("---\n", 20_000), strings.Repeat("...\n", 20_000)} {
		if _, err := build(text); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	many := strings.Repeat("{secretName: '%'}, ", 30)
	if _, err := build(account1("secrets: [" + many + "]")); strings.Count(err.Error(), "\n") != mostMistakes || !strings.HasSuffix(err.Error(), "there are more mistakes than these 20") {
		t.Error(err)
	}
	if _, err := build(account1("secrets: [" + strings.Repeat("{secretNam: a}, ", 30) + "]")); strings.Count(err.Error(), "\n") != mostMistakes {
		t.Error(err)
	}
}

// TestNoSecretInMistakes plants values in files with mistakes.
func TestNoSecretInMistakes(t *testing.T) {
	const planted = "hunter2-planted"
	for _, text := range []string{
		secret1("secretString: " + planted + "\nbad: " + planted),
		secret1("secretString: [" + planted + "]"),
		secret1("secretString: \"" + planted + "\n  x: ["),
		secret1("secretBinary: " + planted),
		secret1("secretString: {" + planted + ": x}"),
		secret1("versions: " + planted),
		secret1("versions: [" + planted + "]"),
		secret1("secretType: " + planted),
		secret1("secretType: 3\ntargetUin: 5\nsecretString: " + planted),
		secret1("secretType: 2\nprivateKey: " + planted),
		account1("credentials: " + planted),
		account1("credentials: [{secretId: '', secretKey: " + planted + "}]"),
		account1("credentials: [{secretId: a, secretKey: [" + planted + "]}]"),
		account1("credentials: [{secretId: a, secretKey: *" + planted + "}]"),
		account1("credentials:\n  - secretId: a\n    secretKey: " + planted + "\n   x: y"),
		"accounts:\n\t" + planted,
		"accounts: [{uin: 1, secrets: [{secretName: a, secretString: pass," + planted + "}]}]",
		"accounts: [{uin: 1, credentials: [{secretId: a, secretKey: k," + planted + "}]}]",
		planted,
	} {
		_, err := build(text)
		if err == nil || strings.Contains(err.Error(), planted) {
			t.Errorf("%s\n%v", text, err)
		}
	}
}

// TestTimes resolves relative times against the virtual clock that the same
// file sets.
func TestTimes(t *testing.T) {
	s, secrets, err := buildAll("clock: {now: 2030-01-02T00:00:00Z, frozen: true}\n" + secret1("createTime: now-30d\nstatus: PendingDelete\ndeleteTime: now+72h"))
	if err != nil {
		t.Fatal(err)
	}
	x := secrets[0].Secret
	if got, want := time.Unix(0, x.CreatedAt).UTC().String(), "2029-12-03 00:00:00 +0000 UTC"; got != want {
		t.Errorf("created %s, want %s", got, want)
	}
	if got, want := time.Unix(0, x.DeleteAt).UTC().String(), "2030-01-05 00:00:00 +0000 UTC"; got != want {
		t.Errorf("deleted %s, want %s", got, want)
	}
	if !s.Clock.Frozen || !s.Now.Equal(time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", s.Clock)
	}
	for text, want := range map[string]clock.State{
		"":                                     {},
		"clock: {offset: 72h}":                 {Offset: int64(72 * time.Hour)},
		"clock: {offset: 1h, frozen: true}":    {Frozen: true, At: wall.Add(time.Hour).UnixNano()},
		"clock: {now: now+1d}":                 {Offset: int64(24 * time.Hour)},
		"clock: {now: '2026-03-01T13:00:00Z'}": {Offset: int64(time.Hour)},
	} {
		if s, err := build(text); err != nil || s.Clock != want {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
}

// written is a state with a text in every place.
func written(t *testing.T, value string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, clock.State{}, nil, nil, nil)
	err := errors.Join(w.Account(&ssm.AccountSnapshot{Uin: 1}), w.Secret(1, &ssm.SecretSnapshot{
		Region: ssm.DefaultRegion, Secret: ssm.Secret{Name: "a", CreatedAt: wall.UnixNano(), Description: value, Tags: []ssm.Tag{{TagKey: value, TagValue: value}}},
		Versions: map[string]*ssm.Version{"v1": {CreatedAt: wall.UnixNano(), String: value}},
	}), w.Close())
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// FuzzStrings writes any text as a value and reads it back.
func FuzzStrings(f *testing.F) {
	for _, s := range []string{"x", "", " x", "x ", "null", "~", "1e3", "0x1", "true", "- a", "a: b", "# c", "a #b", "'", `"`, `\`, "\n", "x\n", "\nx", "x\n\n y\n", "\t", "\r\n", "|", ">", "%", "@", "`",
		"{}", "[", "!x", "&a", "*a", "中文", "\u2028", "\x00", "\x1b", "😀", "2030-01-02", "<<", "=", "?", ": ", ":", "a:", ",", "-----BEGIN\nx\n-----END", "..."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ToValidUTF8(value, "") != value || value == "" {
			return
		}
		text := written(t, value)
		s, err := Parse("x", text)
		if err != nil {
			t.Fatalf("%q is written as\n%s\nwhich reads %v", value, text, err)
		}
		got := s.File.Accounts[0].Secrets[0]
		if got.Versions[0].SecretString != value || got.Description != value || got.Tags[0].Key != value || got.Tags[0].Value != value {
			t.Fatalf("%q is written as\n%s\nand reads %q, %q, %v", value, text, got.Versions[0].SecretString, got.Description, got.Tags)
		}
	})
}

// FuzzEveryField writes any text in every text field that a document has, and
// reads it back.
func FuzzEveryField(f *testing.F) {
	for _, s := range []string{"x", " x ", "=", "\u0085", "\u2028", "\u00a0", "2001-12-14 21:59:43.10 -5", "e1", "on", "a\tb\r", "\ufeffx", "x\n", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if !utf8.ValidString(value) || value == "" {
			return
		}
		var full File
		fillTexts(reflect.ValueOf(&full).Elem(), value)
		text, err := yaml.Dump(tree(reflect.ValueOf(full)), yaml.WithLineWidth(-1))
		if err != nil {
			t.Fatal(err)
		}
		read, err := Parse("x", text)
		if err != nil {
			t.Fatalf("%q is written as\n%s\nwhich reads %v", value, text, err)
		}
		if !reflect.DeepEqual(read.File, full) {
			t.Fatalf("%q is written as\n%s\nand reads\n%+v", value, text, read.File)
		}
	})
}

// fillTexts puts a text into every text field of a value, with one item in
// every list.
func fillTexts(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillTexts(v.Elem(), text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fillTexts(v.Index(0), text)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf(text), reflect.ValueOf(text))
	case reflect.Struct:
		if v.Type() != reflect.TypeFor[fault.Span]() {
			for i := range v.NumField() {
				fillTexts(v.Field(i), text)
			}
		}
	}
}

// TestJSONTexts reads documents in JSON with texts that YAML reads differently.
func TestJSONTexts(t *testing.T) {
	for text, want := range map[string]string{
		`"\ud83d\ude00"`: "😀", `"a\/b"`: "a/b", "\"\u0085\"": "\u0085", "\"a\u2028b\"": "a\u2028b", `"\\ud83d"`: `\ud83d`, "\"x\ufeffy\"": "x\ufeffy",
		`"\u0000"`: "\x00", "\"\u00a0\"": "\u00a0",
	} {
		d, err := Parse("x", []byte(`{"accounts":[{"uin":1,"secrets":[{"secretName":"a","secretString":`+text+`}]}]}`))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := d.File.Accounts[0].Secrets[0].SecretString; got != want {
			t.Errorf("%s reads %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{`"\ud83d"`, `"\ude00\ud83d"`} {
		if _, err := Parse("x", []byte(`{"accounts":[{"uin":1,"secrets":[{"secretName":"a","secretString":`+text+`}]}]}`)); err == nil || !strings.Contains(err.Error(), "x:1") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestRawLineEnds reads what PyYAML writes as it is.
func TestRawLineEnds(t *testing.T) {
	for _, text := range []string{"\"a\u0085b \u2028c\u2029\"", "'a\u0085b \u2028c\u2029'", "'a\u0085b \u2028c\u2029'", "'a\u0085b \u2028c\u2029          '"} {
		_, secrets, err := buildAll(secret1("description: \ue000\nsecretString: " + text))
		if err != nil || secrets[0].Versions[ssm.CurrentVersion].String != "a\u0085b \u2028c\u2029" || secrets[0].Secret.Description != "\ue000" {
			t.Errorf("%q: %+v %v", text, secrets, err)
		}
	}
	if _, err := build(secret1("secretString: 'a\u0085    b'")); err == nil || !strings.Contains(err.Error(), "x.yaml:5: there is a line end (U+0085)") {
		t.Error(err)
	}
}

// TestNotUTF8IsRefused writes bytes in place of a text: the mistake names the
// field.
func TestNotUTF8IsRefused(t *testing.T) {
	for _, c := range []struct{ text, field string }{
		{secret1("secretString: !!binary /w=="), "accounts[0].secrets[0].secretString"},
		{secret1("description: !!binary gA=="), "accounts[0].secrets[0].description"},
		{secret1("tags: {a: !!binary /w==}"), "tags"},
		{secret1("versions: [{versionId: v, secretString: !!binary /w==}]"), "versions[0].secretString"},
		{account1("credentials: [{secretId: a, secretKey: !!binary /w==}]"), "accounts[0].credentials[0].secretKey"},
		{account1("kmsKeys: {!!binary /w==: good}"), "kmsKeys"},
		{"faults: [{drop: true, secretName: !!binary /w==}]", "faults[0].secretName"},
	} {
		_, err := build(c.text)
		if err == nil || !strings.Contains(err.Error(), c.field) || !strings.Contains(err.Error(), "UTF-8") || !strings.HasPrefix(err.Error(), "x.yaml:") {
			t.Errorf("%s\n%v", c.text, err)
		}
	}
}

// TestManyDocuments reads a file document by document, and writes one.
func TestManyDocuments(t *testing.T) {
	_, secrets, err := buildAll("# first\n---\n" + secret1("secretString: |\n  --- no marker\n  x") + "---\n" + strings.ReplaceAll(secret1("secretString: y"), "secretName: a", "secretName: b") + "...\n# nothing\n")
	if err != nil || len(secrets) != 2 || secrets[0].Versions[ssm.CurrentVersion].String != "--- no marker\nx\n" {
		t.Errorf("%+v %v", secrets, err)
	}
	var out bytes.Buffer
	w := NewWriter(&out, clock.State{}, nil, nil, nil)
	if err := w.Account(&ssm.AccountSnapshot{Uin: 1}); err != nil {
		t.Fatal(err)
	}
	for i := range 3*perDocument - 1 {
		s := &ssm.SecretSnapshot{Region: ssm.DefaultRegion, Secret: ssm.Secret{Name: fmt.Sprint("s", i), CreatedAt: wall.UnixNano()}}
		if err := w.Secret(1, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, secrets, err = buildAll("clock: {now: 2030-01-01T00:00:00Z, frozen: true}\n---\n" + strings.Replace(out.String(), "accounts:", "accounts:", 1))
	if err != nil {
		t.Error(err)
	}
	if n := strings.Count(out.String(), "---\n"); n != 2 || len(secrets) != 3*perDocument-1 {
		t.Errorf("%d markers, %d secrets", n, len(secrets))
	}
}

// TestDocumentsAreFound reads files as other programs write them.
func TestDocumentsAreFound(t *testing.T) {
	one, two := "accounts: [{uin: 1}]\n", "accounts: [{uin: 2}]\n"
	for text, accounts := range map[string]int{
		"---\n---\n" + one: 1,
		"---\n# Source: chart/seed.yaml\n---\n" + one:  1,
		one + "---\n---\n# nothing\n---\n" + two:       2,
		"%YAML 1.2\n---\n" + one:                       1,
		"%YAML 1.1\r\n---\r\n" + one:                   1,
		one + "...\n%YAML 1.2\n---\n" + two:            2,
		"--- # first\n" + one + "--- # second\n" + two: 2,
		`{"accounts":[{"uin":1}]}` + "\n---\n" + `{"accounts":[{"uin":2,"secrets":[{"secretName":"\u0061","description":"\ud83d\ude00"}]}]}`: 2,
	} {
		state, _, err := buildAll(text)
		if err != nil || len(state.Accounts) != accounts {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, _, err := buildAll("---\n# a\n---\n" + one + "---\nx: 1\n"); err == nil || !strings.Contains(err.Error(), ":6") && !strings.Contains(err.Error(), ":5") {
		t.Errorf("the line of a mistake: %v", err)
	}
}

// FuzzParse reads anything: it is a state or mistakes reported in a line each,
// and nothing panics.
func FuzzParse(f *testing.F) {
	for _, name := range fixtures.Seeds() {
		text, _ := fixtures.Seed(name)
		f.Add(text)
	}
	for _, text := range []string{
		"", "{}", "null", "[]", "a: &a [*a]", "accounts: [&a {uin: 1, secrets: [*a]}]", "accounts:\n  - <<: 5\n", "accounts: [null]", "accounts: [{uin: 1, secrets: [null]}]",
		"clock: {now: now+9999999d}", "faults: [null]", "accounts: [{uin: 1e300}]", "accounts: [{uin: -1}]", "\xff\xfe", "%YAML 9.9\n---\n{}", "clock:\n  now: !!timestamp 2030-01-01",
		"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]", "accounts: [{uin: 1, secrets: [{secretName: a, createTime: now-292y}]}]",
		"accounts: [{uin: 1, tasks: [{flowId: 9007199254740991, kind: rotation, secretName: a, beginTime: 1970-01-01T00:00:00Z}]}]",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := build(string(text))
		all, several := err.(Mistakes)
		if !several && err != nil {
			all = Mistakes{err}
		}
		for _, mistake := range all {
			if strings.Contains(mistake.Error(), "\n") {
				t.Errorf("a mistake is reported in several lines: %q", mistake)
			}
		}
		if len(all) > mostMistakes+1 { // and how many more there are
			t.Errorf("%d mistakes are reported", len(all))
		}
	})
}

// TestPipe reads what is written to a pipe, and gives one up to which nothing
// is written.
func TestPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	name := fmt.Sprintf("/dev/fd/%d", r.Fd())
	if _, err := ReadStream(name, time.Millisecond); err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Errorf("a pipe that nobody writes to: %v", err)
	}
	go func() {
		_, _ = w.WriteString("accounts: ")
		_, _ = w.WriteString("[]")
		_ = w.Close()
	}()
	// The reader that was given up may still take the first part.
	if text, err := ReadStream(name, time.Minute); err != nil || !strings.HasSuffix("accounts: []", string(text)) {
		t.Errorf("%q, %v", text, err)
	}
}
