package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ssmlocal/server/account"
	"ssmlocal/server/tc3"
)

// FuzzCall sends arbitrary requests to the whole server: whatever they are, the
// answer is an envelope of the API, never a failure of the server.
func FuzzCall(f *testing.F) {
	for _, action := range []string{"CreateSecret", "ListSecrets", "GetSecretValue", "DeleteSecret", "Nope"} {
		f.Add("POST", "", action, "application/json", `{"SecretName":"a","VersionId":"v","SecretString":"x"}`)
		f.Add("GET", "SecretName=a&TagFilters.0.TagKey=k&Limit=1", action, "", "")
		f.Add("POST", "", action, "application/x-www-form-urlencoded", "SecretName=a&VersionId=v&SecretString=x&Tags.0.TagKey=k")
	}
	h := newHandler(f, Config{Auth: account.Off})
	f.Fuzz(func(t *testing.T, method, query, action, contentType, body string) {
		r := httptest.NewRequest(http.MethodGet, "/", strings.NewReader(body))
		r.Method, r.URL.RawQuery = method, query
		if method == http.MethodConnect {
			return // for a proxy
		}
		r.Header.Set("X-TC-Action", action)
		r.Header.Set("X-TC-Version", "2019-09-23")
		r.Header.Set("Content-Type", contentType)
		checkEnvelope(t, h, r)
	})
}

// FuzzHead lets any text be the head of a signed request: what net/http takes
// for a request gets an envelope.
func FuzzHead(f *testing.F) {
	f.Add("POST / HTTP/1.1\r\nHost: x\r\nX-TC-Action: GetRegions\r\nX-TC-Version: 2019-09-23\r\nX-TC-Timestamp: 1\r\n" +
		"Authorization: " + tc3.Algorithm + " Credential=a/2026-01-01/ssm/tc3_request, SignedHeaders=content-type;host, Signature=" + strings.Repeat("0", 64) + "\r\n\r\n{}")
	f.Add("GET http://ssm.tencentcloudapi.com/?Action=GetRegions&Timestamp=1&Nonce=1&Version=1&SecretId=a&Signature=b HTTP/1.1\r\nHost: x\r\n\r\n")
	h := newHandler(f, Config{})
	f.Fuzz(func(t *testing.T, text string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil || strings.HasPrefix(r.URL.Path, "/_ssmlocal/") || r.Method == http.MethodConnect || isMetadata(r) {
			return
		}
		checkEnvelope(t, h, r)
	})
}

func checkEnvelope(t *testing.T, h http.Handler, r *http.Request) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var envelope struct {
		Response struct {
			Error     *struct{ Code string }
			RequestId string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &envelope); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	if e := envelope.Response.Error; envelope.Response.RequestId == "" || e != nil && e.Code == "InternalError" {
		t.Fatalf("%s", w.Body)
	}
}

// TestInternalErrorIsLogged breaks the store under a running server: the caller
// gets the fixed text, with a request id, and the log the cause.
func TestInternalErrorIsLogged(t *testing.T) {
	var log bytes.Buffer
	s, err := New(Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r := signed("GetSecretValue", `{"SecretName":"a","VersionId":"v"}`)
	want := `{"Response":{"Error":{"Code":"InternalError","Message":"An internal error has occurred. Retry your request, but if the problem persists, contact us."},"RequestId":"`
	got := do(t, s.servers[0].Handler, r)
	id, _, _ := strings.Cut(strings.TrimPrefix(got, want), `"`)
	if !strings.HasPrefix(got, want) || !strings.Contains(log.String(), "requestId="+id+" error=\"database not open\"") {
		t.Errorf("%s, and the log says %s", got, log.String())
	}
}
