package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/journal"
	"ssmlocal/server/servertest"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
)

// vendorOnly leaves the tests' own requests alone.
type vendorOnly struct{ emulator http.RoundTripper }

// toEmulator sends requests for the vendor's names to the emulator, as a hosts
// file would.
func toEmulator(t *testing.T, s *servertest.Server) http.RoundTripper {
	return trusting(t, s).Transport
}

// TestMetadata reads the instance's role and its keys on the main port and on
// one of its own: the same until they come near their end, by the virtual
// clock.
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

// TestBoundTwice binds a role of one name in two accounts: the name and the
// keys are the first one's.
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

// TestRefreshOfProviders moves the virtual clock past the end of keys that live
// shorter than the SDK's margin: its credential asks for new ones, as a program
// that runs for a long time must.
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

// TestKeysThatEndSoon walks through the life of short-lived keys: no key that
// is returned ends so soon that Node's SDK asks again at once.
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

// TestGoProviders runs the credential providers of Go's SDK, unchanged except
// for where the names point: the instance's role, and an assumed one. They
// change the SDK's globals, so nothing runs beside them.
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
