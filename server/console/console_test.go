package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
)

// preact.js is htm/preact/standalone.module.js of the npm package htm 3.1.1,
// byte for byte: preact 10 with hooks, and htm.
const preactSum = "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7"

func TestPreactIsAsPublished(t *testing.T) {
	t.Parallel()
	text, err := files.ReadFile("static/preact.js")
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != preactSum {
		t.Errorf("preact.js has the checksum %x, htm 3.1.1's has %s", sum, preactSum)
	}
}

// texts calls f with each file of the page.
func texts(t *testing.T, f func(name, text string)) {
	t.Helper()
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(name)
		f(strings.TrimPrefix(name, "static/"), string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSize holds the page below 100 KB, compressed file by file.
func TestSize(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	texts(t, func(_, text string) {
		w := gzip.NewWriter(&b)
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%d bytes compressed", b.Len())
	if b.Len() > 100_000 {
		t.Errorf("the page has %d bytes compressed, at most 100,000 are promised", b.Len())
	}
}

// TestEveryTextHasItsChinese compares the texts of the page with the table of
// translations: none is missing, none is left over, and both have the same
// places.
func TestEveryTextHasItsChinese(t *testing.T) {
	t.Parallel()
	table := map[string]string{}
	used := map[string]bool{}
	entry := regexp.MustCompile(`(?m)^  (?:"([^"]+)"|(\w+)):\s+"([^"]+)",$`)
	literal := regexp.MustCompile(`\bt\(\s*"([^"]+)"`)
	all := ""
	texts(t, func(name, text string) {
		if name == "zh.js" {
			for _, m := range entry.FindAllStringSubmatch(text, -1) {
				table[m[1]+m[2]] = m[3]
			}
			return
		}
		all += text
		for _, m := range literal.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
		}
	})
	if len(used) < 100 || len(table) < 100 {
		t.Fatalf("%d texts and %d translations: this test doesn't read them any more", len(used), len(table))
	}
	place := regexp.MustCompile(`\{\w+\}`)
	for word, is := range looked {
		used[word] = used[word] || is
	}
	for text := range used {
		if used[text] && table[text] == "" {
			t.Errorf("%q has no Chinese text in zh.js", text)
		}
	}
	for text, chinese := range table {
		// Some are looked up by what the control plane answers, such as
		// "rotation".
		if !used[text] && !strings.Contains(all, `"`+text+`"`) {
			t.Errorf("%q of zh.js is used nowhere", text)
		}
		for _, p := range place.FindAllString(text, -1) {
			if !strings.Contains(chinese, p) {
				t.Errorf("%q has no place for %s in Chinese: %q", text, p, chinese)
			}
		}
	}
}

// looked are the words of the control plane's answers that the page translates:
// what is due and what has happened (action.Upcoming, action.Event), and the
// states of accounts (backend.Account), and kinds of things (seed.Thing).
var looked = func() map[string]bool {
	words := map[string]bool{}
	for _, w := range []string{"ok", "missing", "wrong password", "not made here", "being made", "left over", "unknown", "not checked", "rotation skipped", "rotation begun", "account", "credential", "role", "fault", "clock"} {
		words[w] = true
	}
	for _, kind := range []string{"rotation", "creation", "deletion"} {
		for _, w := range []string{"", " ends", " done", " failed"} {
			words[kind+w] = kind+w != "creation"
		}
	}
	return words
}()

func TestServing(t *testing.T) {
	t.Parallel()
	r := chi.NewRouter()
	Mount(r, func(*http.Request) error { return nil })
	get := func(p string) *http.Response {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodGet, p, nil))
		return w.Result()
	}
	texts(t, func(name, _ string) {
		p := "/_ssmlocal/console/" + name
		if name == "index.html" {
			p = Path
		}
		a := get(p)
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != types[path.Ext(name)] || types[path.Ext(name)] == "" {
			t.Errorf("%s answers %s with %q", p, a.Status, a.Header.Get("Content-Type"))
		}
		if csp := a.Header.Get("Content-Security-Policy"); csp == "" || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s has the policy %q", p, csp)
		}
		if a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s may be sniffed", p)
		}
	})
	for _, p := range []string{"/_ssmlocal/console/", "/_ssmlocal/console/nothing.js", "/_ssmlocal/console/../console.go", "/_ssmlocal/console/pages", "/_ssmlocal/console/%2e%2e/console.go"} {
		if a := get(p); a.StatusCode == http.StatusOK && a.Header.Get("Content-Type") != types[".html"] {
			t.Errorf("%s answers %s", p, a.Status)
		} else if p != "/_ssmlocal/console/" && a.StatusCode != http.StatusNotFound {
			t.Errorf("%s answers %s", p, a.Status)
		}
	}
}

// TestNothingInline reads the page as its policy does: no inline script, style
// or handler, and no address elsewhere but links to follow.
func TestNothingInline(t *testing.T) {
	t.Parallel()
	bad := regexp.MustCompile(`\sstyle=|\son[a-z]+="|innerHTML|dangerouslySetInnerHTML|\beval\(|new Function|<script>|javascript:`)
	texts(t, func(name, text string) {
		if name == "preact.js" {
			return
		}
		if m := bad.FindString(text); m != "" {
			t.Errorf("%s has %q", name, m)
		}
		for _, m := range regexp.MustCompile(`https?://[\w.-]+`).FindAllString(text, -1) {
			if m != "https://www.tencentcloud.com" && m != "http://www.w3.org" {
				t.Errorf("%s names %s", name, m)
			}
		}
	})
}
