package server_test

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/control"
	"ssmlocal/server/fault"
	"ssmlocal/server/journal"
	"ssmlocal/server/servertest"
)

// selfSigned makes a call that the emulator signs itself.
func selfSigned(t *testing.T, s *servertest.Server, q string) (reply control.CallReply) {
	t.Helper()
	status, text := ask(t, s, http.MethodPost, "/call", q)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	must(t, json.Unmarshal([]byte(text), &reply))
	return reply
}

// TestSelfSignedCall makes calls with each way to sign, in each service, and
// looks at the wire: it is a call like any client's.
func TestSelfSignedCall(t *testing.T) {
	s := servertest.New(t, server.Config{})
	for _, signature := range []string{"", "TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"} {
		name := "s-" + signature
		q, _ := json.Marshal(object{"action": "CreateSecret", "signature": cmp.Or(signature, "TC3-HMAC-SHA256"), "language": "zh-CN", "parameters": object{
			"SecretName": name, "SecretString": "中文 & more", "Tags": []object{{"TagKey": "k", "TagValue": "1"}}, "EncryptType": 1,
		}})
		r := selfSigned(t, s, string(q))
		if r.Code != "" || r.RequestID == "" || r.Wire.Response.Line != "HTTP/1.1 200 OK" || !strings.Contains(r.Wire.Response.Body, r.RequestID) {
			t.Errorf("%s: %+v", signature, r)
		}
		v1 := strings.HasPrefix(signature, "Hmac")
		if (r.Wire.CanonicalRequest == "") != v1 || !strings.Contains(r.Wire.StringToSign, map[bool]string{true: "Action=CreateSecret", false: "TC3-HMAC-SHA256\n"}[v1]) {
			t.Errorf("%s: signed were %q and %q", signature, r.Wire.CanonicalRequest, r.Wire.StringToSign)
		}
		if got := value(t, s, name, "SSM_Current"); got != "中文 & more" {
			t.Errorf("%s: the value is %q", signature, got)
		}
		refused := selfSigned(t, s, string(q))
		if refused.Code != "ResourceInUse.SecretExists" || !strings.Contains(refused.Message, "凭据名已存在") {
			t.Errorf("%s: the second time: %+v", signature, refused)
		}
	}
	if r := selfSigned(t, s, `{"action":"GetCallerIdentity"}`); !strings.Contains(string(r.Reply), "100000000001") {
		t.Errorf("of STS: %+v", r)
	}
	if r := selfSigned(t, s, `{"action":"NoSuchAction"}`); r.Code != "InvalidAction" {
		t.Errorf("an action that there is not: %+v", r)
	}
	calls := s.Calls(journal.Filter{Action: "CreateSecret"})
	if len(calls) != 8 || calls[0].SecretID != account.Default.SecretID || !strings.HasPrefix(calls[0].Client, "Go-http-client") {
		t.Errorf("the journal has %+v", calls)
	}
}

// TestSelfSignedCallAs calls with the keys of others: their policies hold.
func TestSelfSignedCallAs(t *testing.T) {
	s := servertest.New(t, server.Config{Seeds: []string{"errors"}})
	if r := selfSigned(t, s, `{"action":"GetSecretValue","as":"AKIDkms","parameters":{"SecretName":"custom-disabled-key","VersionId":"v1"}}`); r.Code != "FailedOperation.AccessKmsError" {
		t.Errorf("as AKIDkms: %+v", r)
	}
	if status, text := ask(t, s, http.MethodPost, "/call", `{"action":"GetRegions","as":"AKIDnobody"}`); status != http.StatusBadRequest || !strings.Contains(text, "AKIDkms") {
		t.Errorf("as nobody: %d %s", status, text)
	}
	for _, q := range []string{
		`{}`, `{"action":"GetRegions","signature":"none"}`, `{"action":"GetRegions","signature":"HmacSHA1","parameters":[1]}`, `{"action":"GetRegions","nothing":1}`,
	} {
		if status, text := ask(t, s, http.MethodPost, "/call", q); status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", q, status, text)
		}
	}
}

// TestSelfSignedCallMeetsFaults lets rules hit such calls: what takes an answer
// away is said.
func TestSelfSignedCallMeetsFaults(t *testing.T) {
	s := servertest.New(t, server.Config{})
	for _, c := range []struct {
		rule fault.Rule
		want string
	}{
		{fault.Rule{Effect: fault.Effect{Drop: true}, Times: 1}, "reset"},
		{fault.Rule{Effect: fault.Effect{Truncate: true}, Times: 1}, "broke off"},
		{fault.Rule{Effect: fault.Effect{Status: 503}, Times: 1}, "503 Service Unavailable"},
	} {
		s.Fault(c.rule)
		if r := selfSigned(t, s, `{"action":"GetRegions"}`); !strings.Contains(r.NoAnswer, c.want) || r.Reply != nil {
			t.Errorf("%s: %+v", c.want, r)
		}
	}
	if r := selfSigned(t, s, `{"action":"GetRegions"}`); r.NoAnswer != "" || r.Code != "" {
		t.Errorf("after the faults: %+v", r)
	}
}

// TestSelfSignedCallsAreLimited makes more calls than a rate allows.
func TestSelfSignedCallsAreLimited(t *testing.T) {
	s := servertest.New(t, server.Config{Rates: map[string]int{"GetRegions": 1}})
	codes := map[string]int{}
	for range 5 {
		codes[selfSigned(t, s, `{"action":"GetRegions"}`).Code]++
	}
	if codes["RequestLimitExceeded"] == 0 || codes[""] == 0 {
		t.Errorf("%v", codes)
	}
}

// TestCallAsProgram writes a call for each client: it names this address and
// the key, and quotes what needs it.
func TestCallAsProgram(t *testing.T) {
	s := servertest.New(t, server.Config{})
	q := object{"action": "PutSecretValue", "language": "en-US", "parameters": object{"SecretName": "db", "VersionId": "v1", "SecretString": "it's \"quoted\" `so` \\ 中文\n$x"}}
	for _, client := range []string{"curl", "tccli", "go", "python", "node", "java", "php"} {
		q["client"] = client
		body, _ := json.Marshal(q)
		status, text := ask(t, s, http.MethodPost, "/call/code", string(body))
		var code control.Code
		must(t, json.Unmarshal([]byte(text), &code))
		if status != http.StatusOK || !strings.Contains(code.Code, s.Host) || !strings.Contains(code.Code, "PutSecretValue") || !strings.Contains(code.Code, "AKIDssmlocal") {
			t.Errorf("%s: %d %s", client, status, text)
		}
	}
	if status, _ := ask(t, s, http.MethodPost, "/call/code", `{"action":"GetRegions","client":"cobol"}`); status != http.StatusBadRequest {
		t.Errorf("a client that there is not: %d", status)
	}
	if calls := count(t, s, ""); calls != 0 {
		t.Errorf("%d calls were made", calls)
	}
}

// TestFacts looks at what a form is made from: every action with its
// parameters, what a status allows, and who may call, without their keys.
func TestFacts(t *testing.T) {
	s := servertest.New(t, server.Config{Seeds: []string{"errors"}})
	text := getControl(t, s, "/facts")
	var facts control.Facts
	must(t, json.Unmarshal([]byte(text), &facts))
	if len(facts.Actions) != len(action.Names()) || len(facts.Regions) == 0 || facts.Callers[0].SecretID != account.Default.SecretID {
		t.Errorf("%d actions, %d regions, callers %+v", len(facts.Actions), len(facts.Regions), facts.Callers)
	}
	for _, a := range facts.Actions {
		if a.Action != "CreateSecret" {
			continue
		}
		if p := a.Parameters[0]; p.Name != "SecretName" || !p.Required || p.Type != "string" {
			t.Errorf("the first parameter is %+v", p)
		}
		tags := a.Parameters[slices.IndexFunc(a.Parameters, func(p control.Parameter) bool { return p.Name == "Tags" })]
		if !tags.List || tags.Type != "object" || len(tags.Fields) != 2 {
			t.Errorf("Tags are %+v", tags)
		}
	}
	for _, c := range facts.Lifecycle["0 (custom)"]["Disabled"] {
		if c.Action == "GetSecretValue" && c.Code != "ResourceUnavailable.ResourceDisabled" || c.Action == "EnableSecret" && c.Code != "" {
			t.Errorf("a Disabled secret: %+v", c)
		}
	}
	if strings.Contains(text, `"ssmlocal"`) {
		t.Error("a key is in it")
	}
}
