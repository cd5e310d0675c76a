package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/servertest"
)

// TestRedactedHasNoValue puts values in every place of a request. None may be
// in the redacted capsule.
func TestRedactedHasNoValue(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 1000, Auth: account.Off})
	s.Import(`accounts: [{secrets: [{secretName: kept, secretString: "hidden-of-state", description: "has hidden-of-state in it"},
  {secretName: like-an-account, secretString: '{"UserName":"hidden-user","SecretId":"hidden-id","Password":"hidden-password"}'},
  {secretName: tagged, secretString: hidden-in-a-tag, tags: {secretId: hidden-in-a-tag, hidden: x, privateKey: hidden}},
  {secretName: newline, secretString: "hidden-line\n"}, {secretName: hidden-line, secretString: '  {"pin": 4815162342}'}, {secretName: pin-4815162342, secretString: x},
  {secretName: binary, secretBinary: "/hidden+"},
  {secretName: made, secretType: 1, productName: Mysql, resourceId: hidden-of-state, userNamePrefix: pre, domains: ["hidden-of-state"],
    privileges: [{privilegeName: TablePrivileges, privileges: [SELECT], database: hidden-of-state, tableName: hidden-of-state}],
    secretString: '{"UserName":"hidden-of-state","Password":"hidden-of-state"}'}],
  kmsKeys: {hidden-of-state: disabled}, isolated: [hidden-of-state], users: [{uin: 5}], roles: [{roleName: hidden-of-state}],
  credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}, {secretId: AKIDother, secretKey: hidden-key, user: 5,
    policies: [{version: '2.0', statement: [{effect: allow, action: '*', resource: 'qcs::ssm:::secret/creatorUin/*/hidden-of-state'}]}]}]}]
faults: [{id: hidden-of-state, secretId: hidden-of-state, secretName: "*hidden-of-state*", error: {code: InternalError, message: hidden}}]`)
	post := func(target, kind, authorization, body string) {
		r, err := http.NewRequest(http.MethodPost, s.URL+target, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", kind)
		r.Header.Set("X-TC-Action", "CreateSecret")
		r.Header.Set("X-TC-Version", "2019-09-23")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		r.Header.Set("Cookie", "session=hidden-in-a-cookie")
		r.Header.Set("X-Api-Key", "hidden-in-a-header")
		r.Header.Set("X-hidden-header", "x")
		r.Header.Set("Content-Disposition", "hidden")
		r.Host = "hidden-in-text.example"
		send(t, r)
	}
	for _, body := range []string{
		`{"SecretName":"a","SecretString":"hidden-in-text"}`,
		`{"SecretName":"b","SecretString":48151623}`,
		`{"SecretName":"c","SecretString":["hidden-in-list",{"hidden-as-name":"hidden-in-object"}]}`,
		`{"SecretName":"d","SecretString":"hidden-a=b","Description":"here it is: hidden-a=b","Unknown":{"x":["hidden-a=b"]}}`,
		`{"SecretName":"hidden-in-name","SecretString":"hidden-in-name"}`,
		`{"SecretName":"e","SecretString":"{\"inner\":\"hidden-inner\"}","Description":"hidden-inner"}`,
		`{"SecretName":"f","SecretBinary":"aGlkZGVuLWJpbmFyeQ==","Description":"hidden-binary"}`,
		`{"SecretName":"g","SecretString":"hidden-\"quoted\"","Description":"{\"x\":\"hidden-\\\"quoted\\\"\"}"}`,
		`{"SecretName":"h","SecretString":"hidden-malformed=1"`,
		`SecretString=hidden-form&SecretName=i`, `hidden-alone`,
		`{"SecretName":"j","SecretSting":"hidden-in-a-typing-mistake"}`, `{"secretstring":"hidden-lower-case"}`,
		`{"SecretName":"k","hidden-field":1,"SecretString":{"hidden-field":1}}`, `"hidden-json-text"`, `["hidden-json-list"]`, `[["a",{"hidden":1}]] {"b":"hidden"}`,
		`hidden-parameter-name=`, `hidden-parameter-name`, `SecretString=x&hidden-name=hidden-of-it&Tags.0.TagKey=hidden-key`,
		`{"SecretName":"l","SecretString":"hidden<&\u00e4>","Description":"hidden<&\u00e4>, hidden\u003c\u0026\u00e4, \"hidden\\u003c\" and hidden%3C%26"}`,
		`{"SecretName":"m","SecretString":"hidden-in-base64","Description":"aGlkZGVuLWluLWJhc2U2NA=="}`,
		`{"SecretName":"n","SecretString":"Redis-hidden","VersionId":"Redis-hidden-1","Tags":[{"TagKey":"Enabled-hidden","TagValue":"hidden"}]}`,
		`{"SecretName":"Redis-hidden","SecretString":"AKIDssmlocal-hidden","Description":"AKIDssmlocal-hidden"}`,
		`{"SecretName":"AKIDssmlocal-hidden"}`, `{"SecretName":"a-Redis-hidden-b"}`, `{"SecretName":"x-aGlkZGVuLW92ZXJs-y"}`,
		`{"SecretName":"o","SecretString":"hidden-overl"}`, `{"SecretName":"p","SecretString":"verlapping"}`, `{"SecretName":"hidden-overlapping"}`,
	} {
		for _, kind := range []string{"application/json", "application/x-www-form-urlencoded", "text/plain", ""} {
			post("/", kind, "TC3-HMAC-SHA256 Credential=AKIDssmlocal/2026-01-01/ssm/tc3_request, SignedHeaders=host, signature=hidden-signature", body)
		}
		post("/", "application/json", "Bearer hidden-bearer", body)
		post("/", "application/json", "hidden-authorization", body)
		post("/", "", "", body)
		post("/hidden-path/x", "", "", body)
		_, _ = rawControl(t, s, http.MethodPost, "/call", `{"action":"CreateSecret","parameters":`+body+`}`)
	}
	for _, query := range []string{"SecretString=hidden-query%zz", "%53ecretString=hidden-escaped", "SecretString=%68idden-letter", "hidden-bare", "x=1&Token=hidden-token"} {
		r, err := http.NewRequest(http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.RawQuery = "Action=CreateSecret&Version=2019-09-23&SecretName=q&" + query
		send(t, r)
	}
	for _, authorization := range []string{"Basic 48151623", "48151623", "Bearer 48151623"} {
		post("/", "application/json", authorization, "{}")
	}
	const policy = `{"version":"2.0","statement":[{"effect":"allow","action":"*","resource":"hidden<&\u00e4>","sid":"hidden\u003c\u0026"}]}`
	for _, text := range []string{policy, url.QueryEscape(policy)} {
		_, _ = rawControl(t, s, http.MethodPost, "/call", fmt.Sprintf(`{"action":"GetFederationToken","parameters":{"Name":"a","Policy":%q}}`, text))
	}
	for _, method := range []string{"hidden-in-text", "HIDDEN"} {
		r, err := http.NewRequest(method, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		send(t, r)
	}
	_, _ = rawControl(t, s, http.MethodDelete, "/faults/hidden-in-text", "")
	_, _ = rawControl(t, s, http.MethodPost, "/faults", `{"id":"hidden-in-text","secretName":"*hidden-in-text*","error":{"code":"InternalError","message":"hidden"}}`)
	_, _ = rawControl(t, s, http.MethodPut, "/accounts", `{"uin":5,"kmsKeys":{"hidden-in-text":"disabled"},"isolated":["hidden-in-text"]}`)
	_, _ = metadata(t, s.Host, rolePath+"hidden-in-text")
	_ = s.Call("GetSecretValue", map[string]any{"SecretName": "kept", "VersionId": "SSM_Current"}, nil)
	c, text := saved(t, s, "?redact=true")
	if done, err := server.Replay(t.Context(), c); err != nil || done.Differs != nil {
		t.Errorf("%+v %+v, %v", done, done.Differs, err)
	}
	if at := strings.Index(strings.ToLower(text), "hidden"); at >= 0 {
		t.Errorf("redacted, it has …%q…", text[max(0, at-200):min(len(text), at+100)])
	}
	for _, value := range []string{"48151623", "aGlkZGVu", "%68idden", "verlapp", "-Redis", "ssmlocal-"} {
		if strings.Contains(text, value) {
			t.Errorf("redacted, it has %s", value)
		}
	}
}

// TestRedactedWords has secrets whose values are words of the protocol, numbers
// and names: what calls mean stays the same, and the values are gone.
func TestRedactedWords(t *testing.T) {
	t.Parallel()
	values := []string{
		"100000000001", "2019-09-23", "zh-CN", "en-US", "false", "true", "HmacSHA256", "TC3-HMAC-SHA256", "tc3_request", "allow", "2.0",
		"InternalError", "100ms", "GetSecretValue", "ap-guangzhou", "Enabled", "Mysql", "SecretName", "SecretString", "Response", "RequestId",
		"application/json", "AKIDssmlocal", "frozen", "running", "POST", "api", "control", "{}", "[]", "null", "0", "1", "2", "3", "4", "5", "6", "7",
		"8", "9", "v1", "v2", "SSM_Current", "name-0", "127.0.0.1", "ssm", "content-type;host", "now", "12345", "1d",
	}
	for _, mode := range []account.Mode{account.Verify, account.Off} {
		s := servertest.New(t, server.Config{Capsule: 1000, Unlimited: true, Auth: mode})
		var seed strings.Builder
		seed.WriteString("clock: {now: 2030-01-02T15:04:05Z, frozen: true}\n" +
			"faults: [{id: f, action: ListSecrets, region: ap-guangzhou, delay: 100ms, times: 1, error: {code: InternalError}}]\n" +
			"accounts: [{users: [{uin: 100000000101}], credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal, policies: [{version: '2.0', statement: [{effect: allow, action: '*', resource: '*'}]}]}], " +
			"kmsKeys: {name-0: disabled}, tasks: [{flowId: 12345, kind: rotation, status: failed, secretName: name-0}], secrets: [\n")
		for i, value := range values {
			fmt.Fprintf(&seed, "{secretName: name-%d, tags: {k: %[2]q}, description: %[2]q, versions: [{versionId: v1, secretString: %[2]q}, {versionId: v2, secretString: x}]},\n", i, value)
		}
		seed.WriteString("]}]")
		s.Import(seed.String())
		requests := 0
		do := func(action, params string) {
			r := servertest.NewRequest(s.URL, "ap-guangzhou", account.Credential{SecretID: "AKIDssmlocal", SecretKey: "ssmlocal"}, action, []byte(params))
			r.Header.Set("X-TC-Language", "zh-CN")
			if mode == account.Off {
				r.Header.Del("Authorization")
			}
			send(t, r)
			requests++
		}
		for i, value := range values {
			do("GetSecretValue", fmt.Sprintf(`{"SecretName":"name-%d","VersionId":"v1"}`, i))
			do("PutSecretValue", fmt.Sprintf(`{"SecretName":"name-%d","VersionId":"v3","SecretString":%q}`, i, value))
			do("ListSecretVersionIds", fmt.Sprintf(`{"SecretName":"name-%d"}`, i))
		}
		for range 2 {
			do("ListSecrets", `{"State":1,"OrderType":0,"Limit":100,"ProductName":"Mysql"}`)
			do("ListSecrets", `{"Limit":100,"TagFilters":[{"TagKey":"k","TagValue":["v1"]}]}`)
		}
		do("DescribeSecret", `{"SecretName":"name-5"}`)
		do("DescribeAsyncRequestInfo", `{"FlowID":12345}`)
		callControl(t, s, http.MethodPost, "/call", `{"action":"GetSecretValue","signature":"HmacSHA256","language":"zh-CN","parameters":{"SecretName":"name-1","VersionId":"v1"}}`)
		callControl(t, s, http.MethodPut, "/clock", `{"mode":"running"}`)
		callControl(t, s, http.MethodPost, "/clock/advance", `{"by":"1d"}`)
		callControl(t, s, http.MethodPut, "/limits", `{"action":"GetSecretValue","perSecond":5}`)
		callControl(t, s, http.MethodPut, "/accounts", `{"uin":100000000001,"service":"normal","users":{"100000000101":{"otherKeys":1}},"kmsKeys":{"k":"disabled"}}`)
		do("EnableSecret", `{"SecretName":"name-2"}`)
		replays(t, s, requests+5)
		c, _ := saved(t, s, "?redact=true")
		for i, value := range values {
			if value == "AKIDssmlocal" || value == "{}" || value == "[]" || len(value) == 1 { // a SecretId, nothing, and what has to be there again
				continue
			}
			secret := regexp.MustCompile(fmt.Sprintf(`secretName: name-%d\n(.*\n)*?(?: *- | *)secretName`, i)).FindString(c.Start.State)
			for _, shape := range []string{"secretString: %s\n", "secretString: %q\n", "secretString: '%s'\n"} {
				if strings.Contains(secret, fmt.Sprintf(shape, value)) {
					t.Errorf("%q is still there: %s", value, secret)
				}
			}
			if put := string(c.Requests[3*i+1].Body); strings.Contains(put, fmt.Sprintf(`"SecretString":%q`, value)) {
				t.Errorf("%q is still there: %s", value, put)
			}
		}
	}
}

// TestRedactedReplays has what a redacted replay found different once.
func TestRedactedReplays(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(*servertest.Server){
		"keys by the control plane": func(s *servertest.Server) {
			text := callControl(t, s, http.MethodPost, "/call", `{"action":"GetFederationToken","service":"sts","parameters":{"Name":"tester","Policy":"%7B%22version%22%3A%222.0%22%2C%22statement%22%3A%5B%7B%22effect%22%3A%22allow%22%2C%22action%22%3A%22*%22%2C%22resource%22%3A%22*%22%7D%5D%7D"}}`)
			var made struct {
				Reply struct{ Credentials temporary }
			}
			if err := json.Unmarshal([]byte(text), &made); err != nil {
				t.Fatal(err)
			}
			if code := callWith(t, s, made.Reply.Credentials, "ssm", "2019-09-23", "DescribeSecret", `{"SecretName":"none"}`); code != "ResourceNotFound" {
				t.Error(code)
			}
		},
		"a provoked SignatureFailure": func(s *servertest.Server) {
			callControl(t, s, http.MethodPost, "/faults", `{"action":"ListSecrets","times":1,"error":{"code":"AuthFailure.SignatureFailure"}}`)
			for range 2 {
				_ = s.Call("ListSecrets", nil, nil)
			}
		},
		"another service": func(s *servertest.Server) {
			for _, service := range []string{"cvm", "abc"} {
				r := servertest.NewRequest(s.URL, "ap-guangzhou", account.Default, "GetServiceStatus", []byte("{}"))
				r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "/ssm/", "/"+service+"/", 1))
				send(t, r)
			}
		},
		"many short tags": func(s *servertest.Server) {
			s.Import(`accounts: [{secrets: [{secretName: a, secretString: x, tags: {"0": a, "1": a, "2": a, "3": a, "4": a, "5": a, "6": a, "7": a, "8": a, "9": a}}]}]`)
			_ = s.Call("DescribeSecret", map[string]string{"SecretName": "a"}, nil)
		},
		"words in resources": func(s *servertest.Server) {
			s.Import(`accounts: [{users: [{uin: 5}], credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal, user: 5, policies: [{version: '2.0', statement: [{effect: allow, action: '*', resource: 'qcs::ssm:ap-guangzhou:uin/100000000001:secret/creatorUin/100000000001/a'}]}]}],
  secrets: [{secretName: a, secretString: creatorUin}, {secretName: b, secretString: "100000000001"}, {secretName: c, secretString: "08003546-6a84-5e50-b288-9db871ee2947"}]}]`)
			for _, secret := range []string{"a", "b", "c"} {
				_ = s.Call("DescribeSecret", map[string]string{"SecretName": secret}, nil)
			}
			for _, kind := range []string{"GetCallerIdentity"} {
				_ = s.CallService("sts", "2018-08-13", "ap-guangzhou", account.Default, kind, nil, nil)
			}
		},
		"a part of a name": func(s *servertest.Server) {
			s.Import(`accounts: [{secrets: [{secretName: helloworld, secretString: hello}, {secretName: x, secretString: world}]}]`)
			_ = s.Call("ListSecrets", map[string]string{"SearchSecretName": "hello"}, nil)
		},
		"names in another order": func(s *servertest.Server) {
			s.Import(`clock: {now: 2030-01-01T00:00:00Z, frozen: true}
accounts: [{secrets: [{secretName: a-value-1, secretString: a-value-1}, {secretName: b-value-2, secretString: b-value-2}, {secretName: c-value-3, secretString: c-value-3}]}]`)
			for range 3 {
				_ = s.Call("ListSecrets", nil, nil)
				_ = s.Call("DescribeSecret", map[string]string{"SecretName": "b-value-2"}, nil)
			}
		},
		"wrong escapes": func(s *servertest.Server) {
			for _, body := range []string{"Action=a&Version=%zz", "x%2l=1&y=%F", "a=%ff", "=x", "&&", "a.b.c=1&a.b.c=2"} {
				r, err := http.NewRequest(http.MethodPost, s.URL, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				send(t, r)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.New(t, server.Config{Capsule: 100})
			run(s)
			c, _ := saved(t, s, "")
			replays(t, s, len(c.Requests))
		})
	}
}
