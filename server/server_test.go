package server_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/servertest"
)

// TestConfigIsChecked starts with impossible configurations, and looks at what
// the error says.
func TestConfigIsChecked(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := []string{"127.0.0.1:0"}
	for _, c := range []struct {
		config server.Config
		want   []string
	}{
		{server.Config{Listen: []string{taken.Addr().String()}}, []string{taken.Addr().String(), "address already in use", "--listen"}},
		{server.Config{Listen: []string{"nonsense"}}, []string{"nonsense", "--listen"}},
		{server.Config{Listen: free, Rates: map[string]int{"GetSecret": 5}}, []string{"no action GetSecret", "GetSecretValue"}},
		{server.Config{Listen: free, Rates: map[string]int{"GetSecretValue": 0}}, []string{"GetSecretValue is 0", "--limits off"}},
		{server.Config{Listen: free, Credentials: []account.Credential{account.Default, account.Default}}, []string{"AKIDssmlocal", "twice"}},
	} {
		_, err := server.New(c.config)
		for _, part := range c.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%+v: %v, want %q in it", c.config, err, part)
			}
		}
	}
}

// TestStopLetsCallsFinish stops the server while a call is under way.
func TestStopLetsCallsFinish(t *testing.T) {
	s, err := server.New(server.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()

	body := `{"SecretName":"a","SecretString":"x"}`
	r := servertest.NewRequest("http://"+s.Addrs()[0], "ap-guangzhou", account.Default, "CreateSecret", []byte(body))
	r.Header.Set("Expect", "100-continue")
	rest, begin := io.Pipe()
	r.Body, r.ContentLength = rest, int64(len(body))
	reading := make(chan struct{}) // closed once the server reads the body, so the call is under way
	r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { close(reading) }}))
	client := http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
	answered := make(chan string, 1)
	go func() {
		answer, err := client.Do(r)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer answer.Body.Close()
		b, _ := io.ReadAll(answer.Body)
		answered <- string(b)
	}()
	<-reading
	stop()
	_, _ = begin.Write([]byte(body))
	_ = begin.Close()
	if got := <-answered; !strings.Contains(got, `"TagMsg":"ok"`) {
		t.Errorf("the call under way got %s", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// TestControlRefusesOtherSites sends what browsers send from other pages.
func TestControlRefusesOtherSites(t *testing.T) {
	s := servertest.New(t, server.Config{})
	for _, c := range []struct {
		name, value string
		want        int
	}{
		{"Accept", "*/*", 200}, {"Sec-Fetch-Site", "none", 200}, {"Sec-Fetch-Site", "same-origin", 200}, {"Origin", s.URL, 200},
		{"Sec-Fetch-Site", "cross-site", 403}, {"Sec-Fetch-Site", "same-site", 403}, {"Origin", "https://evil.example", 403},
		{"Origin", "null", 403}, {"Origin", "http://127.0.0.1:1", 403},
	} {
		r, _ := http.NewRequest(http.MethodGet, s.URL+"/_ssmlocal/clock", nil)
		r.Header.Set(c.name, c.value)
		answer, body := send(t, r)
		if answer.StatusCode != c.want || c.want == 403 && !strings.Contains(body, `"error"`) {
			t.Errorf("%s: %s: %s %s", c.name, c.value, answer.Status, body)
		}
	}
}

// TestControlByName calls the control plane, and the metadata's own address, by
// names that are and are not accepted.
func TestControlByName(t *testing.T) {
	s := servertest.New(t, server.Config{TLSHosts: []string{"secrets.example.com"}, Metadata: "127.0.0.1:0"})
	for host, want := range map[string]int{
		"localhost:9023": 200, "a.localhost": 200, "ssmlocal:9023": 200, "ssmlocal.default.svc.cluster.local": 200, "ssmlocal.default.svc": 200,
		"host.docker.internal:9023": 200, "10.1.2.3:9023": 200, "[::1]:9023": 200, "[fe80::1]": 200, "ssm.tencentcloudapi.com": 200, "Secrets.Example.com.:443": 200,
		"evil.example.com": 403, "evil.example.com:9023": 403, "secrets.example.com.evil.org": 403, "1.2.3.4.evil.org": 403,
	} {
		for _, url := range []string{s.URL + "/_ssmlocal/state", s.MetadataURL() + "/latest/meta-data/"} {
			r, _ := http.NewRequest(http.MethodGet, url, nil)
			r.Host = host
			if answer, body := send(t, r); answer.StatusCode != want || want == 403 && !strings.Contains(body, "--tls-host") {
				t.Errorf("%s as %s: %s %s", url, host, answer.Status, body)
			}
		}
	}
}

// TestControlElsewhere puts the control plane on its own address, and switches
// it off.
func TestControlElsewhere(t *testing.T) {
	off := servertest.New(t, server.Config{Control: "off"})
	own := servertest.New(t, server.Config{Control: "127.0.0.1:0"})
	for url, want := range map[string]int{
		off.URL + "/_ssmlocal/clock": 404, off.URL + "/_ssmlocal/health": 200,
		own.URL + "/_ssmlocal/clock": 404, own.URL + "/_ssmlocal/health": 200,
		own.ControlURL() + "/_ssmlocal/clock": 200, own.ControlURL() + "/_ssmlocal/health": 200, own.ControlURL() + "/": 404,
	} {
		r, _ := http.NewRequest(http.MethodGet, url, nil)
		if answer, _ := send(t, r); answer.StatusCode != want {
			t.Errorf("%s: %s, want %d", url, answer.Status, want)
		}
	}
}
