package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmlocal/fixtures"
	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/servertest"
	"ssmlocal/server/tc3"
)

// TestAtlas replays the recipe of every documented code of every action, and of
// the gateway's codes, on a live server. A natural recipe gets the code without
// a fault, and a fault recipe only because of its rule.
func TestAtlas(t *testing.T) {
	t.Parallel()
	atlas, err := fixtures.Errors()
	if err != nil {
		t.Fatal(err)
	}
	recipes, err := fixtures.Recipes()
	if err != nil {
		t.Fatal(err)
	}
	s := servertest.New(t, server.Config{Seeds: atlas.Seeds, Unlimited: true})
	pairs, natural := 0, 0
	for _, r := range recipes {
		if r.Action != "" {
			pairs++
		}
		on := s
		if r.Kind == fixtures.NaturalKind {
			natural++
			if r.Call.Limit > 0 {
				on = servertest.New(t, server.Config{Unlimited: true, Rates: map[string]int{r.Called(): r.Call.Limit}})
			}
		} else {
			rule, err := json.Marshal(r.Fault)
			if err != nil {
				t.Fatal(err)
			}
			if code := replay(t, on, atlas, fixtures.Recipe{Action: r.Action}); code == r.Code {
				t.Errorf("%s from %s comes without the fault too", r.Code, r.Action)
			}
			if status, body := ask(t, on, http.MethodPost, "/faults", string(rule)); status != http.StatusOK {
				t.Errorf("%s from %s: the rule is refused: %s", r.Code, r.Action, body)
				continue
			}
		}
		if code := replay(t, on, atlas, r); code != r.Code {
			t.Errorf("the %s recipe for %s from %q gets %q", r.Kind, r.Code, r.Action, code)
		}
	}
	if want := documentedPairs(t); pairs != want || natural < want/2 {
		t.Errorf("%d pairs of %d, %d natural recipes", pairs, want, natural)
	}
	for _, r := range faultsOf(t, s) {
		if r.Hits != 1 {
			t.Errorf("a rule hit %d times", r.Hits)
		}
	}
}

// documentedPairs counts the documented pairs of action and code.
func documentedPairs(t *testing.T) (n int) {
	t.Helper()
	api, err := fixtures.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range api.Actions {
		n += len(a.Errors)
	}
	return n
}

// TestSamples calls each action with the atlas's sample: it succeeds, so that a
// recipe fails because of what it changes.
func TestSamples(t *testing.T) {
	t.Parallel()
	atlas, err := fixtures.Errors()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range action.All() {
		s := servertest.New(t, server.Config{Seeds: atlas.Seeds, Unlimited: true})
		if err := s.Call(a.Name, atlas.Samples[a.Name], nil); err != nil {
			t.Errorf("%s: %v", a.Name, err)
		}
	}
	if len(atlas.Samples) != len(action.All()) {
		t.Errorf("%d samples for %d actions", len(atlas.Samples), len(action.All()))
	}
}

// TestAtlasIsDocumented fails for a recipe of a pair that is not documented.
func TestAtlasIsDocumented(t *testing.T) {
	atlas, err := fixtures.Errors()
	if err != nil {
		t.Fatal(err)
	}
	api, err := fixtures.Facts()
	if err != nil {
		t.Fatal(err)
	}
	for code, all := range atlas.Natural {
		seen := map[string]bool{}
		for _, n := range all {
			for _, name := range n.For {
				if !slices.Contains(api.Actions[name].Errors, code) || seen[name] || n.Why == "" {
					t.Errorf("%s from %s is not documented, or stands twice, or has no why", code, name)
				}
				seen[name] = true
			}
		}
	}
	for code, call := range atlas.Common {
		if !slices.Contains(api.Common, code) || call.Why == "" {
			t.Errorf("%s is not one of the gateway's codes, or has no why", code)
		}
	}
}

// replay makes a recipe's call, or the sample's if the recipe has none, and
// returns the code that comes back.
func replay(t *testing.T, s *servertest.Server, atlas fixtures.Atlas, r fixtures.Recipe) string {
	t.Helper()
	call, params := r.Call, r.Parameters
	if call == nil {
		call, params = &fixtures.Call{}, harmless(r.Called(), atlas.Samples[r.Called()])
	}
	code := ""
	for range 1 + 4*min(1, call.Limit) { // a budget of one is refilled after a second
		if code = send1(t, s, r.Called(), call, params); code != "" && (call.Limit == 0 || code == r.Code) {
			break
		}
	}
	return code
}

// harmless makes a sample change nothing, for calls that a fault should hit: if
// it doesn't hit one, nothing is changed.
func harmless(action string, sample map[string]any) map[string]any {
	p := maps.Clone(sample)
	if _, ok := p["SecretName"]; ok {
		p["SecretName"] = "nobody"
	}
	if strings.HasPrefix(action, "Create") {
		p["SecretName"] = "custom-enabled"
	}
	return p
}

func send1(t *testing.T, s *servertest.Server, name string, call *fixtures.Call, params map[string]any) string {
	t.Helper()
	body, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	if call.Body != "" {
		body = []byte(call.Body)
	}
	if call.Size > 0 {
		body = bytes.Repeat([]byte(" "), call.Size)
	}
	who := account.Credential{SecretID: "AKIDssmlocal", SecretKey: "ssmlocal"}
	if call.As != "" {
		who.SecretID = call.As
	}
	if call.SecretKey != "" {
		who.SecretKey = call.SecretKey
	}
	q := servertest.NewRequest(s.URL, "ap-guangzhou", who, name, body)
	if call.Host != "" {
		q.Host = call.Host
	}
	if call.Method != "" {
		q.Method = call.Method
	}
	at := time.Now()
	if call.Late != "" {
		late, err := time.ParseDuration(call.Late)
		if err != nil {
			t.Fatal(err)
		}
		at = at.Add(-late)
	}
	tc3.Sign(q, body, who.SecretID, who.SecretKey, "ssm", at)
	if call.Token != "" {
		q.Header.Set("X-TC-Token", call.Token)
	}
	for name, value := range call.Headers {
		q.Header.Set(name, value)
		if value == "" {
			q.Header.Del(name)
		}
	}
	_, text := send(t, q)
	var reply struct {
		Response struct{ Error struct{ Code string } }
	}
	if err := json.Unmarshal([]byte(text), &reply); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return reply.Response.Error.Code
}

type hits struct{ Hits int }

func faultsOf(t *testing.T, s *servertest.Server) (all []hits) {
	t.Helper()
	answer, err := http.Get(s.URL + "/_ssmlocal/faults")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestAtlasPage keeps the page of the atlas current; -update writes it.
func TestAtlasPage(t *testing.T) {
	const file = "../fixtures/errors.md"
	recipes, err := fixtures.Recipes()
	if err != nil {
		t.Fatal(err)
	}
	want := atlasPage(recipes)
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s differs from the atlas: run go test ./server -update; %v", file, err)
	}
}

func atlasPage(recipes []fixtures.Recipe) string {
	var b strings.Builder
	natural := 0
	for _, r := range recipes {
		if r.Kind == fixtures.NaturalKind {
			natural++
		}
	}
	fmt.Fprintf(&b, `# The error atlas

Every documented error code of every action, with a way to get it: %d recipes, of which %d are natural and %d are faults. A test replays them all, and writes this page.

**Natural**: a call or a state causes the code. Start `+"`ssmlocal --seed every-status --seed errors`"+` and call the action with its sample parameters (`+"`fixtures/atlas.yaml`"+`), changed as the table says; every key that it names has the SecretKey `+"`ssmlocal`"+`. **Fault**: a rule causes it: `+"`ssmlocal provoke CODE ACTION`"+`, and the next call of the action gets the code. That works for the natural ones too.

`+"`ssmlocal errors [ACTION] [CODE]` prints a recipe in full, `GET /_ssmlocal/errors?action=&code=`"+` serves it as JSON.
`, len(recipes), natural, len(recipes)-natural)
	last := "-"
	for _, r := range recipes {
		if r.Action != last {
			title := r.Action
			if title == "" {
				title = "Any action"
			}
			fmt.Fprintf(&b, "\n## %s\n\n| Code | How | Why |\n|---|---|---|\n", title)
			last = r.Action
		}
		does := r.Does()
		if r.Kind == fixtures.NaturalKind {
			does = "`" + does + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Code, does, r.Why)
	}
	return b.String()
}
