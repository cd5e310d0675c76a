package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/backend"
	"ssmlocal/server/servertest"
)

func getControl(t *testing.T, s *servertest.Server, path string) string {
	t.Helper()
	answer, err := http.Get(s.ControlURL() + "/_ssmlocal" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", path, answer.Status, text, err)
	}
	return string(text)
}

type journaled struct {
	Number                                                          uint64
	Time                                                            time.Time
	Action, Region, SecretID, SecretName, RequestID, Code, Duration string
	Client, Fault, Mismatch                                         string
	Uin                                                             uint64
	Parameters                                                      map[string]any
}

func readJournal(t *testing.T, s *servertest.Server, query string) (entries []journaled) {
	t.Helper()
	if err := json.Unmarshal([]byte(getControl(t, s, "/journal"+query)), &entries); err != nil {
		t.Fatal(err)
	}
	return entries
}

func count(t *testing.T, s *servertest.Server, query string) int {
	t.Helper()
	var n struct{ Count int }
	if err := json.Unmarshal([]byte(getControl(t, s, "/journal/count"+query)), &n); err != nil {
		t.Fatal(err)
	}
	return n.Count
}

// TestJournal asserts what was called, by every filter, and looks at all that
// an entry has.
func TestJournal(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Journal: 6})
	get := func(name string) {
		_ = s.Call("GetSecretValue", map[string]string{"SecretName": name, "VersionId": "v1"}, nil)
	}
	_ = s.Call("CreateSecret", map[string]any{"SecretName": "db", "VersionId": "v1", "SecretString": "hunter2", "Description": "d"}, nil)
	get("db")
	get("db/main")
	addFault(t, s, `{"id":"f","action":"GetSecretValue","times":1,"error":{"code":"InternalError"}}`)
	get("db")
	q := servertest.NewRequest(s.URL, "ap-guangzhou", account.Credential{SecretID: s.Credential.SecretID, SecretKey: "wrong"}, "GetRegions", []byte("{}"))
	q.Header.Set("X-TC-RequestClient", "SDK_TEST_1")
	send(t, q)

	all := readJournal(t, s, "")
	if len(all) != 5 {
		t.Fatalf("%d entries", len(all))
	}
	e := all[0]
	if e.Action != "CreateSecret" || e.Code != "OK" || e.SecretName != "db" || e.Uin != s.Credential.Uin || e.Region != "ap-guangzhou" || len(e.RequestID) != 36 ||
		e.SecretID != "AKIDssmlocal" || e.Number != 1 || e.Time.IsZero() || !strings.HasSuffix(e.Duration, "s") {
		t.Errorf("%+v", e)
	}
	if got := fmt.Sprint(e.Parameters); got != "map[Description:d SecretName:db SecretString:*** VersionId:v1]" {
		t.Errorf("the parameters are %s", got)
	}
	if e := all[3]; e.Code != "InternalError" || e.Fault != "f: InternalError" {
		t.Errorf("%+v", e)
	}
	if e := all[4]; e.Code != "AuthFailure.SignatureFailure" || !strings.Contains(e.Mismatch, "SecretKey") || e.Client != "SDK_TEST_1" || e.Parameters != nil {
		t.Errorf("%+v", e)
	}
	for query, want := range map[string]int{
		"": 5, "?action=GetSecretValue": 3, "?action=GetSecretValue&secretName=db/main": 1, "?secretName=db*": 3, "?code=OK": 2, "?code=InternalError": 1,
		"?secretId=AKIDssmlocal": 5, "?secretId=AKIDother": 0, "?uin=100000000001": 5, "?since=5m": 5, "?since=2099-01-01T00:00:00Z": 0,
		"?action=GetSecretValue&code=OK&secretName=db&since=1h": 1,
	} {
		if n := count(t, s, query); n != want {
			t.Errorf("%s: %d, want %d", query, n, want)
		}
	}
	if two := readJournal(t, s, "?limit=2"); len(two) != 2 || two[1].Number != 5 {
		t.Errorf("the last two are %+v", two)
	}
	for range 4 {
		get("db")
	}
	if all := readJournal(t, s, ""); len(all) != 6 || all[0].Number != 4 {
		t.Errorf("the journal of 6 has %d, from %d", len(all), all[0].Number)
	}
	r, _ := http.NewRequest(http.MethodDelete, s.URL+"/_ssmlocal/journal", nil)
	if _, body := send(t, r); !strings.Contains(body, `"removed": 6`) || count(t, s, "") != 0 {
		t.Errorf("after a removal: %s", body)
	}
	for _, bad := range []string{"?limit=0", "?limit=x", "?since=soon", "?uin=x", "?secretName=%5B", "?name=a", "?action=GetSecretvalue", "?code=Nope"} {
		answer, err := http.Get(s.URL + "/_ssmlocal/journal" + bad)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", bad, answer.Status)
		}
	}
}

// TestJournalStream follows calls as they come, and lets the server stop.
func TestJournalStream(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	answer, err := http.Get(s.URL + "/_ssmlocal/journal/stream?action=GetRegions")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := bufio.NewReader(answer.Body)
	if first, _ := lines.ReadString('\n'); first != ": calls follow\n" || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("the stream begins with %q", first)
	}
	_ = s.Call("ListSecrets", nil, nil)
	_ = s.Call("GetRegions", nil, nil)
	var event string
	for len(event) < 3 || !strings.HasSuffix(event, "\n\n") || event == "\n" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if event += line; event == "\n" {
			event = ""
		}
	}
	id, data, _ := strings.Cut(event, "\n")
	var e journaled
	if err := json.Unmarshal([]byte(strings.TrimPrefix(data, "data: ")), &e); err != nil || id != "id: 2" || e.Action != "GetRegions" || e.Code != "OK" {
		t.Errorf("%q %v", event, err)
	}
	for query, want := range map[string]string{"limit=1": "2", "after=1": "2", "after=0": "1", "after=77": "1", "limit=1&action=ListSecrets": "1"} {
		if first := firstEvent(t, s.URL+"/_ssmlocal/journal/stream?"+query); first != want {
			t.Errorf("%s: the first event is %q, want %q", query, first, want)
		}
	}
	s.Stop()
	if _, err := io.ReadAll(lines); err != nil {
		t.Errorf("the stream did not end with the server: %v", err)
	}
}

// firstEvent is the id of the first event of a stream.
func firstEvent(t *testing.T, url string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if id, is := strings.CutPrefix(lines.Text(), "id: "); is {
			return id
		}
	}
	return ""
}

// TestLimitsAreCounted reads how close a suite came to the documented rates,
// also without limits.
func TestLimitsAreCounted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config  server.Config
		limit   int
		refused bool
	}{
		{server.Config{}, 100, false}, {server.Config{Unlimited: true}, 0, false}, {server.Config{Rates: map[string]int{"GetRegions": 1}}, 1, true},
	} {
		s := servertest.New(t, c.config)
		for range 3 {
			_ = s.Call("GetRegions", nil, nil)
		}
		var budgets []struct {
			Action, Region                      string
			Limit, Documented, Highest, Refused int
		}
		if err := json.Unmarshal([]byte(getControl(t, s, "/limits?uin=100000000001")), &budgets); err != nil {
			t.Fatal(err)
		}
		b := budgets[0]
		if len(budgets) != 1 || b.Action != "GetRegions" || b.Region != "ap-guangzhou" || b.Limit != c.limit || b.Documented != 100 ||
			b.Highest < 1 || b.Highest > 3 || (b.Refused > 0) != c.refused {
			t.Errorf("%+v: %+v", c.config, budgets)
		}
		if getControl(t, s, "/limits?uin=5") != "[]\n" {
			t.Error("another account has budgets")
		}
	}
}

// TestMetrics reads what Prometheus would.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Rates: map[string]int{"ListSecrets": 1}})
	s.Clock.Freeze()
	s.Advance(48 * time.Hour)
	for range 3 {
		_ = s.Call("ListSecrets", nil, nil)
	}
	_ = s.Call("GetSecretValue", map[string]string{"SecretName": "a", "VersionId": "v1"}, nil)
	_ = s.Call("NoSuchAction", nil, nil)
	addFault(t, s, `{"action":"GetRegions","drop":true}`)
	_, _, _ = sendCall(t, s, "GetRegions", "{}")
	text := getControl(t, s, "/metrics")
	for _, want := range []string{
		`ssmlocal_calls_total{action="ListSecrets",code="OK"} `, `ssmlocal_calls_total{action="ListSecrets",code="RequestLimitExceeded"} `,
		`ssmlocal_calls_total{action="GetSecretValue",code="ResourceNotFound"} 1`, `ssmlocal_calls_total{action="",code="InvalidAction"} 1`,
		`ssmlocal_calls_total{action="GetRegions",code="NoAnswer"} 1`, `ssmlocal_faults_total{action="GetRegions"} 1`,
		`ssmlocal_budget_refusals_total{action="ListSecrets"} `, `ssmlocal_call_duration_seconds_count{action="ListSecrets"} 3`,
		"ssmlocal_clock_offset_seconds 1727", "go_goroutines ", "process_start_time_seconds ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	var bytes float64
	_, size, _ := strings.Cut(text, "\nssmlocal_store_bytes ")
	if _, err := fmt.Sscan(size, &bytes); err != nil || bytes < 4*4096 { // the least that bbolt makes
		t.Errorf("the store has %v bytes, %v", bytes, err)
	}
	if strings.Contains(text, "NoSuchAction") {
		t.Error("what a client sends as an action is a label")
	}
}

// TestTables looks at what the control plane says about the build and the
// actions, and at readiness.
func TestTables(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Version: "v1.2.3", Rates: map[string]int{"GetSecretValue": 7}})
	if got := getControl(t, s, "/version"); !strings.Contains(got, `"v1.2.3"`) {
		t.Error(got)
	}
	var actions []struct {
		Service, Action string
		Rate, Limit     int
		Codes           []string
	}
	if err := json.Unmarshal([]byte(getControl(t, s, "/actions")), &actions); err != nil || len(actions) != len(action.Names()) {
		t.Fatalf("%d actions, %v", len(actions), err)
	}
	for _, a := range actions {
		if a.Action == "GetSecretValue" && (a.Rate != 300 || a.Limit != 7 || len(a.Codes) != 12) {
			t.Errorf("%+v", a)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for _, path := range []string{"/_ssmlocal/health", "/_ssmlocal/ready"} {
			r, _ := http.NewRequest(method, s.URL+path, nil)
			if answer, body := send(t, r); answer.StatusCode != http.StatusOK || method == http.MethodGet && !strings.Contains(body, "status") {
				t.Errorf("%s %s: %s %s", method, path, answer.Status, body)
			}
		}
	}
}

// TestNoValueIsReported plants values wherever a client can send them, and
// looks for them in everything that is reported: the log at debug level, the
// journal, the stream, the metrics, errors.
func TestNoValueIsReported(t *testing.T) {
	t.Parallel()
	const planted = "hunter2planted"
	told := new(safeBuffer)
	s := servertest.New(t, server.Config{Unlimited: true, Log: slog.New(slog.NewJSONHandler(told, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	ctx, cancel := context.WithCancel(t.Context())
	follow, _ := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/_ssmlocal/journal/stream", nil)
	stream, err := http.DefaultClient.Do(follow)
	if err != nil {
		t.Fatal(err)
	}
	streamed := make(chan struct{})
	go func() { defer close(streamed); _, _ = io.Copy(told, stream.Body) }()

	addFault(t, s, `{"action":"PutSecretValue","every":2,"truncate":true}`)
	for _, c := range []struct{ action, body string }{
		{"CreateSecret", `{"SecretName":"a","VersionId":"v1","SecretString":"` + planted + `"}`},
		{"CreateSecret", `{"SecretName":"a","VersionId":"v1","SecretString":"` + planted + `"}`},
		{"CreateSecret", `{"SecretName":"b","SecretString":"` + planted + `","Nonsense":"` + planted + `"}`},
		{"CreateSecret", `{"SecretName":"b","SecretString":["` + planted + `"]}`},
		{"CreateSecret", `{"SecretName":"b","SecretString":"` + planted},
		{"CreateSecret", `{"SecretName":"b","SecretString":"` + planted + `","SecretBinary":"` + planted + `"}`},
		{"CreateSecret", `{"SecretName":"b","SecretBinary":"` + planted + `!"}`},
		{"CreateSecret", `{"SecretName":"` + planted + ` ","SecretString":"x"}`},
		{"CreateSecret", `{"SecretName":"b","SecretString":"` + planted + strings.Repeat("x", 40000) + `"}`},
		{"PutSecretValue", `{"SecretName":"a","VersionId":"v2","SecretString":"` + planted + `"}`},
		{"PutSecretValue", `{"SecretName":"a","VersionId":"v3","SecretBinary":"` + planted + `hunter"}`},
		{"UpdateSecret", `{"SecretName":"a","VersionId":"v1","SecretString":"` + planted + `2"}`},
		{"UpdateSecret", `{"SecretName":"a","VersionId":"` + planted + `/","SecretString":"x"}`},
		{"GetSecretValue", `{"SecretName":"a","VersionId":"v1"}`},
	} {
		_, text, _ := sendCall(t, s, c.action, c.body)
		if strings.Contains(text, planted) && c.action != "GetSecretValue" {
			t.Errorf("an error tells a value: %s", text)
		}
	}
	for _, body := range []string{
		"accounts: [{uin: 1, secrets: [{secretName: a, secretString: " + planted + ", bad: " + planted + "}]}]",
		"accounts: [{uin: 1, secrets: [{secretName: a, secretString: [" + planted + "]}]}]",
		"accounts: [{uin: 1, secrets: [{secretName: a, secretBinary: " + planted + "!}]}]",
	} {
		if status, text := putState(t, s, "", body); status != http.StatusBadRequest || strings.Contains(text, planted) {
			t.Errorf("%d %s", status, text)
		}
	}
	_, _ = io.WriteString(told, getControl(t, s, "/journal")+getControl(t, s, "/metrics")+getControl(t, s, "/limits")+getControl(t, s, "/faults"))
	cancel()
	<-streamed
	text := told.String()
	if strings.Contains(text, planted) {
		at := strings.Index(text, planted)
		t.Errorf("a value is told: …%s", text[max(0, at-300):at+30])
	}
	for _, part := range []string{`"SecretString":"***"`, "a fault rule hit this call", "ssmlocal_calls_total", "data: {"} {
		if !strings.Contains(text, part) {
			t.Errorf("nothing was told of %s", part)
		}
	}
}

// TestTemporaryKeys lets keys with a token in until they expire, by the virtual
// clock.
func TestTemporaryKeys(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	status, body := putState(t, s, "", "accounts: [{uin: 5, credentials: [{secretId: AKIDt, secretKey: k, token: the-token, expireTime: now+1h}]}]")
	if status != http.StatusOK {
		t.Fatal(body)
	}
	call := func(token string) string {
		q := servertest.NewRequest(s.URL, "ap-guangzhou", account.Credential{SecretID: "AKIDt", SecretKey: "k"}, "GetRegions", []byte("{}"))
		if token != "" {
			q.Header.Set("X-TC-Token", token)
		}
		_, text := send(t, q)
		var reply struct {
			Response struct{ Error struct{ Code string } }
		}
		if err := json.Unmarshal([]byte(text), &reply); err != nil {
			t.Fatal(err)
		}
		return reply.Response.Error.Code
	}
	for token, want := range map[string]string{"the-token": "", "": "AuthFailure.TokenFailure", "another": "AuthFailure.TokenFailure"} {
		if got := call(token); got != want {
			t.Errorf("the token %q gets %q, want %q", token, got, want)
		}
	}
	s.Advance(time.Hour)
	if got := call("the-token"); got != "AuthFailure.TokenFailure" {
		t.Errorf("an expired token gets %q", got)
	}
}

// TestLogKeepsSecrets plants values everywhere a caller can put one and looks
// for them in a log of everything. It also looks for what the log must have:
// which part of a signature is wrong.
func TestLogKeepsSecrets(t *testing.T) {
	var log safeBuffer
	planted, key := "planted-value", "planted-key"
	s := servertest.New(t, server.Config{
		Log:         slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Credentials: []account.Credential{{SecretID: "AKIDa", SecretKey: key, Uin: 1}, {SecretID: "AKIDb", SecretKey: key + "2", Uin: 2}},
	})
	params := func(extra string) json.RawMessage {
		return json.RawMessage(`{"SecretName":"a","SecretString":"` + planted + `"` + extra + `}`)
	}
	calls := []struct {
		action string
		params any
	}{
		{"CreateSecret", params("")}, {"CreateSecret", params("")}, {"CreateSecret", params(`,"Nope":"` + planted + `"`)},
		{"CreateSecret", params(`,"SecretType":"` + planted + `"`)}, {"GetSecretValue", json.RawMessage(`{"SecretName":"a","VersionId":"SSM_Current"}`)},
		{"DescribeSecret", map[string]string{"SecretName": planted + " with more"}},
	}
	for _, c := range calls {
		_ = s.Call(c.action, c.params, nil)
	}
	_ = s.CallIn("ap-guangzhou", account.Credential{SecretID: "AKIDa", SecretKey: key + "2"}, "CreateSecret", params(""), nil)
	refusal(t, request(s, func(r *http.Request) { r.Header.Set("Content-Type", "application/json; charset=utf-8") }))
	s.Stop()
	for _, secret := range []string{planted, key} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is in the log:\n%s", secret, log.String())
		}
	}
	for _, line := range []string{
		`level=WARN msg="the signature is wrong" mismatch="the key: the signature was made with the SecretKey of AKIDb"`,
		`level=WARN msg="the signature is wrong" mismatch="the content type`,
		`level=DEBUG msg=call action=CreateSecret code=ResourceInUse.SecretExists`,
	} {
		if !strings.Contains(log.String(), line) {
			t.Errorf("the log has no line with %s:\n%s", line, log.String())
		}
	}
}

// TestLongHeadersAreCut sends long headers: only as much of them is kept as is
// needed to recognize them.
func TestLongHeadersAreCut(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	q := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}"))
	q.Header.Set("X-TC-RequestClient", strings.Repeat("x", 20<<10))
	q.Header.Set("X-TC-Action", strings.Repeat("y", 20<<10))
	send(t, q)
	if e := readJournal(t, s, "")[0]; len(e.Client) > 300 || len(e.Action) > 300 {
		t.Errorf("%d and %d bytes are kept", len(e.Client), len(e.Action))
	}
}

// TestJournalKeepsNoBodies sends long unsigned forms: the journal keeps only
// what it shows of them, not the forms.
func TestJournalKeepsNoBodies(t *testing.T) {
	s := servertest.New(t, server.Config{}) // not in parallel: the heap is everybody's
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	body := "Action=GetRegions&Version=2019-09-23&Pad=" + strings.Repeat("x", 900<<10)
	before := heap()
	for range 30 {
		r, err := http.NewRequest(http.MethodPost, s.URL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		send(t, r)
	}
	if kept := int64(heap() - before); kept > 8<<20 {
		t.Errorf("%d MB are kept of 30 calls", kept>>20)
	}
	if n := count(t, s, "?action=GetRegions"); n != 30 {
		t.Errorf("the journal has %d calls", n)
	}
}

// TestEventsGoOnAfterARestart asks for the events behind an id that only an
// emulator before this one can have given.
func TestEventsGoOnAfterARestart(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	_ = s.Call("CreateSecret", map[string]string{"SecretName": "a", "SecretString": "x"}, nil)
	_ = s.Call("DisableSecret", map[string]string{"SecretName": "a"}, nil)
	_ = s.Call("DeleteSecret", map[string]any{"SecretName": "a", "RecoveryWindowInDays": 1}, nil)
	s.Advance(25 * time.Hour)
	if first := firstEvent(t, s.URL+"/_ssmlocal/events/stream?after=500"); first != "1" {
		t.Errorf("the first event is %q", first)
	}
}

// TestEvents reads what has become of secrets, as a list and as a stream that
// goes on from an id.
func TestEvents(t *testing.T) {
	s := servertest.New(t, server.Config{})
	begin := s.Clock.Now().Add(time.Hour)
	must(t, s.Call("CreateProductSecret", product("db", inZone(begin), 30), nil))
	must(t, s.Call("RotateProductSecret", object{"SecretName": "db"}, nil))
	s.Advance(2 * time.Hour)
	ask(t, s, http.MethodPut, "/tasks", `{"failNext":1}`)
	must(t, s.Call("RotateProductSecret", object{"SecretName": "db"}, nil))
	must(t, s.Call("DisableSecret", object{"SecretName": "db"}, nil))
	must(t, s.Call("DeleteSecret", object{"SecretName": "db", "RecoveryWindowInDays": 0}, nil))
	var all []backend.Event
	must(t, json.Unmarshal([]byte(getControl(t, s, "/events")), &all))
	want := []string{"creation done", "rotation done", "rotation", "rotation failed", "deletion"}
	var got []string
	for i, e := range all {
		got = append(got, e.What)
		if e.ID != uint64(i+1) || e.SecretName != "db" || e.Uin != account.DefaultUin || e.At.IsZero() {
			t.Errorf("%+v", e)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the events are %v, want %v", got, want)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.ControlURL()+"/_ssmlocal/events/stream", nil)
	must(t, err)
	r.Header.Set("Last-Event-ID", "3")
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	var ids []string
	for len(ids) < 2 && lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			ids = append(ids, id)
		}
	}
	if !slices.Equal(ids, []string{"4", "5"}) {
		t.Errorf("the stream goes on with %v", ids)
	}
	for _, after := range []string{"x", "-1"} {
		if status, _ := ask(t, s, http.MethodGet, "/events?after="+after, ""); status != http.StatusBadRequest {
			t.Errorf("after=%s: %d", after, status)
		}
	}
}
