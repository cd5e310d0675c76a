package control

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"ssmlocal/fixtures"
	"ssmlocal/server/demo"
	"ssmlocal/server/near"
)

// What is shown live: recipes of the error atlas, and tours. They run on a
// throwaway emulator, so the state here is not touched.

const (
	// mostDemos is how many throwaway emulators run at once.
	mostDemos = 4
	// demoTime bounds how long one runs.
	demoTime = 30 * time.Second
)

// show runs a demonstration once there is room for it.
func show[T any](c *Control, r *http.Request, run func(ctx context.Context, start demo.Start) (T, error)) (out T, err error) {
	if c.config.Throwaway == nil {
		return out, refuse(http.StatusConflict, "a throwaway emulator can't start another one")
	}
	// Its own context, which ends with the caller's: that one carries the
	// router's state, and the throwaway emulator has a router, too.
	ctx, cancel := context.WithTimeout(context.Background(), demoTime)
	defer cancel()
	defer context.AfterFunc(r.Context(), cancel)()
	end, err := c.beginDemo(ctx)
	if err != nil {
		return out, err
	}
	defer end()
	return run(ctx, c.config.Throwaway)
}

// beginDemo waits until another throwaway emulator may run. The caller calls
// end once it has ended.
func (c *Control) beginDemo(ctx context.Context) (end func(), err error) {
	select {
	case c.demos <- struct{}{}:
		return func() { <-c.demos }, nil
	case <-ctx.Done():
		return nil, refuse(http.StatusServiceUnavailable, "%d throwaway emulators are running; try again later", mostDemos)
	}
}

type runErrorRequest struct {
	Action string `json:"action"` // "" for the gateway's codes
	Code   string `json:"code"`
}

// runError gets a documented code live.
func (c *Control) runError(r *http.Request, q *runErrorRequest) (demo.Transcript, error) {
	found, err := fixtures.Find(q.Action, q.Code)
	if err != nil {
		return demo.Transcript{}, err
	}
	found = slices.DeleteFunc(found, func(r fixtures.Recipe) bool { return r.Action != q.Action })
	if q.Code == "" || len(found) != 1 {
		return demo.Transcript{}, refuse(http.StatusNotFound, "there is no recipe for the action %q and the code %q; GET /_ssmlocal/errors has all of them", q.Action, q.Code)
	}
	return show(c, r, func(ctx context.Context, start demo.Start) (demo.Transcript, error) {
		return demo.Recipe(ctx, start, found[0])
	})
}

func (c *Control) listTours() ([]fixtures.Tour, error) { return fixtures.Tours() }

// playTour plays a tour.
func (c *Control) playTour(r *http.Request) (demo.Played, error) {
	all, err := fixtures.Tours()
	if err != nil {
		return demo.Played{}, err
	}
	var names []string
	for _, t := range all {
		if t.Name == r.PathValue("id") {
			return show(c, r, func(ctx context.Context, start demo.Start) (demo.Played, error) { return demo.Tour(ctx, start, t) })
		}
		names = append(names, t.Name)
	}
	return demo.Played{}, refuse(http.StatusNotFound, "there is no tour %q%s; there are %s", r.PathValue("id"), near.Hint(r.PathValue("id"), names), strings.Join(names, ", "))
}
