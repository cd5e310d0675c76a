// Package console is the page that a browser shows under /_ssmlocal/. It is
// embedded in the binary, speaks the control plane and nothing else, and needs
// no build step: static has plain ES modules, and preact with htm as they come
// from npm (see console_test.go for version and checksum).
package console

import (
	"embed"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/go-chi/chi/v5"
)

//go:embed static
var files embed.FS

// policy lets the page use its own files and its own server, and nothing else:
// no inline script or style, no eval, no frame, nothing from elsewhere.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// types are the content types of the page's files, by extension.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
}

// Mount adds the page to a router: itself at /_ssmlocal/, its files below
// /_ssmlocal/console/. allow refuses requests that may come from a stranger.
func Mount(r chi.Router, allow func(*http.Request) error) {
	for _, p := range []string{"/_ssmlocal/", "/_ssmlocal/console/*"} {
		r.Get(p, func(w http.ResponseWriter, r *http.Request) {
			if err := allow(r); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			serve(w, r)
		})
	}
	r.Get("/_ssmlocal", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, Path, http.StatusFound) })
}

// Opened returns the request as if the address had been typed, if a browser
// opens the page: a link on another site, such as one in a chat, may lead to
// it. The page has nothing of the state in it, and can't be shown in a frame.
func Opened(r *http.Request) *http.Request {
	if r.URL.Path != Path && !IsNavigation(r) || !navigates(r) {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set("Sec-Fetch-Site", "none")
	return r
}

// navigates reports whether a browser opens something as a page of its own.
func navigates(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// Path is where the page is.
const Path = "/_ssmlocal/"

// IsNavigation reports whether a person's browser opens the emulator's address:
// it wants a page, and no program asks that way.
func IsNavigation(r *http.Request) bool {
	return navigates(r) && r.URL.Path == "/" && r.URL.RawQuery == ""
}

func serve(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, Path), "console/")
	if name == "" {
		name = "index.html"
	}
	text, err := fs.ReadFile(files, path.Join("static", path.Clean("/"+name)))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", types[path.Ext(name)])
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // another build has other files under these names
	_, _ = w.Write(text)
}
