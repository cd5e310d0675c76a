package server_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/control"
	"ssmlocal/server/journal"
	"ssmlocal/server/servertest"
)

// temporary are keys as STS and the metadata tell them.
type temporary struct {
	TmpSecretId, TmpSecretKey, Token string
	ExpiredTime                      int64
	Expiration                       time.Time
	Code                             string
}

// callWith calls an action with temporary keys and returns the code, or the answer.
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

// TestTemporaryKeysOfSTS uses keys of each kind: they may do what their role and their policy allow, say who they are, and end
// with the virtual clock.
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

// TestTemporaryKeysOutliveAReset: a program that has fetched keys goes on with them, with what its role may do then and with as
// much of their life left; expired ones are told from unknown ones.
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

// TestFederatedKeysAndTheirUser replaces the state under keys of a federated user: they may do what the keys that asked for them
// may, and end with them.
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

// TestFederatedKeysOfAHeldKey replaces the state by itself under keys of a federated user whose caller has a key that a secret holds.
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

// TestWhoMayAssume lets a caller assume the role that its policy names, and no other.
func TestWhoMayAssume(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	s := servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if got := callWith(t, s, temporary{TmpSecretId: "AKIDssmlocal", TmpSecretKey: "ssmlocal"}, "sts", "2018-08-13", "AssumeRole", `{"RoleArn":"qcs::cam::uin/5:roleName/x","RoleSessionName":"test"}`); got != "ResourceNotFound.RoleNotFound" || !strings.Contains(log.String(), "seed its account with it") {
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

// TestWebIdentity comes without a signature, which no other action may.
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

// metadata asks as the SDKs do, at an address, under the vendor's name.
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

const rolePath = "/latest/meta-data/cam/security-credentials/"

// TestMetadata reads the instance's role and its keys on the main port and on one of its own: the same until they come near
// their end, by the virtual clock.
func TestMetadata(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Metadata: "127.0.0.1:0"})
	for _, at := range []string{s.Host, strings.TrimPrefix(s.MetadataURL(), "http://")} {
		if status, name := metadata(t, at, rolePath); status != http.StatusOK || name != "ssmlocal" {
			t.Errorf("the role is %d %q", status, name)
		}
		for path, want := range map[string]string{
			"/latest/meta-data/placement/region": "ap-guangzhou", "/meta-data/instance-id": "ins-ssmlocal", "/latest/meta-data/placement/zone": "ap-guangzhou-3",
			"/latest/meta-data/": "cam/\ninstance-id\ninstance-name\nlocal-ipv4\nplacement/\nuuid", "/": "meta-data/", "/latest": "meta-data/",
			"/latest/meta-data/cam/": "security-credentials/\nservice-role-security-credentials/", "/latest/meta-data/placement": "region\nzone", strings.TrimSuffix(rolePath, "/"): "ssmlocal",
		} {
			if status, text := metadata(t, at, path); status != http.StatusOK || text != want {
				t.Errorf("%s is %d %q", path, status, text)
			}
		}
		for _, path := range []string{rolePath + "nobody", "/latest/meta-data/nothing", "/nothing", "/latestinstance-id", "/latest/meta-datainstance-id", "/instance-id"} {
			if status, _ := metadata(t, at, path); status != http.StatusNotFound {
				t.Errorf("%s is there: %d", path, status)
			}
		}
	}
	keys := func() (k temporary) {
		_, text := metadata(t, s.Host, rolePath+"ssmlocal")
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return k
	}
	first := keys()
	if again := keys(); again.TmpSecretId != first.TmpSecretId || again.Token != first.Token || first.Code != "Success" {
		t.Errorf("%+v then %+v", first, again)
	}
	if got := callWith(t, s, first, "ssm", "2019-09-23", "ListSecrets", "{}"); !strings.Contains(got, "TotalCount") {
		t.Errorf("the instance gets %s", got)
	}
	s.Advance(100 * time.Minute)
	if k := keys(); k.TmpSecretId != first.TmpSecretId || time.Until(time.Unix(k.ExpiredTime, 0)) > 21*time.Minute {
		t.Errorf("after 100 of 120 minutes: %+v", k)
	}
	s.Advance(10 * time.Minute)
	second := keys()
	if second.TmpSecretId == first.TmpSecretId || time.Until(time.Unix(second.ExpiredTime, 0)) < 119*time.Minute {
		t.Errorf("near their end the keys are not replaced: %+v", second)
	}
	if got := callWith(t, s, first, "ssm", "2019-09-23", "ListSecrets", "{}"); !strings.Contains(got, "TotalCount") {
		t.Errorf("the keys before get %s ahead of their end", got)
	}
	s.Advance(10 * time.Minute)
	if got := callWith(t, s, first, "ssm", "2019-09-23", "ListSecrets", "{}"); got != "AuthFailure.TokenFailure" {
		t.Errorf("expired keys get %s", got)
	}
	s.Import(`accounts: [{uin: 7, roles: [{roleName: free}, {roleName: mine, bound: true, policies: [{version: "2.0", statement: [{effect: deny, action: "*", resource: "*"}]}]}]}]`)
	if _, name := metadata(t, s.Host, rolePath); name != "mine" {
		t.Errorf("the bound role is %q", name)
	}
	if status, _ := metadata(t, s.Host, rolePath+"free"); status != http.StatusNotFound {
		t.Error("a role that is not bound has keys in the metadata")
	}
	var mine temporary
	_, text := metadata(t, s.Host, rolePath+"mine")
	if err := json.Unmarshal([]byte(text), &mine); err != nil || callWith(t, s, mine, "ssm", "2019-09-23", "GetRegions", "{}") != "UnauthorizedOperation" {
		t.Errorf("the bound role's policy does not hold: %v", err)
	}
	s.Import(`accounts: [{uin: 7, roles: [{roleName: free}]}]`)
	if status, _ := metadata(t, s.Host, rolePath); status != http.StatusNotFound {
		t.Error("without a bound role the metadata names one")
	}
}

// TestBoundTwice binds a role of one name in two accounts: the name and the keys are the first one's.
func TestBoundTwice(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import(`accounts: [{uin: 9, roles: [{roleName: z, bound: true}]}, {uin: 8, roles: [{roleName: z, bound: true}]}]`)
	var k temporary
	if _, text := metadata(t, s.Host, rolePath+"z"); json.Unmarshal([]byte(text), &k) != nil {
		t.Fatal(text)
	}
	if got := callWith(t, s, k, "sts", "2018-08-13", "GetCallerIdentity", "{}"); !strings.Contains(got, `"AccountId":"8"`) {
		t.Errorf("the keys are those of %s", got)
	}
}

// TestRefreshOfProviders moves the virtual clock past the end of keys that live shorter than the SDK's margin: its credential
// asks for others, as a program that runs for long must.
func TestRefreshOfProviders(t *testing.T) {
	s := servertest.New(t, server.Config{})
	s.Import(`accounts: [{uin: 100000000001, credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}], roles: [{roleName: app, bound: true, durationSeconds: 60}]}]`)
	before := http.DefaultClient.Transport
	http.DefaultClient.Transport = vendorOnly{toEmulator(t, s)}
	defer func() { http.DefaultClient.Transport = before }()
	credential, err := common.DefaultCvmRoleProvider().GetCredential()
	if err != nil {
		t.Fatal(err)
	}
	p := profile.NewClientProfile()
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint = "HTTP", s.Host
	client := common.NewCommonClient(credential, "ap-guangzhou", p)
	call := func() {
		q, reply := tchttp.NewCommonRequest("ssm", "2019-09-23", "GetRegions"), tchttp.NewCommonResponse()
		_ = q.SetActionParameters("{}")
		if err := client.Send(q, reply); err != nil {
			t.Error(err)
		}
	}
	call()
	call()
	s.Advance(time.Minute)
	call()
	var ids []string
	for _, e := range s.Calls(journal.Filter{Action: "GetRegions", Code: journal.OK}) {
		ids = append(ids, e.SecretID)
	}
	if len(ids) != 3 || ids[0] != ids[1] || ids[1] == ids[2] {
		t.Errorf("the calls have the keys %v", ids)
	}
}

// TestKeysThatEndSoon walks through the life of short-lived keys: none that is told ends so soon that Node's SDK asks again at once.
func TestKeysThatEndSoon(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	metadata(t, s.Host, rolePath+"ssmlocal") // of the usual life
	s.Import(`accounts: [{uin: 100000000001, roles: [{roleName: ssmlocal, bound: true, durationSeconds: 60}]}]`)
	var known temporary
	if _, text := metadata(t, s.Host, rolePath+"ssmlocal"); json.Unmarshal([]byte(text), &known) != nil || time.Until(time.Unix(known.ExpiredTime, 0)) > time.Minute {
		t.Errorf("a role whose keys live shorter now has keys until %d", known.ExpiredTime)
	}
	for _, life := range []int{60, 61, 120, 240} {
		s.Import(fmt.Sprintf(`accounts: [{uin: 1, roles: [{roleName: r%d, bound: true, durationSeconds: %[1]d}]}]`, life))
		for range 2 * life / 5 {
			var k temporary
			if _, text := metadata(t, s.Host, fmt.Sprint(rolePath, "r", life)); json.Unmarshal([]byte(text), &k) != nil {
				t.Fatal(text)
			}
			if left := time.Until(time.Unix(k.ExpiredTime, 0)); left < 32*time.Second || left > time.Duration(life)*time.Second {
				t.Errorf("of %d seconds, %s are left", life, left)
			}
			s.Advance(5 * time.Second)
		}
	}
	for _, life := range []int{1, 59, 43201} {
		if status, body := putState(t, s, "", fmt.Sprintf(`accounts: [{uin: 1, roles: [{roleName: r, bound: true, durationSeconds: %d}]}]`, life)); status != http.StatusBadRequest || !strings.Contains(body, "60 to 43200") {
			t.Errorf("%d: %s", life, body)
		}
	}
}

// through returns a client that sends everything through a proxy.
func through(proxy string, base *http.Client) *http.Client {
	u, _ := url.Parse(proxy)
	t := base.Transport.(*http.Transport).Clone()
	t.DialContext, t.Proxy = new(net.Dialer).DialContext, http.ProxyURL(u)
	return &http.Client{Transport: t}
}

// TestProxy sends an unmodified client's requests through the proxy: the vendor's names end here, over HTTP and HTTPS, and
// everything else is refused and counted.
func TestProxy(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Proxy: "127.0.0.1:0"})
	client := through(s.ProxyURL(), trusting(t, s))
	defer client.CloseIdleConnections()
	for _, address := range []string{
		"https://ssm.tencentcloudapi.com", "http://ssm.tencentcloudapi.com", "https://ssm.ap-beijing.tencentcloudapi.com", s.URL, strings.Replace(s.URL, "http", "https", 1),
	} {
		answer, err := client.Do(servertest.NewRequest(address, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}")))
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if text, _ := io.ReadAll(answer.Body); !strings.Contains(string(text), "ap-guangzhou") {
			t.Errorf("%s: %s", address, text)
		}
		answer.Body.Close()
	}
	if answer, err := client.Get("http://metadata.tencentyun.com" + rolePath); err != nil {
		t.Error(err)
	} else if text, _ := io.ReadAll(answer.Body); string(text) != "ssmlocal" {
		t.Errorf("the metadata through the proxy: %s", text)
	}
	if getControl(t, s, "/leaks") == "" || !strings.Contains(getControl(t, s, "/leaks"), `"total": 0`) {
		t.Error("what ended here counts as a leak")
	}
	for range 2 {
		if _, err := client.Get("https://example.com/"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("a tunnel elsewhere: %v", err)
		}
	}
	for _, address := range []string{"http://example.com/x", "http://127.0.0.1:1/", "http://tencentcloudapi.com.example.com/"} {
		answer, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusForbidden || !strings.Contains(string(text), "no_proxy") {
			t.Errorf("%s: %s %s", address, answer.Status, text)
		}
		answer.Body.Close()
	}
	var leaks control.LeaksReply
	if err := json.Unmarshal([]byte(getControl(t, s, "/leaks")), &leaks); err != nil || leaks.Total != 5 {
		t.Errorf("%+v %v", leaks, err)
	}
	var hosts []string
	for _, l := range leaks.Refused {
		hosts = append(hosts, fmt.Sprint(l.Host, " ", l.Count))
	}
	if got := strings.Join(hosts, ", "); got != "127.0.0.1:1 1, example.com:443 2, example.com:80 1, tencentcloudapi.com.example.com:80 1" {
		t.Errorf("refused were %s", got)
	}
	r, _ := http.NewRequest(http.MethodDelete, s.URL+"/_ssmlocal/leaks", nil)
	if _, body := send(t, r); !strings.Contains(body, `"removed": 4`) || !strings.Contains(getControl(t, s, "/leaks"), `"total": 0`) {
		t.Error(body)
	}
	direct, _ := http.NewRequest(http.MethodGet, s.ProxyURL()+"/", nil)
	if answer, body := send(t, direct); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "http_proxy") {
		t.Errorf("%s %s", answer.Status, body)
	}
}

// TestOddTunnels asks for tunnels in ways that no SDK does: a name of the vendor is one with whatever port, anything else is refused.
func TestOddTunnels(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Proxy: "127.0.0.1:0", TLSHosts: []string{"box.test"}})
	for _, c := range []struct{ to, want string }{
		{"ssm.tencentcloudapi.com:443", "200"}, {"ssm.tencentcloudapi.com:", "200"}, {"ssm.tencentcloudapi.com", "200"}, {"ssm.tencentcloudapi.com:99999", "200"},
		{"below.box.test:443", "200"}, {"box.test.:443", "200"}, {"example.com:", "403"}, {"[::2]:443", "403"}, {"ssm.tencentcloudapi.com.evil.com:443", "403"},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.ProxyURL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", c.to)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if !strings.HasPrefix(line, "HTTP/1.1 "+c.want) {
			t.Errorf("CONNECT %s: %q %v, want %s", c.to, line, err, c.want)
		}
		conn.Close()
	}
	if got := getControl(t, s, "/leaks"); !strings.Contains(got, `"total": 3`) || !strings.Contains(got, `"example.com:443"`) || !strings.Contains(got, `"[::2]:443"`) {
		t.Error(got)
	}
}

// TestProxyAndTheEmulator asks the emulator's own addresses through the proxy, which is no leak, and names hosts in odd ways.
func TestProxyAndTheEmulator(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Proxy: "127.0.0.1:0", Control: "127.0.0.1:0", Metadata: "127.0.0.1:0", TLSHosts: []string{"Secrets"}})
	client := through(s.ProxyURL(), trusting(t, s))
	defer client.CloseIdleConnections()
	for address, want := range map[string]string{
		s.ControlURL() + "/_ssmlocal/version":                                      `"version"`,
		strings.Replace(s.ControlURL(), "http", "https", 1) + "/_ssmlocal/version": `"version"`,
		s.MetadataURL() + rolePath:                                                 "ssmlocal",
		strings.Replace(s.MetadataURL(), "127.0.0.1", "localhost", 1) + rolePath:   "ssmlocal",
		"http://METADATA.tencentyun.com" + rolePath:                                "ssmlocal",
		"http://secrets/":                     "MissingParameter",
		"https://SECRETS/":                    "MissingParameter",
		"https://ssm.tencentcloudapi.com./":   "MissingParameter",
		"http://SSM.Tencentcloudapi.com.:80/": "MissingParameter",
		s.URL + "/":                           "MissingParameter",
	} {
		answer, err := client.Get(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if text, _ := io.ReadAll(answer.Body); !strings.Contains(string(text), want) {
			t.Errorf("%s: %s, want %s", address, text, want)
		}
		answer.Body.Close()
	}
	leaks := func() (l control.LeaksReply) {
		if err := json.Unmarshal([]byte(getControl(t, s, "/leaks")), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := leaks(); l.Total != 0 {
		t.Errorf("%+v", l)
	}
	for _, address := range []string{"http://Example.com/", "http://example.com.:80/", "http://" + strings.Repeat("a", 50_000) + ".example/"} {
		answer, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusForbidden || len(text) > 1000 {
			t.Errorf("%.100s: %s, %d bytes", address, answer.Status, len(text))
		}
		answer.Body.Close()
	}
	if l := leaks(); l.Total != 3 || len(l.Refused) != 2 || len(l.Refused[0].Host) > 300 || l.Refused[1].Host != "example.com:80" {
		t.Errorf("%+v", l)
	}
	if _, err := through(s.URL, trusting(t, s)).Get("https://ssm.tencentcloudapi.com/"); err == nil || !strings.Contains(err.Error(), "Method Not Allowed") {
		t.Errorf("the API as a proxy: %v", err)
	}
	direct, _ := http.NewRequest(http.MethodGet, s.URL+rolePath, nil)
	direct.Host = "Metadata.Tencentyun.com."
	if _, text := send(t, direct); text != "ssmlocal" {
		t.Errorf("the metadata by a name with capitals: %s", text)
	}
	for flag, c := range map[string]server.Config{
		"--proxy": {Proxy: "nowhere"}, "--metadata": {Metadata: "127.0.0.1:99999"}, "--control": {Control: "127.0.0.1"}, "--listen": {Listen: []string{"x"}},
	} {
		if flag != "--listen" {
			c.Listen = []string{"127.0.0.1:0"}
		}
		if other, err := server.New(c); err == nil || !strings.Contains(err.Error(), flag+" takes HOST:PORT") || !errors.As(err, new(server.ConfigError)) {
			t.Errorf("%s: %v", flag, err)
			if other != nil {
				other.Close()
			}
		}
	}
}

// toEmulator sends what is for the vendor's names to the emulator, as a hosts file would.
func toEmulator(t *testing.T, s *servertest.Server) http.RoundTripper {
	return trusting(t, s).Transport
}

// TestGoProviders runs the credential providers of Go's SDK, unchanged but for where the names lead: the instance's role, and
// an assumed one. They change the SDK's globals, so nothing runs beside them.
func TestGoProviders(t *testing.T) {
	s := servertest.New(t, server.Config{})
	s.Import("accounts: [{uin: 100000000001, credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}], secrets: [{secretName: db, secretString: hunter2}]}]")
	before := http.DefaultClient.Transport
	http.DefaultClient.Transport = vendorOnly{toEmulator(t, s)}
	common.DefaultHttpClient = &http.Client{Transport: toEmulator(t, s)}
	defer func() { http.DefaultClient.Transport, common.DefaultHttpClient = before, nil }()
	t.Setenv("HOME", t.TempDir())
	t.Setenv("TENCENTCLOUD_SECRET_ID", "")
	t.Setenv("TENCENTCLOUD_CREDENTIALS_FILE", "/nowhere")

	bound, err := common.DefaultCvmRoleProvider().GetCredential()
	if err != nil {
		t.Fatal(err)
	}
	assume := common.DefaultRoleArnProvider("AKIDssmlocal", "ssmlocal", "qcs::cam::uin/100000000001:roleName/app")
	assumed, err := assume.GetCredential()
	if err != nil {
		t.Fatal(err)
	}
	for name, credential := range map[string]common.CredentialIface{"the instance's role": bound, "an assumed role": assumed} {
		client := common.NewCommonClient(credential, "ap-guangzhou", profile.NewClientProfile())
		q, reply := tchttp.NewCommonRequest("ssm", "2019-09-23", "GetSecretValue"), tchttp.NewCommonResponse()
		_ = q.SetActionParameters(`{"SecretName":"db","VersionId":"SSM_Current"}`)
		if err := client.Send(q, reply); err != nil || !strings.Contains(string(reply.GetBody()), "hunter2") {
			t.Errorf("%s: %s %v", name, reply.GetBody(), err)
		}
	}
}

// vendorOnly leaves the tests' own requests alone.
type vendorOnly struct{ emulator http.RoundTripper }

func (v vendorOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Hostname(), "tencentyun.com") {
		return v.emulator.RoundTrip(r)
	}
	return http.DefaultTransport.RoundTrip(r)
}
