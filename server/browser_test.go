package server_test

import (
	"net/http"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/servertest"
)

// TestBrowsersOfOthers calls the API, the control plane and the metadata as a
// browser does for pages: pages of other sites, and under names that others may
// have pointed here, get nothing.
func TestBrowsersOfOthers(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Auth: account.Off, TLSHosts: []string{"emulator.corp"}})
	_, port, _ := strings.Cut(s.Host, ":")
	for _, c := range []struct {
		host, site, origin string
		api, control       bool
	}{
		{s.Host, "", "", true, true},
		{"ssmlocal:" + port, "", "", true, true},
		{"ssm.default.svc", "", "", true, true},
		{"stranger.example", "", "", true, false}, // a program's, at the API
		{s.Host, "same-origin", "http://" + s.Host, true, true},
		{"localhost:" + port, "none", "", true, true},
		{"[::1]:" + port, "same-origin", "http://[::1]:" + port, true, true},
		{"ssm.tencentcloudapi.com", "same-origin", "", true, true},
		{"emulator.corp", "same-origin", "http://emulator.corp", true, true},
		{s.Host, "cross-site", "", false, false},
		{s.Host, "same-site", "", false, false},
		{s.Host, "", "http://stranger.example", false, false},
		{s.Host, "same-origin", "http://stranger.example", false, false},
		{s.Host, "", "null", false, false},
		{s.Host, "whatever", "", false, false},
		{"stranger.example", "same-origin", "http://stranger.example", false, false},
		{"stranger.example", "none", "", false, false},
		{"box.local", "none", "", false, false},
		{"box.internal", "same-origin", "http://box.internal", false, false},
		{"box.test", "same-origin", "", false, false},
		{"ssmlocal:" + port, "same-origin", "http://ssmlocal:" + port, false, false},
		{"localhost.stranger.example", "none", "", false, false},
	} {
		mark := func(r *http.Request) {
			r.Host = c.host
			if c.site != "" {
				r.Header.Set("Sec-Fetch-Site", c.site)
			}
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			r.Header.Set("Sec-Fetch-Mode", "cors") // Node's fetch sends that alone
		}
		api, _ := http.NewRequest(http.MethodGet, s.URL+"/?Action=GetRegions&Version=2019-09-23", nil)
		mark(api)
		if answer, text := send(t, api); (answer.StatusCode == http.StatusOK && strings.Contains(text, "Regions")) != c.api {
			t.Errorf("%+v: the API answers %s %.100s", c, answer.Status, text)
		}
		control, _ := http.NewRequest(http.MethodGet, s.URL+"/_ssmlocal/state", nil)
		mark(control)
		if answer, text := send(t, control); (answer.StatusCode == http.StatusOK) != c.control || !c.control && answer.StatusCode != http.StatusForbidden {
			t.Errorf("%+v: the control plane answers %s %.100s", c, answer.Status, text)
		}
	}
	metadata, _ := http.NewRequest(http.MethodGet, s.URL+"/latest/meta-data/cam/security-credentials/ssmlocal", nil)
	metadata.Host = "metadata.tencentyun.com"
	metadata.Header.Set("Sec-Fetch-Site", "cross-site")
	if answer, text := send(t, metadata); answer.StatusCode != http.StatusForbidden || strings.Contains(text, "TmpSecretKey") {
		t.Errorf("the metadata answers %s %s", answer.Status, text)
	}
}

// TestMetadataOff asks for the instance metadata where it is switched off.
func TestMetadataOff(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Metadata: "off"})
	r, _ := http.NewRequest(http.MethodGet, s.URL+"/latest/meta-data/cam/security-credentials/ssmlocal", nil)
	r.Host = "metadata.tencentyun.com"
	if answer, text := send(t, r); answer.StatusCode != http.StatusNotFound || !strings.Contains(text, "--metadata off") {
		t.Errorf("%s %s", answer.Status, text)
	}
}

// TestUnsignedCallsNeedASeededRole asks for keys without a signature: only a
// role of the account's seed gives any, and only a fresh call gets them.
func TestUnsignedCallsNeedASeededRole(t *testing.T) {
	t.Parallel()
	for _, mode := range []account.Mode{account.Verify, account.Any} {
		s := servertest.New(t, server.Config{Auth: mode})
		ask := func(role, timestamp string) string {
			q := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "AssumeRoleWithWebIdentity",
				[]byte(`{"ProviderId":"oidc","WebIdentityToken":"jwt","RoleArn":"qcs::cam::uin/100000000001:roleName/`+role+`","RoleSessionName":"test"}`))
			q.Header.Set("X-TC-Version", "2018-08-13")
			q.Header.Set("Authorization", "SKIP")
			if timestamp != "" {
				q.Header.Set("X-TC-Timestamp", timestamp)
			}
			return refusal(t, q)
		}
		if got := ask("app", ""); !strings.HasPrefix(got, "ResourceNotFound.RoleNotFound") || !strings.Contains(got, "must be seeded") {
			t.Errorf("%s: without roles: %s", mode, got)
		}
		s.Import("accounts: [{uin: 100000000001, roles: [{roleName: app}]}]")
		if got := ask("app", ""); got != "" {
			t.Errorf("%s: a role of the seed: %s", mode, got)
		}
		if got := ask("other", ""); !strings.HasPrefix(got, "ResourceNotFound.RoleNotFound") {
			t.Errorf("%s: another role: %s", mode, got)
		}
		if got := ask("app", "1000000000"); !strings.HasPrefix(got, "AuthFailure.SignatureExpire") {
			t.Errorf("%s: an old call: %s", mode, got)
		}
	}
}

// TestScopeOfAnotherService signs for one service and calls the host of
// another.
func TestScopeOfAnotherService(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	for _, c := range []struct {
		host, service, want string
	}{
		{"ssm.tencentcloudapi.com", "ssm", ""}, {"ssm.tencentcloudapi.com", "tag", "AuthFailure.InvalidAuthorization"},
		{"ssm.localhost:9023", "sts", "AuthFailure.InvalidAuthorization"}, {"127.0.0.1:9023", "127", ""}, {"localhost:9023", "localhost:9023", ""},
		{"ssmlocal", "ssm", ""},
	} {
		q := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}"))
		q.Host = c.host
		signFor(q, s, c.service)
		if got := refusal(t, q); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestDeniedSecretsKeepTheirTags denies a caller a secret: the tag service's
// actions on it are denied, too, and lists leave it out.
func TestDeniedSecretsKeepTheirTags(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import(`
accounts:
  - uin: 100000000001
    credentials:
      - secretId: AKIDlimited
        secretKey: k
        policies:
          - version: "2.0"
            statement:
              - {effect: allow, action: "*", resource: "*"}
              - {effect: deny, action: "*", resource: "qcs::ssm::uin/100000000001:secret/creatorUin/100000000001/locked"}
    secrets:
      - {secretName: locked, secretString: x, tags: {a: hidden}}
      - {secretName: free, secretString: x, tags: {a: shown}}`)
	limited := account.Credential{SecretID: "AKIDlimited", SecretKey: "k"}
	resource := func(name string) string {
		return "qcs::ssm:ap-guangzhou:uin/:secret/creatorUin/100000000001/" + name
	}
	for _, c := range []struct {
		action string
		params func(name string) map[string]any
	}{
		{"ModifyResourceTags", func(name string) map[string]any {
			return map[string]any{"Resource": resource(name), "DeleteTags": []map[string]string{{"TagKey": "none"}}}
		}},
		{"TagResources", func(name string) map[string]any {
			return map[string]any{"ResourceList": []string{resource("free"), resource(name)}, "Tags": []map[string]string{{"TagKey": "b", "TagValue": "c"}}}
		}},
		{"UnTagResources", func(name string) map[string]any {
			return map[string]any{"ResourceList": []string{resource(name)}, "TagKeys": []string{"none"}}
		}},
		{"DescribeResourceTagsByResourceIds", func(name string) map[string]any {
			return map[string]any{"ServiceType": "ssm", "ResourcePrefix": "secret", "ResourceRegion": "ap-guangzhou", "ResourceIds": []string{"creatorUin/100000000001/" + name}}
		}},
		{"GetResources", func(name string) map[string]any { return map[string]any{"ResourceList": []string{resource(name)}} }},
	} {
		call := func(name string) error {
			return s.CallService("tag", "2018-08-13", "ap-guangzhou", limited, c.action, c.params(name), nil)
		}
		if err := call("locked"); err == nil || !strings.HasPrefix(err.Error(), "UnauthorizedOperation") {
			t.Errorf("%s of a denied secret: %v", c.action, err)
		}
		if err := call("free"); err != nil {
			t.Errorf("%s of another: %v", c.action, err)
		}
	}
	var all struct{ ResourceTagMappingList []struct{ Resource string } }
	if err := s.CallService("tag", "2018-08-13", "ap-guangzhou", limited, "GetResources", nil, &all); err != nil || len(all.ResourceTagMappingList) != 1 {
		t.Errorf("%+v %v", all, err)
	}
}
