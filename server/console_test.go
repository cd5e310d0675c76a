package server_test

import (
	"net/http"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// TestNavigationsFindTheConsole opens addresses as a browser and as programs
// do.
func TestNavigationsFindTheConsole(t *testing.T) {
	t.Parallel()
	on := servertest.New(t, server.Config{})
	off := servertest.New(t, server.Config{ConsoleOff: true})
	noControl := servertest.New(t, server.Config{Control: "off"})
	apart := servertest.New(t, server.Config{Control: "127.0.0.1:0"})
	navigation := map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
	link := map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "cross-site"}
	frame := map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"}
	for _, c := range []struct {
		name, url, path string
		headers         map[string]string
		status          int
		has             string
	}{
		{"typed", on.URL, "/", navigation, http.StatusFound, ""},
		{"a link elsewhere", on.URL, "/", link, http.StatusFound, ""},
		{"a link to the page", on.URL, "/_ssmlocal/", link, http.StatusOK, "<!doctype html>"},
		{"a link to a call", on.URL, "/_ssmlocal/state", link, http.StatusForbidden, "another site"},
		{"a link to the API", on.URL, "/?Action=ListSecrets&Version=2019-09-23", link, http.StatusForbidden, "another site"},
		{"a frame elsewhere", on.URL, "/_ssmlocal/", frame, http.StatusForbidden, "another site"},
		{"a script elsewhere", on.URL, "/_ssmlocal/console/app.js", map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusForbidden, ""},
		{"without the slash", on.URL, "/_ssmlocal", nil, http.StatusFound, ""},
		{"a program", on.URL, "/", nil, http.StatusOK, "MissingParameter"},
		{"a browser's API call", on.URL, "/?Action=ListSecrets", navigation, http.StatusOK, `"Error"`},
		{"switched off", off.URL, "/", navigation, http.StatusOK, "MissingParameter"},
		{"switched off, the page", off.URL, "/_ssmlocal/", navigation, http.StatusNotFound, "there is no"},
		{"no control plane", noControl.URL, "/", navigation, http.StatusNotFound, "--control"},
		{"no control plane, the page", noControl.URL, "/_ssmlocal/", navigation, http.StatusNotFound, "--control"},
		{"control plane apart", apart.URL, "/", navigation, http.StatusNotFound, "--control"},
		{"control plane apart, there", apart.ControlURL(), "/", link, http.StatusFound, ""},
		{"control plane apart, the page", apart.ControlURL(), "/_ssmlocal/", link, http.StatusOK, "<!doctype html>"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range c.headers {
			r.Header.Set(name, value)
		}
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := answer.Write(&b); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != c.status || !strings.Contains(b.String(), c.has) {
			t.Errorf("%s: %s", c.name, b.String())
		}
		if at := answer.Header.Get("Location"); c.status == http.StatusFound && at != "/_ssmlocal/" {
			t.Errorf("%s leads to %q", c.name, at)
		}
	}
}
