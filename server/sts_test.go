package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/servertest"
)

func (v vendorOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Hostname(), "tencentyun.com") {
		return v.emulator.RoundTrip(r)
	}
	return http.DefaultTransport.RoundTrip(r)
}

const rolePath = "/latest/meta-data/cam/security-credentials/"

// metadata asks an address for the instance metadata as the SDKs do, under the
// vendor's name.
func metadata(t *testing.T, address, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "metadata.tencentyun.com"
	answer, text := send(t, r)
	return answer.StatusCode, text
}

func sts(t *testing.T, s *servertest.Server, who account.Credential, action, params string) temporary {
	t.Helper()
	var reply struct {
		Credentials temporary
		ExpiredTime int64
		Expiration  time.Time
	}
	if err := s.CallService("sts", "2018-08-13", "ap-guangzhou", who, action, json.RawMessage(params), &reply); err != nil {
		t.Fatal(err)
	}
	reply.Credentials.ExpiredTime, reply.Credentials.Expiration = reply.ExpiredTime, reply.Expiration
	return reply.Credentials
}

// callWith calls an action with temporary keys and returns the code, or the
// answer.
func callWith(t *testing.T, s *servertest.Server, k temporary, service, version, action, params string) string {
	t.Helper()
	who := account.Credential{SecretID: k.TmpSecretId, SecretKey: k.TmpSecretKey, Token: k.Token}
	var reply json.RawMessage
	err := s.CallService(service, version, "ap-guangzhou", who, action, json.RawMessage(params), &reply)
	var failure *servertest.Error
	if errors.As(err, &failure) {
		return failure.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(reply)
}

// temporary are keys as STS and the metadata return them.
type temporary struct {
	TmpSecretId, TmpSecretKey, Token string
	ExpiredTime                      int64
	Expiration                       time.Time
	Code                             string
}

// TestTemporaryKeysOfSTS uses keys of each kind: they may do what their role
// and their policy allow, say who they are, and end with the virtual clock.
func TestTemporaryKeysOfSTS(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import(`
accounts:
  - uin: 100000000001
    users: [{uin: 100000000101}]
    credentials:
      - {secretId: AKIDssmlocal, secretKey: ssmlocal}
      - {secretId: AKIDuser, secretKey: k, user: 100000000101}
    roles:
      - roleName: reader
        policies: [{version: "2.0", statement: [{effect: allow, action: ["ssm:GetSecretValue", "ssm:ListSecrets", "sts:*"], resource: "*"}]}]
    secrets: [{secretName: a, secretString: x}, {secretName: b, secretString: y}]`)
	const read = `{"SecretName":"a","VersionId":"SSM_Current"}`
	only := func(name string) string {
		return fmt.Sprintf(`{"version":"2.0","statement":[{"effect":"allow","action":"*","resource":"qcs::ssm:::secret/creatorUin/100000000001/%s"},{"effect":"allow","action":["sts:*"],"resource":"*"}]}`, name)
	}
	role := sts(t, s, s.Credential, "AssumeRole", `{"RoleArn":"qcs::cam::uin/100000000001:roleName/reader","RoleSessionName":"test"}`)
	less := sts(t, s, s.Credential, "AssumeRole", fmt.Sprintf(`{"RoleArn":"qcs::cam::uin/100000000001:roleName/reader","RoleSessionName":"test","Policy":%q,"DurationSeconds":600}`, url.QueryEscape(only("b"))))
	guest := sts(t, s, account.Credential{SecretID: "AKIDuser", SecretKey: "k"}, "GetFederationToken", fmt.Sprintf(`{"Name":"guest","Policy":%q}`, url.QueryEscape(only("a"))))
	for _, c := range []struct {
		what                   string
		keys                   temporary
		service, action, param string
		want                   string
	}{
		{"the role reads", role, "ssm", "GetSecretValue", read, `"SecretString":"x"`},
		{"the role writes", role, "ssm", "DisableSecret", `{"SecretName":"a"}`, "UnauthorizedOperation"},
		{"the session reads what its policy leaves out", less, "ssm", "GetSecretValue", read, "UnauthorizedOperation"},
		{"the session reads", less, "ssm", "GetSecretValue", strings.Replace(read, "a", "b", 1), "UnauthorizedOperation"},
		{"the guest reads", guest, "ssm", "GetSecretValue", read, `"SecretString":"x"`},
		{"the guest reads something else", guest, "ssm", "GetSecretValue", `{"SecretName":"b","VersionId":"SSM_Current"}`, "UnauthorizedOperation"},
		{"who the role is", role, "sts", "GetCallerIdentity", "{}", `"Type":"CAMRole","AccountId":"100000000001","UserId":"46116860184`},
		{"who the guest is", guest, "sts", "GetCallerIdentity", "{}", `"Type":"CAMUser","AccountId":"100000000001","UserId":"100000000101:guest","PrincipalId":"100000000101","Arn":"qcs::sts:100000000001:federated-user/100000000101"`},
		{"a guest invites another", guest, "sts", "GetFederationToken", `{"Name":"x2","Policy":"{}"}`, "UnauthorizedOperation"},
		{"no token", temporary{TmpSecretId: role.TmpSecretId, TmpSecretKey: role.TmpSecretKey}, "ssm", "GetRegions", "{}", "AuthFailure.TokenFailure"},
		{"another token", temporary{TmpSecretId: role.TmpSecretId, TmpSecretKey: role.TmpSecretKey, Token: guest.Token}, "ssm", "GetRegions", "{}", "AuthFailure.TokenFailure"},
		{"another key", temporary{TmpSecretId: role.TmpSecretId, TmpSecretKey: "x", Token: role.Token}, "ssm", "GetRegions", "{}", "AuthFailure.SignatureFailure"},
	} {
		version := map[string]string{"ssm": "2019-09-23", "sts": "2018-08-13"}[c.service]
		if c.what == "the session reads" {
			c.param, c.want = `{"SecretName":"b","VersionId":"SSM_Current"}`, `"SecretString":"y"`
		}
		if got := callWith(t, s, c.keys, c.service, version, c.action, c.param); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
	if left := time.Until(time.Unix(less.ExpiredTime, 0)); left < 9*time.Minute || left > 10*time.Minute || less.Expiration.Unix() != less.ExpiredTime {
		t.Errorf("the session ends in %s", left)
	}
	s.Advance(10 * time.Minute)
	if got := callWith(t, s, less, "ssm", "2019-09-23", "ListSecrets", "{}"); got != "AuthFailure.TokenFailure" {
		t.Errorf("an expired session gets %s", got)
	}
	if got := callWith(t, s, role, "ssm", "2019-09-23", "ListSecrets", "{}"); !strings.Contains(got, "TotalCount") {
		t.Errorf("a session that goes on gets %s", got)
	}
	if strings.Contains(getState(t, s, ""), role.TmpSecretId) {
		t.Error("temporary keys are part of the exported state")
	}
}

// TestTemporaryKeysOutliveAReset uses keys after a reset: they are valid for as
// long as they had left, and may do what their role may do then. Expired keys
// get another error than unknown ones.
func TestTemporaryKeysOutliveAReset(t *testing.T) {
	t.Parallel()
	seed := filepath.Join(t.TempDir(), "seed.yaml")
	text := `
clock: {now: "2030-01-01T00:00:00Z"}
accounts:
  - uin: 100000000001
    credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]
    roles: [{roleName: app, bound: true}, {roleName: other}]
    secrets: [{secretName: db, secretString: x}]`
	if err := os.WriteFile(seed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := servertest.New(t, server.Config{Seeds: []string{seed}, Auth: account.Any})
	lists := func(k temporary) string { return callWith(t, s, k, "ssm", "2019-09-23", "ListSecrets", "{}") }
	assume := func() temporary {
		return sts(t, s, s.Credential, "AssumeRole", `{"RoleArn":"qcs::cam::uin/100000000001:roleName/other","RoleSessionName":"test"}`)
	}
	bound := func() (k temporary) {
		_, text := metadata(t, s.Host, rolePath+"app")
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return k
	}
	expired := assume()
	s.Advance(3 * time.Hour)
	kept, assumed := bound(), assume()
	if got := lists(expired); got != "AuthFailure.TokenFailure" {
		t.Errorf("expired keys get %s once there are others", got)
	}
	s.Advance(time.Hour)
	s.Reset()
	for what, k := range map[string]temporary{"the instance's": kept, "assumed": assumed} {
		if got := lists(k); !strings.Contains(got, `"SecretName":"db"`) {
			t.Errorf("after a reset the keys that are %s get %s", what, got)
		}
	}
	if got := lists(expired); got != "AuthFailure.TokenFailure" {
		t.Errorf("a reset gives expired keys life: %s", got)
	}
	again := bound()
	if left := time.Until(time.Unix(again.ExpiredTime, 0)); again.TmpSecretId != kept.TmpSecretId || left > 61*time.Minute || left < 59*time.Minute {
		t.Errorf("after a reset the instance has %s left of %s, had %s", left, again.TmpSecretId, kept.TmpSecretId)
	}
	s.Import(`accounts: [{uin: 100000000001, roles: [{roleName: app, policies: [{version: "2.0", statement: [{effect: deny, action: "*", resource: "*"}]}]}]}]`)
	if got := lists(kept); got != "UnauthorizedOperation" {
		t.Errorf("the role may do nothing any more, and its keys get %s", got)
	}
	if got := lists(assumed); got != "AuthFailure.TokenFailure" {
		t.Errorf("the role is gone, and its keys get %s", got)
	}
	s.Import(`accounts: [{uin: 8, secrets: [{secretName: z}]}]`)
	s.Advance(61 * time.Minute)
	if got := lists(kept); got != "AuthFailure.TokenFailure" {
		t.Errorf("the keys live on by the time of two resets: %s", got)
	}
}

// TestFederatedKeysAndTheirUser replaces the state while keys of a federated
// user exist: they may do what the keys that asked for them may do, and end
// with them.
func TestFederatedKeysAndTheirUser(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	state := func(users string) string {
		return `accounts: [{uin: 100000000001, users: [{uin: 100000000101}], credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}` + users + `], secrets: [{secretName: a, secretString: x}]}]`
	}
	user := account.Credential{SecretID: "AKIDuser", SecretKey: "k"}
	s.Import(state(", {secretId: AKIDuser, secretKey: k, user: 100000000101}"))
	guest := sts(t, s, user, "GetFederationToken", `{"Name":"guest","Policy":"{\"version\":\"2.0\",\"statement\":[{\"effect\":\"allow\",\"action\":\"*\",\"resource\":\"*\"}]}"}`)
	for _, c := range []struct{ users, want string }{
		{", {secretId: AKIDuser, secretKey: k, user: 100000000101}", `"SecretString":"x"`},
		{`, {secretId: AKIDuser, secretKey: k, user: 100000000101, policies: [{version: "2.0", statement: [{effect: deny, action: "*", resource: "*"}]}]}`, "UnauthorizedOperation"},
		{"", "AuthFailure.TokenFailure"},
	} {
		s.Import(state(c.users))
		if got := callWith(t, s, guest, "ssm", "2019-09-23", "GetSecretValue", `{"SecretName":"a","VersionId":"SSM_Current"}`); !strings.Contains(got, c.want) {
			t.Errorf("with %q the guest gets %s", c.users, got)
		}
	}
}

// TestFederatedKeysOfAHeldKey exports the state and imports it again while keys
// of a federated user exist that were asked for with a key which a secret
// holds.
func TestFederatedKeysOfAHeldKey(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import(`accounts: [{uin: 100000000001, credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}], secrets: [{secretName: key, secretType: 3, targetUin: 100000000101, accessKeys: [{secretId: AKIDheld, secretKey: k}]}]}]`)
	guest := sts(t, s, account.Credential{SecretID: "AKIDheld", SecretKey: "k"}, "GetFederationToken", `{"Name":"guest","Policy":"{\"version\":\"2.0\",\"statement\":[{\"effect\":\"allow\",\"action\":\"*\",\"resource\":\"*\"}]}"}`)
	s.Import(getState(t, s, ""))
	if got := callWith(t, s, guest, "ssm", "2019-09-23", "GetRegions", "{}"); !strings.Contains(got, "Regions") {
		t.Error(got)
	}
	s.Import(`accounts: [{uin: 100000000001, credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]}]`)
	if got := callWith(t, s, guest, "ssm", "2019-09-23", "GetRegions", "{}"); got != "AuthFailure.TokenFailure" {
		t.Error(got)
	}
}

// TestWhoMayAssume lets a caller assume the role that its policy names, and no
// other.
func TestWhoMayAssume(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	s := servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if got := callWith(t, s, temporary{TmpSecretId: "AKIDssmlocal", TmpSecretKey: "ssmlocal"}, "sts", "2018-08-13", "AssumeRole", `{"RoleArn":"qcs::cam::uin/5:roleName/x","RoleSessionName":"test"}`); got != "ResourceNotFound.RoleNotFound" || !strings.Contains(log.String(), "add it to its account in a seed") {
		t.Errorf("%s, and the log says %s", got, log.String())
	}
	if got := callWith(t, s, temporary{TmpSecretId: "AKIDssmlocal", TmpSecretKey: "ssmlocal"}, "sts", "2018-08-13", "GetFederationToken", `{"Name":"guest","Policy":" "}`); got != "InvalidParameter.StrategyFormatError" {
		t.Errorf("no policy at all gives %s", got)
	}
	s.Import(`
accounts:
  - uin: 100000000001
    users: [{uin: 100000000101}]
    roles: [{roleName: app}, {roleName: admin}]
    credentials:
      - secretId: AKIDuser
        secretKey: k
        user: 100000000101
        policies: [{version: "2.0", statement: [{effect: allow, action: "sts:AssumeRole", resource: "qcs::cam::uin/100000000001:roleName/app"}]}]
  - uin: 2
    users: [{uin: 201}]
    credentials: [{secretId: AKIDtwo, secretKey: k, user: 201}]
    roles: [{roleName: app}]`)
	user := temporary{TmpSecretId: "AKIDuser", TmpSecretKey: "k"}
	for name, want := range map[string]string{"app": `"TmpSecretId":"AKID`, "admin": "UnauthorizedOperation"} {
		params := fmt.Sprintf(`{"RoleArn":"qcs::cam::uin/100000000001:roleName/%s","RoleSessionName":"test","ExternalId":"hush"}`, name)
		if got := callWith(t, s, user, "sts", "2018-08-13", "AssumeRole", params); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if journal := getControl(t, s, "/journal"); strings.Contains(journal, "hush") {
		t.Error(journal)
	}
	other := sts(t, s, account.Credential{SecretID: "AKIDtwo", SecretKey: "k"}, "AssumeRole", `{"RoleArn":"qcs::cam::uin/100000000001:roleName/app","RoleSessionName":"test"}`)
	if got := callWith(t, s, other, "sts", "2018-08-13", "GetCallerIdentity", "{}"); !strings.Contains(got, `"PrincipalId":"100000000001"`) {
		t.Errorf("a role assumed from another account: %s", got)
	}
	for policy, want := range map[string]string{
		"version: '2.0'": "it is not JSON",
		`{"version":"2.0","statement":[{"effect":"allow","action":"*","resource":"*","condition":{}}]}`: "there is no field /statement/0/condition; the fields are effect, action, resource",
		`{"version":"2.0","statement":[{"effect":"allow","action":7,"resource":"*"}]}`:                  "/statement/0/action",
		`{"version":"2.0","statement":[{"effect":"allow","action":"ssm:Nothing","resource":"*"}]}`:      "statement[0].action[0]",
	} {
		var reply any
		err := s.CallService("sts", "2018-08-13", "ap-guangzhou", account.Credential{SecretID: "AKIDtwo", SecretKey: "k"}, "GetFederationToken", map[string]any{"Name": "guest", "Policy": policy}, &reply)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "StrategyFormatError") {
			t.Errorf("%s: %v, want %s", policy, err, want)
		}
	}
}

// TestWebIdentity calls without a signature, which no other action allows.
func TestWebIdentity(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import("accounts: [{uin: 100000000001, roles: [{roleName: app}], credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]}]")
	q := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "AssumeRoleWithWebIdentity",
		[]byte(`{"ProviderId":"oidc","WebIdentityToken":"jwt","RoleArn":"qcs::cam::uin/100000000001:roleName/app","RoleSessionName":"test","DurationSeconds":7200}`))
	q.Header.Set("X-TC-Version", "2018-08-13")
	q.Header.Set("Authorization", "SKIP")
	_, text := send(t, q)
	var reply struct {
		Response struct{ Credentials temporary }
	}
	if err := json.Unmarshal([]byte(text), &reply); err != nil {
		t.Fatal(err)
	}
	if got := callWith(t, s, reply.Response.Credentials, "ssm", "2019-09-23", "ListSecrets", "{}"); !strings.Contains(got, "TotalCount") {
		t.Errorf("%s, and the keys get %s", text, got)
	}
	if entries := readJournal(t, s, "?action=AssumeRoleWithWebIdentity"); len(entries) != 1 || entries[0].Parameters["WebIdentityToken"] != "***" {
		t.Errorf("%+v", entries)
	}
	other := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}"))
	other.Header.Set("Authorization", "SKIP")
	if got := refusal(t, other); !strings.HasPrefix(got, "AuthFailure.InvalidAuthorization") {
		t.Error(got)
	}
}
