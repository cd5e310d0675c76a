package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

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
			if err != nil || done.Differs != nil || done.Requests != len(c.Requests) {
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
	database, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{})
	go func() {
		if c, err := database.Accept(); err == nil {
			_ = c.Close()
			close(connected)
		}
	}()
	c.Start.State = strings.ReplaceAll(c.Start.State, "127.0.0.1:1/", database.Addr().String()+"/")
	if !strings.Contains(c.Start.State, database.Addr().String()) || strings.Contains(redacted.Start.State, "instances") {
		t.Errorf("%s\n%s", c.Start.State, redacted.Start.State)
	}
	for _, each := range []*capsule.Capsule{c, redacted} {
		done, err := server.Replay(context.Background(), each)
		if err != nil || done.Differs != nil || done.Requests != 1 {
			t.Errorf("%+v %+v, %v", done, done.Differs, err)
		}
	}
	_ = database.Close()
	select {
	case <-connected:
		t.Error("an instance is bound in a replay")
	default:
	}
	_ = s.Call("ListSecrets", nil, nil)
	_, plain := saved(t, s, "")
	if _, text := saved(t, s, "?redact=true"); signature.FindString(text) == signature.FindString(plain) || signature.FindString(text) == "" {
		t.Error("redacted, it has a signature that keys can be tried against")
	}
}

// replays replays what a server has recorded, as it is and redacted, and wants
// every answer to be the same.
func replays(t *testing.T, s *servertest.Server, requests int) {
	t.Helper()
	for _, query := range []string{"", "?redact=true"} {
		c, _ := saved(t, s, query)
		if c.Stopped != "" {
			t.Errorf("%s the capsule ends early: %s", query, c.Stopped)
		}
		done, err := server.Replay(t.Context(), c)
		if err != nil || done.Differs != nil || done.Requests != requests {
			t.Errorf("%s %+v %+v, %v", query, done, done.Differs, err)
		}
	}
}

func TestReplayAfterARestart(t *testing.T) {
	t.Parallel()
	seed := uint64(7)
	for name, config := range map[string]server.Config{"drawn": {}, "a random seed": {RandomSeed: &seed}} {
		config.Data, config.Capsule = t.TempDir(), 100
		for start := range 3 {
			s := servertest.New(t, config)
			for i := range 3 {
				_ = s.Call("CreateSecret", map[string]any{"SecretName": fmt.Sprint("s", start, i), "SecretString": "x"}, nil)
			}
			_ = s.Call("CreateSSHKeyPairSecret", map[string]any{"SecretName": fmt.Sprint("key", start), "ProjectId": 0}, nil)
			replays(t, s, 4)
			if t.Failed() {
				t.Fatal(name, start)
			}
			s.Stop()
		}
	}
}

const rotatedSoon = `accounts: [{secrets: [{secretName: db, secretType: 1, productName: Mysql, resourceId: cdb-1, enableRotation: true, rotationFrequency: 30, rotationBeginTime: now+1h}]}]`

// TestReplayOfWhatBecomesDue lets a rotation become due while the clock runs,
// between two calls.
func TestReplayOfWhatBecomesDue(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 100})
	s.Import(rotatedSoon)
	value := map[string]any{"SecretName": "db", "VersionId": "SSM_Current"}
	_ = s.Call("GetSecretValue", value, nil)
	callControl(t, s, http.MethodPost, "/clock/advance", `{"by":"3599s"}`)
	for !strings.Contains(callControl(t, s, http.MethodGet, "/events", ""), `"rotation"`) {
		if t.Context().Err() != nil {
			t.Fatal("nothing is rotated")
		}
	}
	_ = s.Call("GetSecretValue", value, nil)
	replays(t, s, 3)
}

// TestReplayOfConcurrentCalls has callers at once, of which some are held up by
// a fault, while the clock is moved.
func TestReplayOfConcurrentCalls(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 1000, Unlimited: true, Seeds: []string{"demo"}})
	s.Import(rotatedSoon)
	callControl(t, s, http.MethodPost, "/faults", `{"action":"DescribeSecret","every":2,"delay":"20ms"}`)
	callControl(t, s, http.MethodPost, "/faults", `{"action":"ListSecrets","probability":0.5,"error":{"code":"InternalError"}}`)
	var all sync.WaitGroup
	const callers, each = 8, 6
	for caller := range callers {
		all.Go(func() {
			for i := range each {
				_ = s.Call("CreateSecret", map[string]any{"SecretName": fmt.Sprint("s", i), "SecretString": fmt.Sprint("of ", caller)}, nil)
				_ = s.Call("DescribeSecret", map[string]any{"SecretName": fmt.Sprint("s", i)}, nil)
				_ = s.Call("UpdateDescription", map[string]any{"SecretName": "db", "Description": fmt.Sprint("of ", caller)}, nil)
				_ = s.Call("ListSecrets", map[string]any{}, nil)
			}
		})
	}
	for range 4 {
		callControl(t, s, http.MethodPost, "/clock/advance", `{"by":"20d"}`)
	}
	all.Wait()
	replays(t, s, 2+4*callers*each+4)
}

// TestReplayBesideMoves moves the clock over many due times while calls read
// what changes on the way: two moves at once, and one whose client goes away.
func TestReplayBesideMoves(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 20_000, Unlimited: true})
	s.Import(`accounts: [{secrets: [
  {secretName: a, secretType: 1, productName: Mysql, resourceId: cdb-1, enableRotation: true, rotationFrequency: 30},
  {secretName: b, secretType: 1, productName: Mysql, resourceId: cdb-2, enableRotation: true, rotationFrequency: 31}]}]`)
	moved := make(chan struct{})
	var moves, calls sync.WaitGroup
	for _, by := range []string{"5000d", "4000d"} {
		moves.Go(func() { callControl(t, s, http.MethodPost, "/clock/advance", `{"by":"`+by+`"}`) })
	}
	moves.Go(func() {
		ctx, giveUp := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.ControlURL()+"/_ssmlocal/clock/advance", strings.NewReader(`{"by":"20000d"}`))
		go func() {
			defer giveUp()
			_ = s.Call("GetSecretValue", map[string]string{"SecretName": "a", "VersionId": "SSM_Current"}, nil)
		}()
		if answer, err := http.DefaultClient.Do(r); err == nil {
			answer.Body.Close()
		}
	})
	for _, name := range []string{"a", "b", "a"} {
		calls.Go(func() {
			for {
				_ = s.Call("GetSecretValue", map[string]string{"SecretName": name, "VersionId": "SSM_Current"}, nil)
				_ = s.Call("DescribeRotationDetail", map[string]string{"SecretName": name}, nil)
				select {
				case <-moved:
					return
				default:
				}
			}
		})
	}
	moves.Wait()
	close(moved)
	calls.Wait()
	c, text := saved(t, s, "")
	for strings.Count(text, `"to": "clock"`) < 3 { // the one whose client has gone away
		if c, text = saved(t, s, ""); t.Context().Err() != nil {
			t.Fatal("a move is not recorded")
		}
	}
	if len(c.Steps) < 100 {
		t.Errorf("%d steps", len(c.Steps))
	}
	replays(t, s, len(c.Requests))
}

// TestReplayOfMuchDueAtOnce has more due at one moment than a call waits for.
func TestReplayOfMuchDueAtOnce(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 1000, Unlimited: true})
	var seed strings.Builder
	seed.WriteString("accounts: [{secretLimit: 5000, secrets: [\n")
	const all = 1200
	for i := range all {
		fmt.Fprintf(&seed, "{secretName: s%d, secretType: 1, productName: Mysql, resourceId: cdb-1, enableRotation: true, rotationFrequency: 30, rotationBeginTime: now+1h},\n", i)
	}
	seed.WriteString("]}]")
	s.Import(seed.String())
	callControl(t, s, http.MethodPost, "/clock/advance", `{"by":"3599s"}`)
	var callers sync.WaitGroup
	for caller := range 3 {
		callers.Go(func() {
			for i := range 20 {
				_ = s.Call("GetSecretValue", map[string]string{"SecretName": fmt.Sprint("s", (i*997+caller)%all), "VersionId": "SSM_Current"}, nil)
			}
			callControl(t, s, http.MethodPost, "/clock/advance", `{"by":"1s"}`)
		})
	}
	callers.Wait()
	replays(t, s, 1+3*21)
}

// TestReplayOfUnendedCalls saves a capsule while one call is delayed, and lets
// another one go on after the last request that is kept.
func TestReplayOfUnendedCalls(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 4})
	callControl(t, s, http.MethodPost, "/faults", `{"id":"long","action":"DescribeSecret","delay":"10m"}`)
	ended := make(chan struct{})
	ctx, giveUp := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		r := servertest.NewRequest(s.URL, "ap-guangzhou", account.Default, "DescribeSecret", []byte(`{"SecretName":"one"}`))
		if answer, err := http.DefaultClient.Do(r.WithContext(ctx)); err == nil {
			answer.Body.Close()
		}
	}()
	for c, _ := saved(t, s, ""); len(c.Requests) < 2; c, _ = saved(t, s, "") {
		if t.Context().Err() != nil {
			t.Fatal("the call has not begun")
		}
	}
	_ = s.Call("ListSecrets", nil, nil)
	check := func(requests int) {
		t.Helper()
		c, text := saved(t, s, "")
		if !strings.Contains(text, `"one\`) {
			t.Error("the request that waits has no body")
		}
		done, err := server.Replay(t.Context(), c)
		if err != nil || done.Differs != nil || done.Requests != requests || done.Unanswered != 1 {
			t.Errorf("%+v %+v, %v", done, done.Differs, err)
		}
	}
	check(3)
	for range 3 {
		_ = s.Call("ListSecrets", nil, nil)
	}
	giveUp()
	<-ended
	check(4)
}

// TestReplayOfASlowRequestOverAReset has a request under way when more is not
// kept, and sends the rest of it to the state after a reset.
func TestReplayOfASlowRequestOverAReset(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 3, Auth: account.Off})
	for range 4 {
		_ = s.Call("ListSecrets", nil, nil)
	}
	const body = `{"SecretName":"slow","SecretString":"x"}`
	c, err := net.Dial("tcp", s.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nX-TC-Action: CreateSecret\r\nX-TC-Version: 2019-09-23\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
	from := bufio.NewReader(c)
	if line, _ := from.ReadString('\n'); !strings.Contains(line, "100") { // its handler reads the body
		t.Fatal(line)
	}
	callControl(t, s, http.MethodPost, "/reset", "")
	_, _ = io.WriteString(c, body)
	_, _ = from.ReadString('\n')
	if answer, _ := from.ReadString('\n'); !strings.Contains(answer, "200") {
		t.Fatal(answer)
	}
	if err := s.Call("DescribeSecret", map[string]string{"SecretName": "slow"}, nil); err != nil {
		t.Error(err)
	}
	replays(t, s, 2)
}

// TestReplayKeepsTheControlPlane reaches the control plane by a name of the
// emulator's own, has a tag named as a field of accounts, and an id with a
// slash.
func TestReplayKeepsTheControlPlane(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 10, TLSHosts: []string{"my.example.com"}})
	s.Import(`accounts: [{secrets: [{secretName: a, secretString: x, tags: {instances: "3", privateKey: k}}]}]`)
	r, err := http.NewRequest(http.MethodPost, s.URL+"/_ssmlocal/faults", strings.NewReader(`{"action":"DescribeSecret","error":{"code":"InternalError"}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "my.example.com"
	if answer, text := send(t, r); answer.StatusCode != http.StatusOK {
		t.Fatal(text)
	}
	_ = s.Call("DescribeSecret", map[string]string{"SecretName": "a"}, nil)
	_ = s.Call("ListSecrets", map[string]any{"TagFilters": []any{map[string]any{"TagKey": "instances", "TagValue": []string{"3"}}}}, nil)
	_, _ = rawControl(t, s, http.MethodDelete, "/faults/m%2Fh", "")
	replays(t, s, 4)
}

// TestReplayOfBrokenAnswers lets faults break answers, also such as hold SSH
// keys.
func TestReplayOfBrokenAnswers(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 100, Seeds: []string{"demo"}})
	_ = s.Call("CreateSSHKeyPairSecret", map[string]any{"SecretName": "key", "ProjectId": 0}, nil)
	requests := 1
	for _, effect := range []string{`"status":502`, `"truncate":true`, `"drop":true`, `"error":{"code":"Own.Code","message":"a message"},"strict":false`, `"throttle":true,"truncate":true`} {
		callControl(t, s, http.MethodPost, "/faults", `{"id":"x",`+effect+`}`)
		_, _, _ = sendCall(t, s, "GetSecretValue", `{"SecretName":"demo-key","VersionId":"SSM_Current"}`)
		_, _, _ = sendCall(t, s, "GetSSHKeyPairValue", `{"SecretName":"key"}`)
		_, _, _ = sendCall(t, s, "CreateSecret", `{"SecretName":"made","SecretString":"with-a-value"}`)
		callControl(t, s, http.MethodDelete, "/faults/x", "")
		requests += 5
	}
	replays(t, s, requests)
}

// TestReplayHasWhatOutlivesAReset changes rates and gets temporary keys before
// a reset, and uses them after it.
func TestReplayHasWhatOutlivesAReset(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 100})
	callControl(t, s, http.MethodPut, "/limits", `{"action":"ListSecrets","perSecond":2}`)
	root := account.Credential{SecretID: "AKIDssmlocal", SecretKey: "ssmlocal"}
	federated := sts(t, s, root, "GetFederationToken", `{"Name":"tester","Policy":"%7B%22version%22%3A%222.0%22%2C%22statement%22%3A%5B%7B%22effect%22%3A%22allow%22%2C%22action%22%3A%22*%22%2C%22resource%22%3A%22*%22%7D%5D%7D"}`)
	_, bound := metadata(t, s.Host, rolePath+"ssmlocal")
	callControl(t, s, http.MethodPost, "/reset", "")
	if _, again := metadata(t, s.Host, rolePath+"ssmlocal"); again != bound {
		t.Fatalf("the keys of the instance do not outlive a reset: %s, then %s", bound, again)
	}
	for range 4 {
		_ = callWith(t, s, federated, "ssm", "2019-09-23", "ListSecrets", `{}`)
	}
	own := sts(t, s, root, "GetFederationToken", `{"Name":"another","Policy":"%7B%22version%22%3A%222.0%22%2C%22statement%22%3A%5B%7B%22effect%22%3A%22allow%22%2C%22action%22%3A%22*%22%2C%22resource%22%3A%22*%22%7D%5D%7D"}`)
	if code := callWith(t, s, own, "ssm", "2019-09-23", "DescribeSecret", `{"SecretName":"none"}`); code != "ResourceNotFound" {
		t.Error(code)
	}
	replays(t, s, 7)
}

// TestReplayOfRefusals has requests that are refused before it is known who
// calls, and such as no SDK sends.
func TestReplayOfRefusals(t *testing.T) {
	t.Parallel()
	for _, mode := range []account.Mode{account.Verify, account.Any, account.Off} {
		s := servertest.New(t, server.Config{Capsule: 100, Auth: mode})
		signed := func() *http.Request {
			return servertest.NewRequest(s.URL, "ap-guangzhou", account.Default, "ListSecrets", []byte(`{"Limit":"x"}`))
		}
		changes := []func(*http.Request){
			func(*http.Request) {},
			func(r *http.Request) { r.Header.Del("Authorization") },
			func(r *http.Request) { r.Header.Del("X-TC-Timestamp") },
			func(r *http.Request) { r.Header.Set("X-TC-Timestamp", "1") },
			func(r *http.Request) { r.Header.Set("Authorization", "Bearer secret-of-a-bearer") },
			func(r *http.Request) { r.Header.Set("Authorization", "TC3-HMAC-SHA256 Credential=AKIDssmlocal/x") },
			func(r *http.Request) {
				r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "AKID", "AKIE", 1))
			},
			func(r *http.Request) { r.Header.Set("X-TC-Token", "a-token-that-nobody-has") },
			func(r *http.Request) { r.Header.Set("X-TC-Version", "2000-01-01") },
			func(r *http.Request) { r.Header.Set("X-TC-Action", "NoAction") },
			func(r *http.Request) { r.Method = http.MethodDelete },
			func(r *http.Request) { r.URL.Path = "/any/path%20of" },
		}
		for _, change := range changes {
			r := signed()
			change(r)
			send(t, r)
		}
		replays(t, s, len(changes))
	}
}

// TestReplayEnds gives up in the middle.
func TestReplayEnds(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 100})
	for range 5 {
		_ = s.Call("ListSecrets", nil, nil)
	}
	c, _ := saved(t, s, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := server.Replay(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("given up, it says %v", err)
	}
	for i := range c.Requests {
		c.Requests[i].Status = 0
	}
	if done, err := server.Replay(t.Context(), c); err != nil || done.Unanswered != 5 {
		t.Errorf("without answers: %+v, %v", done, err)
	}
}

// TestCapsuleIsChecked changes one thing in a capsule: it is refused, with the
// place of the mistake, and nothing hangs.
func TestCapsuleIsChecked(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 100})
	_ = s.Call("ListSecrets", nil, nil)
	callControl(t, s, http.MethodPost, "/faults", `{"error":{"code":"InternalError"}}`)
	_, text := saved(t, s, "")
	for change, want := range map[string]string{
		`"method": "POST" => "method": ""`:                           "request 1",
		`"url": "/" => "url": "@127.0.0.1/_ssmlocal/events/stream"`:  "request 1",
		`"url": "/" => "url": "//127.0.0.1/_ssmlocal/events/stream"`: "is a path",
		`"url": "/" => "url": "http://127.0.0.1/"`:                   "request 1",
		`"to": "api" => "to": ""`:                                    "request 1",
		`"turn": 1, => "turn": 0,`:                                   "request 1",
		`"turn": 1, => "turn": 1, "resumed": [{"turn": 1}],`:         "request 1",
		`"status": 200 => "status": 7`:                               "request 1",
		`"requests": [ => "requests": [null,`:                        "request 1",
		`"requests": [ => "requests": [{},`:                          "request 1",
		`"turn": 1, => "turn": 1, "resumed": [{"turn": 2, "at": "2026-01-01T00:00:00Z", "clock": [1, 9223372036854775807, 0]}],`:               "request 1: a clock ends",
		`"requests": [ => "steps": [{"turn": 9, "at": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z", "items": 0}], "requests": [`:    "step 1",
		`"requests": [ => "steps": [{"turn": 0, "at": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z", "items": 1}], "requests": [`:    "step 1",
		`"requests": [ => "steps": [{"turn": 9, "at": "2026-01-01T00:00:00Z", "until": "9026-01-01T00:00:00Z", "items": 1}], "requests": [`:    "step 1: the time",
		`"requests": [ => "steps": [{"turn": 9, "at": "2026-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z", "items": 9999}], "requests": [`: "at most 250",
		`"start": { => "start": {"keys": [null, {}],`:                             "start.keys[0] has no secretId",
		`"settings": { => "settings": {"credentials": [{}],`:                      "settings.credentials[0] has no secretId",
		`"state": "{}\n" => "state": "` + strings.Repeat("[a,a],", 200_000) + `"`: "there is too much in this document",
		`"requests": [ => "requests": [` + strings.Repeat("{},", 1_100_000):       "more than 1000000 objects",
		`"auth": "verify" => "auth": "perhaps"`:                                   "settings.auth",
		`"random": " => "random": "eHh4`:                                          "start.random",
		`"wall": "2 => "wall": "9`:                                                "start",
		`"capsule": 3, => "capsule": 3, "unknown": 1,`:                            "unknown",
		`"capsule": 3, => "capsule": 2,`:                                          "another form",
		`"capsule": 3, => "capsule": "3",`:                                        "capsule",
		`"url": "/_ssmlocal/faults" => "url": "/_ssmlocal/events/stream"`:         "",
		`"url": "/_ssmlocal/faults" => "url": "/_ssmlocal/x/../events/stream"`:    "",
		`"url": "/_ssmlocal/faults" => "url": "/_ssmlocal/%65vents/stream"`:       "",
		"\"method\": \"POST\",\n   \"url\": \"/_ssmlocal/faults\" => \"method\": \"GET\", \"url\": \"/_ssmlocal/events/stream\"": "",
	} {
		before, after, _ := strings.Cut(change, " => ")
		changed := strings.Replace(text, before, after, 1)
		if changed == text {
			t.Errorf("there is no %s in %s", before, text)
			continue
		}
		status, answer := rawControl(t, s, http.MethodPost, "/replay", changed)
		if want == "is a path" { // and the API takes any
			want = `"requests": 2`
			if status == http.StatusOK && strings.Contains(answer, want) {
				continue
			}
		}
		if want != "" && (status != http.StatusBadRequest || !strings.Contains(answer, want)) || status >= 500 {
			t.Errorf("%s: %d %s", change, status, answer)
		}
		if want == "" && !strings.Contains(answer, `"differs"`) {
			t.Errorf("%s is not found: %d %s", change, status, answer)
		}
	}
	if answer := refusedControl(t, s, http.MethodPost, "/replay", text+"{}"); !strings.Contains(answer, "not a capsule") {
		t.Error(answer)
	}
}

// TestSlowCapsules has clients that send capsules slowly: others are replayed
// meanwhile.
func TestSlowCapsules(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 10})
	_ = s.Call("ListSecrets", nil, nil)
	_, text := saved(t, s, "")
	for range 6 {
		c, err := net.Dial("tcp", s.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "POST /_ssmlocal/replay HTTP/1.1\r\nHost: "+s.Host+"\r\nContent-Length: 1000\r\n\r\n{\"capsule\":")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/_ssmlocal/replay", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if answer, text := send(t, r); answer.StatusCode != http.StatusOK {
		t.Errorf("%d %s", answer.StatusCode, text)
	}
}

// TestReplayOfSessions records every session, which together have all actions
// and most calls of the control plane, and replays it.
func TestReplayOfSessions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/sessions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := servertest.New(t, server.Config{Unlimited: true, Auth: account.Any, SecretLimit: 5, Capsule: 1000})
			_ = (&session{t: t, server: s, region: "ap-guangzhou", caller: s.Credential}).replay(string(text))
			if status, answer := putState(t, s, "?dryRun=true", getState(t, s, "")); status != http.StatusOK {
				t.Errorf("the state at the end can't be loaded: %s", answer)
			}
			for _, query := range []string{"", "?redact=true"} {
				c, _ := saved(t, s, query)
				done, err := server.Replay(t.Context(), c)
				if c.Databases { // which a replay has not
					continue
				}
				if err != nil || done.Differs != nil || done.Requests != len(c.Requests) {
					t.Errorf("%s %+v %+v, %v", query, done, done.Differs, err)
				}
			}
		})
	}
}

// TestReplayOfBrokenRequests has clients that go away in the middle of a
// request. Nobody waits for them meanwhile.
func TestReplayOfBrokenRequests(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Capsule: 100})
	const signed = "X-TC-Action: ListSecrets\r\nAuthorization: TC3-HMAC-SHA256 Credential=AKIDssmlocal/2026-01-01/ssm/tc3_request, SignedHeaders=host, Signature=0\r\n"
	var open []net.Conn
	for _, head := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\n" + signed, "POST / HTTP/1.1\r\nHost: a\r\n", "POST /_ssmlocal/faults HTTP/1.1\r\nHost: " + s.Host + "\r\n",
		"PUT /_ssmlocal/clock HTTP/1.1\r\nHost: " + s.Host + "\r\n", "GET /latest/meta-data/ HTTP/1.1\r\nHost: metadata.tencentyun.com\r\n",
	} {
		c, err := net.Dial("tcp", s.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, head+"Content-Length: 100\r\n\r\n{\"mode\":")
		open = append(open, c)
	}
	if err := s.Call("ListSecrets", nil, nil); err != nil {
		t.Error(err)
	}
	for _, c := range open {
		_ = c.Close()
	}
	for _, head := range []string{
		"POST * HTTP/1.1\r\nHost: a\r\n" + signed, "GET * HTTP/1.1\r\nHost: a\r\n", "GET a:b HTTP/1.1\r\nHost: a\r\n" + signed,
		"GET /\xe9?Action=\xff\xe9&Version=1 HTTP/1.1\r\nHost: a\r\n", "POST / HTTP/1.1\r\nHost: a\r\nX-TC-Region: \xe9\r\nX-TC-Version: 2019-09-23\r\n" + signed,
	} {
		c, err := net.Dial("tcp", s.Host)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, head+"Content-Length: 2\r\nConnection: close\r\n\r\n{}")
		if answer, _ := io.ReadAll(c); len(answer) == 0 {
			t.Errorf("no answer to %q", head)
		}
		_ = c.Close()
	}
	all := len(open) + 6
	for c, _ := saved(t, s, ""); len(c.Requests) < all; c, _ = saved(t, s, "") {
		if t.Context().Err() != nil {
			t.Fatalf("%d of %d requests are recorded", len(c.Requests), all)
		}
	}
	replays(t, s, all)
}
