package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/capsule"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
)

// aRun is calls of every kind: with values that are drawn, refused, failing by
// a fault, over the rate, after a move of the clock.
func aRun(t *testing.T, s *servertest.Server) {
	t.Helper()
	call := func(action string, params map[string]any) { _ = s.Call(action, params, nil) }
	call("CreateSecret", map[string]any{"SecretName": "db", "VersionId": "v1", "SecretString": "hunter2-value"})
	call("CreateProductSecret", map[string]any{
		"SecretName": "product", "UserNamePrefix": "app", "ProductName": "Mysql", "InstanceID": "cdb-1", "Domains": []string{"%"},
		"PrivilegesList": []any{map[string]any{"PrivilegeName": "GlobalPrivileges", "Privileges": []string{"SELECT"}}},
		"EnableRotation": true, "RotationFrequency": 30,
	})
	callControl(t, s, http.MethodPost, "/clock/advance", `{"by":"31d"}`)
	call("GetSecretValue", map[string]any{"SecretName": "product", "VersionId": "SSM_Current"})
	call("CreateSSHKeyPairSecret", map[string]any{"SecretName": "key", "ProjectId": 0})
	call("GetSSHKeyPairValue", map[string]any{"SecretName": "key"})
	callControl(t, s, http.MethodPost, "/faults", `{"action":"GetSecretValue","times":1,"error":{"code":"InternalError"}}`)
	call("GetSecretValue", map[string]any{"SecretName": "db", "VersionId": "v1"})
	call("GetSecretValue", map[string]any{"SecretName": "db", "VersionId": "v1"})
	call("GetSecretValue", map[string]any{"SecretName": "none", "VersionId": "v1"})
	callControl(t, s, http.MethodPut, "/clock", `{"mode":"frozen"}`)
	for range 3 {
		call("ListSecrets", map[string]any{})
	}
	call("DisableSecret", map[string]any{"SecretName": "db"})
	call("DeleteSecret", map[string]any{"SecretName": "db", "RecoveryWindowInDays": 3})
	call("DescribeSecret", map[string]any{"SecretName": "db"})
	r := servertest.NewRequest(s.URL, "ap-guangzhou", account.Credential{SecretID: "AKIDssmlocal", SecretKey: "wrong-key"}, "ListSecrets", []byte("{}"))
	send(t, r)
}

func saved(t *testing.T, s *servertest.Server, query string) (*capsule.Capsule, string) {
	t.Helper()
	text := callControl(t, s, http.MethodGet, "/capsule"+query, "")
	c, err := capsule.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return c, text
}

func TestReplayIsEqual(t *testing.T) {
	t.Parallel()
	pace, err := ssm.ParsePace("1polls")
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]server.Config{
		"nothing":          {},
		"seeds":            {Seeds: []string{"demo"}},
		"a data directory": {Data: t.TempDir(), Seeds: []string{"every-status"}},
		"any caller":       {Auth: account.Any},
		"settings": {
			Rates: map[string]int{"ListSecrets": 2}, TaskPace: pace, SecretLimit: 3,
			Credentials: []account.Credential{{SecretID: "AKIDssmlocal", SecretKey: "another", Uin: 7}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config.Capsule = 100
			s := servertest.New(t, config)
			aRun(t, s)
			c, text := saved(t, s, "")
			if len(c.Requests) < 17 || c.Stopped != "" || !strings.Contains(text, "hunter2-value") || !strings.Contains(text, "holds secrets") {
				t.Fatalf("%d requests, %q", len(c.Requests), c.Stopped)
			}
			done, err := server.Replay(context.Background(), c)
			if err != nil || done.Differs != nil || done.Requests != len(c.Requests) {
				t.Errorf("%+v %+v, %v", done, done.Differs, err)
			}
			// The running emulator does the same, and stays as it is.
			before := callControl(t, s, http.MethodGet, "/state", "")
			var there server.Replayed
			controlInto(t, s, http.MethodPost, "/replay", text, &there)
			if there.Differs != nil || there.Requests != done.Requests {
				t.Errorf("by the control plane: %+v %+v", there, there.Differs)
			}
			if after := callControl(t, s, http.MethodGet, "/state", ""); after != before {
				t.Error("a replay has changed the state")
			}
			// What is changed in between is found.
			c.Requests[0].Body = bytes.ReplaceAll(c.Requests[0].Body, []byte(`"db"`), []byte(`"bd"`))
			if done, err := server.Replay(context.Background(), c); err != nil || done.Differs == nil || done.Differs.Number != 1 {
				t.Errorf("a changed request: %+v, %v", done, err)
			}
			// Without the values it can be handed on.
			c, text = saved(t, s, "?redact=true")
			for _, value := range []string{"hunter2-value", `:ssmlocal:`, "another", "demo-password-one", "hello", "wrong-key"} {
				if strings.Contains(text, value) {
					t.Errorf("redacted, it has %s", value)
				}
			}
			done, err = server.Replay(context.Background(), c)
			if err != nil || done.Differs != nil || done.Requests+done.Skipped != len(c.Requests) {
				t.Errorf("redacted: %+v %+v, %v", done, done.Differs, err)
			}
			c, _ = saved(t, s, "") // after that with its keys again
			if done, err = server.Replay(context.Background(), c); err != nil || done.Differs != nil {
				t.Errorf("after a redacted one: %+v %+v, %v", done, done.Differs, err)
			}
		})
	}
}

// TestCapsuleBeginsAnew replaces the state in between, and records too much.
func TestCapsuleBeginsAnew(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Seeds: []string{"demo"}, Capsule: 5})
	aRun(t, s)
	if c, _ := saved(t, s, ""); len(c.Requests) != 5 || !strings.Contains(c.Stopped, "5 requests") {
		t.Errorf("%d requests, %q", len(c.Requests), c.Stopped)
	}
	for name, replace := range map[string]func(){
		"reset":  func() { callControl(t, s, http.MethodPost, "/reset", "") },
		"import": func() { callControl(t, s, http.MethodPut, "/state", twoSecrets) },
		"merge":  func() { callControl(t, s, http.MethodPut, "/state?merge=true", twoSecrets) },
		"snapshot": func() {
			callControl(t, s, http.MethodPut, "/snapshots/x", "")
			callControl(t, s, http.MethodPost, "/snapshots/x/load", "")
		},
	} {
		replace()
		if c, _ := saved(t, s, ""); len(c.Requests) != 0 || c.Stopped != "" {
			t.Errorf("after %s: %d requests, %q", name, len(c.Requests), c.Stopped)
		}
		for i := range 3 {
			_ = s.Call("CreateSecret", map[string]string{"SecretName": fmt.Sprint(name, i), "SecretString": "x"}, nil)
		}
		c, _ := saved(t, s, "")
		if done, err := server.Replay(context.Background(), c); err != nil || done.Differs != nil || done.Requests != 3 {
			t.Errorf("after %s: %+v %+v, %v", name, done, done.Differs, err)
		}
	}
	callControl(t, s, http.MethodPost, "/reset?uin=5", "")
	_ = s.Call("ListSecrets", nil, nil)
	if c, _ := saved(t, s, ""); len(c.Requests) != 3 || !strings.Contains(c.Stopped, "one account") {
		t.Errorf("after the reset of an account: %d requests, %q", len(c.Requests), c.Stopped)
	}
	off := servertest.New(t, server.Config{})
	if answer := refusedControl(t, off, http.MethodGet, "/capsule", ""); !strings.Contains(answer, "--capsule") {
		t.Error(answer)
	}
	for _, wrong := range []string{`{"capsule":1,"start":{"clock":[0,0,0],"state":"{}"},"requests":[{"method":"GET","url":"/_ssmlocal/journal/stream"}]}`, "", "{}", `{"capsule":1}`, `{"capsule":2}`, "x", `{"capsule":1,"start":{"clock":[0,0,0],"state":"x: y"}}`, `{"capsule":1,"settings":{"credentials":["x"]},"start":{"clock":[0,0,0],"state":"{}"}}`, `{"capsule":1,"settings":{"taskPace":"never"},"start":{"clock":[0,0,0],"state":"{}"}}`, `{"capsule":1,"start":{"clock":[0,0,0],"random":"eA==","state":"{}"}}`} {
		refusedControl(t, off, http.MethodPost, "/replay", wrong)
	}
}

// TestReplayHasTheSameKeys records calls with temporary keys, of a role that is
// assumed and of the instance's.
func TestReplayHasTheSameKeys(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 20})
	s.Import(`accounts: [{roles: [{roleName: app, bound: true}, {roleName: other}], secrets: [{secretName: a, secretString: x}]}]`)
	assumed := sts(t, s, account.Credential{SecretID: "AKIDssmlocal", SecretKey: "ssmlocal"}, "AssumeRole",
		`{"RoleArn":"qcs::cam::uin/100000000001:roleName/other","RoleSessionName":"tester"}`)
	_, text := metadata(t, s.Host, rolePath+"app")
	var bound temporary
	if err := json.Unmarshal([]byte(text), &bound); err != nil {
		t.Fatal(err)
	}
	for _, k := range []temporary{assumed, bound} {
		if got := callWith(t, s, k, "ssm", "2019-09-23", "DescribeSecret", `{"SecretName":"a"}`); !strings.Contains(got, `"a"`) {
			t.Fatal(got)
		}
	}
	c, _ := saved(t, s, "")
	done, err := server.Replay(context.Background(), c)
	if err != nil || done.Differs != nil || done.Requests != 4 {
		t.Errorf("%+v %+v, %v", done, done.Differs, err)
	}
}

// TestCapsuleHasNoDatabase records a run with a bound instance: the replay must
// not reach it, and a redacted capsule has nothing of its URL.
func TestCapsuleHasNoDatabase(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 20})
	s.Import(`accounts: [{instances: [{instanceId: cdb-1, url: "mysql://admin:database-password@127.0.0.1:1/"}], secrets: [{secretName: a, secretString: x}]}]`)
	callControl(t, s, http.MethodPost, "/call", `{"action":"PutSecretValue","parameters":{"SecretName":"a","VersionId":"v2","SecretString":"in-a-shown-request"}}`)
	callControl(t, s, http.MethodPut, "/instances", `{"instanceId":"cdb-2","url":"mysql://admin:database-password@127.0.0.1:1/"}`)
	c, _ := saved(t, s, "")
	signature := regexp.MustCompile(`Signature=[0-9a-z]{64}`)
	redacted, text := saved(t, s, "?redact=true")
	for _, value := range []string{"database-password", "in-a-shown-request"} {
		if strings.Contains(text, value) {
			t.Errorf("redacted, it has %s", value)
		}
	}
	for _, each := range []*capsule.Capsule{c, redacted} {
		done, err := server.Replay(context.Background(), each)
		if err != nil || done.Differs != nil || done.Requests != 1 {
			t.Errorf("%+v %+v, %v", done, done.Differs, err)
		}
		if strings.Contains(each.Start.State, "instances") {
			t.Error("an instance is bound in a replay")
		}
	}
	_ = s.Call("ListSecrets", nil, nil)
	_, plain := saved(t, s, "")
	if _, text := saved(t, s, "?redact=true"); signature.FindString(text) == signature.FindString(plain) || signature.FindString(text) == "" {
		t.Error("redacted, it has a signature that keys can be tried against")
	}
}
