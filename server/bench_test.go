package server

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/tc3"
)

// newHandler returns an emulator without limits and without a socket in the way.
func newHandler(t testing.TB, c Config) http.Handler {
	t.Helper()
	c.Listen, c.Unlimited, c.Log = []string{"127.0.0.1:0"}, true, slog.New(slog.DiscardHandler)
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s.http.Handler
}

func signed(action, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:9023/", nil)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-TC-Action", action)
	r.Header.Set("X-TC-Version", "2019-09-23")
	r.Header.Set("X-TC-Region", "ap-guangzhou")
	r.Body = io.NopCloser(bytes.NewReader([]byte(body)))
	tc3.Sign(r, []byte(body), account.Default.SecretID, account.Default.SecretKey, "ssm", time.Now())
	return r
}

func do(t testing.TB, h http.Handler, r *http.Request) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

// discard is a response that goes nowhere.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func benchmarkCall(b *testing.B, h http.Handler, action, body string) {
	r := signed(action, body)
	w := discard{http.Header{}}
	reader := bytes.NewReader(nil)
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset([]byte(body))
		r.Body = io.NopCloser(reader)
		h.ServeHTTP(w, r)
	}
}

const created = `{"SecretName":"prod-payments-secret-00000001","VersionId":"v1","SecretString":"0123456789012345678901234567890123456789"}`

func BenchmarkGetSecretValue(b *testing.B) {
	h := newHandler(b, Config{})
	do(b, h, signed("CreateSecret", created))
	benchmarkCall(b, h, "GetSecretValue", `{"SecretName":"prod-payments-secret-00000001","VersionId":"v1"}`)
}

// BenchmarkUpdateSecret writes to a temporary store, so without a sync.
func BenchmarkUpdateSecret(b *testing.B) {
	h := newHandler(b, Config{})
	do(b, h, signed("CreateSecret", created))
	benchmarkCall(b, h, "UpdateSecret", created)
}

// BenchmarkUpdateSecretDurable writes to a data directory, with a sync each.
func BenchmarkUpdateSecretDurable(b *testing.B) {
	h := newHandler(b, Config{Data: b.TempDir()})
	do(b, h, signed("CreateSecret", created))
	benchmarkCall(b, h, "UpdateSecret", created)
}

// BenchmarkStart opens and closes an emulator with an empty temporary state.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		s, err := New(Config{Listen: []string{"127.0.0.1:0"}})
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Close()
	}
}
