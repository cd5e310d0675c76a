package server_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/servertest"
	"strings"
	"testing"
	"time"
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
