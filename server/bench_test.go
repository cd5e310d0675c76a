package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/ssm"
	"ssmlocal/server/tc3"
)

// newHandler returns an emulator without limits and without a socket in the
// way.
func newHandler(t testing.TB, c Config) http.Handler {
	t.Helper()
	c.Listen, c.Unlimited, c.Log = []string{"127.0.0.1:0"}, true, slog.New(slog.DiscardHandler)
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	doWhatIsDue(t, s)
	return s.servers[0].Handler
}

// doWhatIsDue does Serve's work in the background, without serving, and closes
// the server at the end.
func doWhatIsDue(t testing.TB, s *Server) {
	ctx, cancel := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { s.Backend.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		background.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
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

// BenchmarkGetSecretValueWithFaults has a rule that looks at the call and lets
// it pass; compare it with BenchmarkGetSecretValue, where there is none.
func BenchmarkGetSecretValueWithFaults(b *testing.B) {
	h := newHandler(b, Config{})
	do(b, h, signed("CreateSecret", created))
	do(b, h, httptest.NewRequest(http.MethodPost, "/_ssmlocal/faults", strings.NewReader(`{"action":"GetSecretValue","secretName":"other-*","drop":true}`)))
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

// BenchmarkYear moves the clock by a year over secrets that rotate every 30
// days. The time is for each rotation; 10,000 secrets make about 120,000.
func BenchmarkYear(b *testing.B) {
	const count = 10000
	s, err := New(Config{Listen: []string{"127.0.0.1:0"}, Unlimited: true, SecretLimit: count, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	doWhatIsDue(b, s)
	for i := range count {
		begin := s.Backend.Clock.Now().Add(time.Duration(i) * 4 * time.Minute).In(ssm.Zone).Format(time.DateTime)
		do(b, s.servers[0].Handler, signed("CreateProductSecret", fmt.Sprintf(`{"SecretName":"db-%d","UserNamePrefix":"app",
			"ProductName":"Mysql","InstanceID":"cdb-1","Domains":["%%"],"PrivilegesList":[{"PrivilegeName":"GlobalPrivileges",
			"Privileges":["SELECT"]}],"EnableRotation":true,"RotationBeginTime":%q,"RotationFrequency":30}`, i, begin)))
	}
	rotations := 0
	b.ResetTimer()
	for b.Loop() {
		_, reply, err := s.Backend.Advance(b.Context(), 365*24*time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		rotations += len(reply.Happened)
	}
	b.ReportMetric(float64(rotations)/float64(b.N), "rotations/op")
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(rotations), "µs/rotation")
}

// BenchmarkRotateProductSecret and BenchmarkPutSecretValue compare a rotation
// with the plainest write of a value, both to a temporary store.
func BenchmarkRotateProductSecret(b *testing.B) {
	h := newHandler(b, Config{})
	do(b, h, signed("CreateProductSecret", `{"SecretName":"db","UserNamePrefix":"app","ProductName":"Mysql","InstanceID":"cdb-1",
		"Domains":["%"],"PrivilegesList":[{"PrivilegeName":"GlobalPrivileges","Privileges":["SELECT"]}]}`))
	benchmarkCall(b, h, "RotateProductSecret", `{"SecretName":"db"}`)
}

// BenchmarkPutSecretValue puts a version. A secret holds ten at most, so each
// is deleted in between; that is not counted.
func BenchmarkPutSecretValue(b *testing.B) {
	h := newHandler(b, Config{})
	do(b, h, signed("CreateSecret", created))
	const version = `{"SecretName":"prod-payments-secret-00000001","VersionId":"v2"}`
	put := strings.Replace(version, "}", `,"SecretString":"0123456789012345678901234567890123456789"}`, 1)
	for b.Loop() {
		do(b, h, signed("PutSecretValue", put))
		b.StopTimer()
		do(b, h, signed("DeleteSecretVersion", version))
		b.StartTimer()
	}
}
