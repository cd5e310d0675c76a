package control

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/clock"
	"ssmlocal/server/gateway"
	"ssmlocal/server/journal"
	"ssmlocal/server/limit"
	"ssmlocal/server/near"
)

// The control plane's calls about the calls that were made, and the actions
// that can be called.

var journalFilters = []string{"action", "secretName", "secretId", "code", "uin", "region", "since", "after"}

// journalQuery is what the calls take that send calls themselves.
var journalQuery = slices.Concat(journalFilters, []string{"limit"})

// journalFilter reads the parameters that choose calls.
func (c *Control) journalFilter(r *http.Request) (journal.Filter, error) {
	q := r.URL.Query()
	uin, err := uinOf(r)
	if err != nil {
		return journal.Filter{}, err
	}
	after, _, err := afterOf(r)
	f := journal.Filter{After: after, Action: q.Get("action"), Region: q.Get("region"), SecretName: q.Get("secretName"), SecretID: q.Get("secretId"), Code: q.Get("code"), Uin: uin}
	if err != nil {
		return f, err
	}
	if err := c.knownToJournal(f); err != nil {
		return f, err
	}
	if f.Check() != nil {
		return f, refuse(http.StatusBadRequest, "secretName is %q, which is neither a name nor a pattern with * and ?", f.SecretName)
	}
	if since := q.Get("since"); since != "" {
		if ago, err := clock.ParseDuration(since); err == nil {
			f.Since = c.backend.Clock.Wall().Add(-ago)
		} else if f.Since, err = time.Parse(time.RFC3339Nano, since); err != nil {
			return f, refuse(http.StatusBadRequest, "since is %q; it must be a time such as 2030-01-02T15:04:05Z, or a duration such as 5m", since)
		}
	}
	return f, nil
}

// knownToJournal refuses to look for an action or a code that does not exist,
// unless a call had it: that it was never called would prove nothing.
func (c *Control) knownToJournal(f journal.Filter) error {
	seen := func(f journal.Filter) bool { _, n := c.gateway.Journal.Find(f, 1); return n > 0 }
	if names := action.Names(); f.Action != "" && !slices.Contains(names, f.Action) && !seen(journal.Filter{Action: f.Action}) {
		return refuse(http.StatusBadRequest, "there is no action %q%s, and no call had it; the actions are %s", f.Action, near.Hint(f.Action, names), strings.Join(names, ", "))
	}
	codes := append(apierr.Codes(), journal.OK, journal.NoAnswer)
	if f.Code != "" && !slices.Contains(codes, f.Code) && !seen(journal.Filter{Code: f.Code}) {
		return refuse(http.StatusBadRequest, "there is no code %q%s, and no call had it; the codes are %s", f.Code, near.Hint(f.Code, codes), strings.Join(codes, ", "))
	}
	return nil
}

func (c *Control) readJournal(r *http.Request) ([]journal.Entry, error) {
	f, err := c.journalFilter(r)
	if err != nil {
		return nil, err
	}
	limit, err := journalLimit(r)
	if err != nil {
		return nil, err
	}
	found, _ := c.gateway.Journal.Find(f, limit)
	return found, nil
}

// journalLimit is how many calls are wanted, 0 if the query doesn't say.
func journalLimit(r *http.Request) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return 0, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 {
		return 0, refuse(http.StatusBadRequest, "limit is %q; it must be a number from 1 on", text)
	}
	return limit, nil
}

// Count says how many calls there are.
type Count struct {
	Count int `json:"count"`
	// Dropped is how many calls of any kind the journal had to drop for newer
	// ones. If it is not 0, there may have been more calls than Count.
	Dropped int `json:"dropped,omitzero"`
}

func (c *Control) countJournal(r *http.Request) (Count, error) {
	f, err := c.journalFilter(r)
	if err != nil {
		return Count{}, err
	}
	_, n := c.gateway.Journal.Find(f, 0)
	return Count{n, c.gateway.Journal.Dropped()}, nil
}

func (c *Control) clearJournal(r *http.Request) (Removed, error) {
	uin, err := uinOf(r)
	if err != nil {
		return Removed{}, err
	}
	return Removed{c.gateway.Journal.Forget(uin)}, nil
}

// stream sends calls as server-sent events until the client leaves or the
// server stops.
type stream struct {
	c       *Control
	filter  journal.Filter
	earlier bool // whether calls that were made before are sent first
	limit   int  // at most so many of them, 0 for no limit
}

// streamJournal sends the calls from now on; before them the last ones if limit
// asks for them, or those after a number, so that a client which lost its
// connection misses none that is still kept.
func (c *Control) streamJournal(r *http.Request) (http.Handler, error) {
	f, err := c.journalFilter(r)
	if err != nil {
		return nil, err
	}
	limit, err := journalLimit(r)
	if err != nil {
		return nil, err
	}
	_, given, err := afterOf(r)
	return stream{c, f, given || limit > 0, limit}, err
}

// pulse is how often a stream without events shows that it lives, so that a
// dead client is noticed.
const pulse = 15 * time.Second

// ServeHTTP sends an event for each call; its id is the call's number, its data
// the entry in JSON.
func (x stream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	earlier, reader := x.c.gateway.Journal.Follow(x.filter, x.limit)
	defer x.c.gateway.Journal.Unfollow(reader)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	_, err := fmt.Fprint(w, ": calls follow\n\n")
	send := func(e journal.Entry) error {
		data, err := json.Marshal(e)
		if err == nil {
			_, err = fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.Number, data)
		}
		return err
	}
	for _, e := range earlier {
		if x.earlier && err == nil {
			err = send(e)
		}
	}
	ticker := time.NewTicker(pulse)
	defer ticker.Stop()
	for err == nil && out.Flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case <-x.c.backend.Stopping():
			return
		case <-ticker.C:
			_, err = fmt.Fprint(w, ":\n\n")
		case e := <-reader.C:
			err = send(e)
		}
	}
}

// Budget is how much of a request rate was used.
type Budget struct {
	Uin        uint64    `json:"uin"`
	Region     string    `json:"region"`
	Action     string    `json:"action"`
	Limit      int       `json:"limit,omitzero"` // calls per second that hold here, 0 for no limit
	Documented int       `json:"documented"`     // calls per second at the real service
	Highest    int       `json:"highest"`        // most calls in a second so far
	HighestAt  time.Time `json:"highestAt"`
	Refused    int       `json:"refused"` // calls refused so far
}

func (c *Control) readLimits(r *http.Request) ([]Budget, error) {
	uin, err := uinOf(r)
	if err != nil {
		return nil, err
	}
	out := []Budget{}
	for _, u := range c.gateway.Uses() {
		if uin == 0 || uin == u.Uin {
			out = append(out, c.budget(u))
		}
	}
	return out, nil
}

func (c *Control) budget(u limit.Use) Budget {
	b := Budget{
		Uin: u.Uin, Region: u.Region, Action: u.Action, Limit: c.gateway.Rate(u.Action), Highest: u.Highest,
		HighestAt: time.Unix(u.Second, 0).UTC(), Refused: u.Refused,
	}
	if a := action.Named(u.Action); a != nil {
		b.Documented = a.Rate
	}
	return b
}

type setLimitsRequest struct {
	Action    string `json:"action"`
	PerSecond *int   `json:"perSecond"` // 0 for no limit
	All       string `json:"all"`       // off, documented or start
}

// Limits says which rates hold.
type Limits struct {
	Limits map[string]int `json:"limits"` // calls per second, by action; an action that is not there has no limit
}

// setLimits changes rates.
func (c *Control) setLimits(q *setLimitsRequest) (Limits, error) {
	which, known := map[string]gateway.Rates{"off": gateway.NoRates, "documented": gateway.DocumentedRates, "start": gateway.StartRates}[q.All]
	switch {
	case q.All != "" && (!known || q.Action != "" || q.PerSecond != nil):
		return Limits{}, refuse(http.StatusBadRequest, "all is %q%s; it must be off, documented or start, and stand alone", q.All, near.Hint(q.All, []string{"off", "documented", "start"}))
	case known:
		c.gateway.SetRates(which)
	case action.Named(q.Action) == nil:
		return Limits{}, refuse(http.StatusBadRequest, "there is no action %q%s; GET /_ssmlocal/actions lists them", q.Action, near.Hint(q.Action, action.Names()))
	case q.PerSecond == nil || *q.PerSecond < 0:
		return Limits{}, refuse(http.StatusBadRequest, "perSecond is missing or less than 0; 0 is no limit")
	default:
		c.gateway.SetRate(q.Action, *q.PerSecond)
	}
	limits := Limits{map[string]int{}}
	for _, name := range action.Names() {
		if n := c.gateway.Rate(name); n > 0 {
			limits.Limits[name] = n
		}
	}
	return limits, nil
}

// Served is one action of the API.
type Served struct {
	Service string   `json:"service"`
	Version string   `json:"version"`
	Action  string   `json:"action"`
	Rate    int      `json:"rate"`            // documented, calls per second
	Limit   int      `json:"limit,omitzero"`  // that holds here, 0 for no limit
	Codes   []string `json:"codes,omitempty"` // documented, besides those of the gateway
}

func (c *Control) listActions() (out []Served, err error) {
	known, err := c.backend.Documented()
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			out = append(out, Served{set.Service, set.Version, a.Name, a.Rate, c.gateway.Rate(a.Name), known.Actions[a.Name].Errors})
		}
	}
	return out, err
}

// Version says which build answers.
type Version struct {
	Version string `json:"version"`
}

func (c *Control) readVersion() (Version, error) { return Version{c.config.Version}, nil }

func (c *Control) readMetrics(*http.Request) (http.Handler, error) { return c.gateway.Metrics(), nil }
