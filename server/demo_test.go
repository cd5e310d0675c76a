package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"ssmlocal/fixtures"
	"ssmlocal/server"
	"ssmlocal/server/demo"
	"ssmlocal/server/servertest"
)

// TestRecipesRunLive gets every documented code of every action, and the
// gateway's, as people get it: on a throwaway emulator. The state here is not
// touched.
func TestRecipesRunLive(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	recipes, err := fixtures.Recipes()
	must(t, err)
	for _, r := range recipes {
		q, err := json.Marshal(map[string]string{"action": r.Action, "code": r.Code})
		must(t, err)
		if r.Action == "" {
			q, _ = json.Marshal(map[string]string{"code": r.Code})
		}
		status, text := ask(t, s, http.MethodPost, "/errors/run", string(q))
		var got demo.Transcript
		if err := json.Unmarshal([]byte(text), &got); err != nil || status != http.StatusOK {
			t.Fatalf("%s from %q: %d %s", r.Code, r.Action, status, text)
		}
		if !got.OK || got.Reached != r.Code || len(got.Steps) == 0 || got.Steps[len(got.Steps)-1].Command == "" {
			t.Errorf("%s from %q reaches %q: %s", r.Code, r.Action, got.Reached, text)
		}
	}
	if calls := count(t, s, ""); calls != 0 {
		t.Errorf("%d calls were made here", calls)
	}
}

// TestToursArePlayed plays every tour: each step comes out as it must, and has
// its words in both languages.
func TestToursArePlayed(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	tours, err := fixtures.Tours()
	must(t, err)
	if len(tours) < 5 {
		t.Errorf("there are %d tours", len(tours))
	}
	for _, tour := range tours {
		_, text := ask(t, s, http.MethodPost, "/tours/"+tour.Name+"/run", "")
		var got demo.Played
		must(t, json.Unmarshal([]byte(text), &got))
		if !got.OK || len(got.Steps) != len(tour.Steps) {
			t.Errorf("%s: %s", tour.Name, text)
		}
		for i, step := range got.Steps {
			if step.Wrong != "" || step.Text == nil || step.Text.EN == "" || step.Text.ZH == "" || step.Command == "" {
				t.Errorf("%s, step %d: %s, %+v", tour.Name, i+1, step.Wrong, step.Text)
			}
		}
	}
	if status, _ := ask(t, s, http.MethodPost, "/tours/nothing/run", ""); status != http.StatusNotFound {
		t.Errorf("a tour that there is not: %d", status)
	}
}

// TestAWrongTourIsNoticed plays steps that come out otherwise than they must.
func TestAWrongTourIsNoticed(t *testing.T) {
	e := servertest.New(t, server.Config{})
	start := func([]string, map[string]int) (*demo.Emulator, error) {
		return &demo.Emulator{API: forward(e.URL), Control: forward(e.URL), Wall: e.Clock.Wall, Close: func() {}}, nil
	}
	for _, want := range []fixtures.Want{{Code: "ResourceNotFound"}, {Codes: []string{"OK", "InternalError"}}, {Has: []string{"nothing of the kind"}}} {
		tour := fixtures.Tour{Steps: []fixtures.TourStep{{Call: &fixtures.TourCall{Action: "GetRegions"}, Want: want}}}
		if got, err := demo.Tour(t.Context(), start, tour); err != nil || got.OK {
			t.Errorf("%+v: %+v, %v", want, got, err)
		}
	}
}

// forward passes requests on to an emulator that listens.
func forward(url string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.Clone(r.Context())
		q.RequestURI = ""
		q.URL.Scheme, q.URL.Host = "http", url[len("http://"):]
		answer, err := http.DefaultTransport.RoundTrip(q)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	})
}
