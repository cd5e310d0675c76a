package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/seed"
	"ssmlocal/server/servertest"
	"ssmlocal/server/tc3"
)

// TestListsAreBounded sends one item too many in every list of every action, at
// whatever depth: each is refused for its length, under its name.
func TestListsAreBounded(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true, Auth: account.Off})
	lists := 0
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			for path, params := range withLongLists(a.Request) {
				lists++
				err := s.CallService(set.Service, set.Version, "ap-guangzhou", s.Credential, a.Name, params, nil)
				if err == nil || !strings.HasPrefix(err.Error(), "InvalidParameterValue") || !strings.Contains(err.Error(), "`"+path+"` has more than") {
					t.Errorf("%s %s: %v", a.Name, path, err)
				}
			}
		}
	}
	if lists < 15 {
		t.Errorf("only %d lists were found", lists)
	}
}

// withLongLists returns the parameters of a type with one list too long, for
// each list that it has, by the list's path.
func withLongLists(t reflect.Type) map[string]map[string]any {
	out := map[string]map[string]any{}
	for f := range t.Fields() {
		switch {
		case f.Anonymous:
			for path, params := range withLongLists(f.Type) {
				out[path] = params
			}
		case f.Type.Kind() == reflect.Slice:
			items := make([]any, tc3.MaxItems+1)
			for i := range items {
				items[i] = "x"
				if f.Type.Elem().Kind() == reflect.Struct {
					items[i] = map[string]any{}
				}
			}
			out[f.Name] = map[string]any{f.Name: items}
			if f.Type.Elem().Kind() == reflect.Struct {
				for path, params := range withLongLists(f.Type.Elem()) {
					out[f.Name+".0."+path] = map[string]any{f.Name: []any{params}}
				}
			}
		}
	}
	return out
}

// TestRefusedCallsLeaveNothing sends long texts in every place that is read
// before the caller is known: hardly anything of them is kept.
func TestRefusedCallsLeaveNothing(t *testing.T) {
	s := servertest.New(t, server.Config{}) // not in parallel: the heap is everybody's
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	long := strings.Repeat("x", 20<<10)
	before := heap()
	for i := range 400 {
		q := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}"))
		switch i % 5 {
		case 0:
			q.Header.Set("Authorization", strings.Replace(q.Header.Get("Authorization"), "/ssm/", "/"+long+"/", 1))
		case 1:
			q.Header.Set("X-TC-Action", long)
		case 2:
			q.Header.Set("X-TC-RequestClient", long)
		case 3:
			q.Host = long[:250] + ":80"
		case 4: // signed, with a long service
			tc3.Sign(q, []byte("{}"), s.Credential.SecretID, s.Credential.SecretKey, fmt.Sprint(i, long), time.Now())
		}
		if _, text := send(t, q); text == "" {
			t.Fatal("no answer")
		}
	}
	if kept := int64(heap() - before); kept > 4<<20 {
		t.Errorf("%d KB are kept of 400 calls", kept>>10)
	}
}

// TestManyPairsAreRefused sends forms with more pairs, or deeper ones, than any
// action takes.
func TestManyPairsAreRefused(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	for name, form := range map[string]string{
		"many": "Action=GetRegions" + strings.Repeat("&a=b", 1) + manyPairs(20_000),
		"deep": "Action=GetRegions&" + strings.Repeat("a.", 1000) + "b=c",
	} {
		r, err := http.NewRequest(http.MethodPost, s.URL, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if got := refusal(t, r); !strings.HasPrefix(got, "InvalidParameter") || !strings.Contains(got, "more than `10000`") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func manyPairs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "&p%d=x", i)
	}
	return b.String()
}

// begin makes a call of the control plane that can be given up.
func begin(t *testing.T, s *servertest.Server, method, path, body string) (cancel func(), gone chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, method, s.URL+"/_ssmlocal"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	gone = make(chan error, 1)
	go func() {
		_, err := http.DefaultClient.Do(r)
		gone <- err
	}()
	return cancel, gone
}

// TestAdvanceEndsWithItsCaller gives up a move over many years: the clock stays
// where it has got to and goes on from there, and the server serves others.
func TestAdvanceEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Unlimited: true})
	var b strings.Builder
	b.WriteString("accounts:\n  - uin: 100000000001\n    secrets:\n")
	for i := range 500 {
		fmt.Fprintf(&b, "      - {secretName: p%d, secretType: 1, productName: Mysql, resourceId: c, enableRotation: true}\n", i)
	}
	s.Import(b.String())
	began := s.Clock.Now()
	cancel, gone := begin(t, s, http.MethodPost, "/clock/advance", `{"by":"50000d"}`)
	for s.Clock.Now().Sub(began) < 24*time.Hour*40 {
		getControl(t, s, "/work")
	}
	cancel()
	if err := <-gone; err == nil {
		t.Fatal("the move ended before it was given up")
	}
	for getControl(t, s, "/work") != "[]\n" {
	}
	if now := s.Clock.Now(); now.Sub(began) > 40000*24*time.Hour || s.Clock.State().Frozen {
		t.Errorf("the clock came to %s: %+v", now, s.Clock.State())
	}
	if events := s.Advance(31 * 24 * time.Hour); len(events) < 500 {
		t.Errorf("%d rotations in a month afterwards", len(events))
	}
}

// TestImportEndsWithItsCaller gives up an import in its middle: nothing is
// changed, and what was written of it is removed.
func TestImportEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{SecretLimit: 100_000})
	s.Import("accounts: [{uin: 5, secrets: [{secretName: a, secretString: x}]}]")
	before := getState(t, s, "")
	var b strings.Builder
	b.WriteString("accounts:\n  - uin: 6\n    secrets:\n")
	for i := range 30_000 {
		fmt.Fprintf(&b, "      - {secretName: p%d, secretString: x}\n", i)
	}
	cancel, gone := begin(t, s, http.MethodPut, "/state", b.String())
	for !strings.Contains(getControl(t, s, "/work"), "import") {
	}
	cancel()
	if err := <-gone; err == nil {
		t.Skip("the import was faster than the test")
	}
	for getControl(t, s, "/work") != "[]\n" {
	}
	if after := getState(t, s, ""); after != before {
		t.Error(difference(after, before))
	}
	if status, body := putState(t, s, "", before); status != http.StatusOK {
		t.Error(body)
	}
}

// TestStoppedServerEndsWork stops a server in the middle of a move of the
// clock: it ends soon.
func TestStoppedServerEndsWork(t *testing.T) {
	t.Parallel()
	emulator, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- emulator.Serve(ctx) }()
	var b strings.Builder
	b.WriteString("accounts:\n  - uin: 1\n    secrets:\n")
	for i := range 500 {
		fmt.Fprintf(&b, "      - {secretName: p%d, secretType: 1, productName: Mysql, resourceId: c, enableRotation: true}\n", i)
	}
	if _, err := emulator.Backend.Import(t.Context(), seed.Text("body", []byte(b.String())), 0); err != nil {
		t.Fatal(err)
	}
	moved := make(chan error, 1)
	go func() {
		_, _, err := emulator.Backend.Advance(context.Background(), 60_000*24*time.Hour)
		moved <- err
	}()
	stop()
	if err := <-moved; err == nil {
		t.Error("the move came to its end")
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestBackupThatFailsIsAnError asks for a copy for which there is no room.
func TestBackupThatFailsIsAnError(t *testing.T) {
	s := servertest.New(t, server.Config{})
	t.Setenv("TMPDIR", t.TempDir()+"/missing")
	answer, err := http.Get(s.URL + "/_ssmlocal/backup")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	var refused struct{ Error string }
	if json.Unmarshal(text, &refused) != nil || refused.Error == "" || answer.StatusCode < 400 {
		t.Errorf("%s %s", answer.Status, text)
	}
}

// What once went wrong between parts that are each right.

// TestLongLists sends lists that a record could not hold, which are refused,
// and lists that are long but allowed.
func TestLongLists(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	many := strings.Repeat("a, ", 140000)
	for method, c := range map[string]struct{ path, body string }{
		"PUT state":    {"/state", "accounts: [{uin: 1, isolated: [" + many + "]}]"},
		"PUT accounts": {"/accounts", `{"uin":1,"isolated":[` + strings.Repeat(`"a",`, 140000) + `"a"]}`},
	} {
		if status, body := ask(t, s, "PUT", c.path, c.body); status != http.StatusBadRequest || !strings.Contains(body, "the limit is 10000") {
			t.Errorf("%s: %d %.200s", method, status, body)
		}
	}
	if status, body := ask(t, s, "PUT", "/state", "accounts: [{uin: 1, isolated: ["+strings.Repeat("a, ", 9999)+"]}]"); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if got := getState(t, s, ""); strings.Count(got, "- a\n") != 9999 {
		t.Error("a long list does not come back")
	}
}

// TestLateBody sends a call whose body comes after its secret was made: the
// time of the call is when it is done, not when it began.
func TestLateBody(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	body := `{"SecretName":"late","VersionId":"v2","SecretString":"x"}`
	conn, err := net.Dial("tcp", s.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := servertest.NewRequest(s.URL, "ap-guangzhou", s.Credential, "PutSecretValue", []byte(body))
	var whole strings.Builder
	if err := r.Write(&whole); err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(whole.String(), body)
	_, _ = io.WriteString(conn, head)
	if err := s.Call("CreateSecret", map[string]string{"SecretName": "late", "VersionId": "v1", "SecretString": "x"}, nil); err != nil {
		t.Fatal(err)
	}
	s.Advance(time.Hour)
	_, _ = io.WriteString(conn, body)
	if answer, _ := bufio.NewReader(conn).ReadString('}'); !strings.Contains(answer, `"VersionId":"v2"`) {
		t.Fatal(answer)
	}
	var reply struct{ Versions []struct{ CreateTime int64 } }
	if err := s.Call("ListSecretVersionIds", map[string]string{"SecretName": "late"}, &reply); err != nil || len(reply.Versions) != 2 || reply.Versions[0].CreateTime-reply.Versions[1].CreateTime < 3600 {
		t.Errorf("%+v %v", reply, err)
	}
}
