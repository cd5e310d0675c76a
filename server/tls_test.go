package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// trusting returns a client that trusts the emulator's CA alone and finds every
// host name at the emulator.
func trusting(t *testing.T, s *servertest.Server, protocols ...string) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(getControl(t, s, "/ca.pem"))) {
		t.Fatal("the CA can't be read")
	}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: len(protocols) == 0,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Host)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestTLS speaks TLS with the port that speaks plain HTTP, with HTTP/1.1 and 2,
// under every name that a program may use.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{TLSHosts: []string{"secrets", "10.1.2.3"}})
	http2, http1 := trusting(t, s), trusting(t, s, "http/1.1")
	_, port, _ := net.SplitHostPort(s.Host)
	for _, host := range []string{
		s.Host, "localhost:" + port, "ssm.localhost:" + port, "[::1]:" + port, "ssm.tencentcloudapi.com", "tag.tencentcloudapi.com", "sts.tencentcloudapi.com",
		"ssm.ap-guangzhou.tencentcloudapi.com", "ssm.intl.tencentcloudapi.com", "ssm.ap-singapore.intl.tencentcloudapi.com",
		"ssm.internal.tencentcloudapi.com", "ssm.ap-beijing.internal.tencentcloudapi.com", "metadata.tencentyun.com", "secrets:" + port, "10.1.2.3:" + port,
	} {
		for client, want := range map[*http.Client]int{http2: 2, http1: 1} {
			r := servertest.NewRequest("https://"+host, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}"))
			if strings.HasPrefix(host, "tag.") || strings.HasPrefix(host, "sts.") || strings.HasPrefix(host, "metadata.") {
				r, _ = http.NewRequest(http.MethodGet, "https://"+host+"/_ssmlocal/health", nil)
			}
			answer, err := client.Do(r)
			if err != nil {
				t.Errorf("%s: %v", host, err)
				continue
			}
			text, _ := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.ProtoMajor != want || !strings.Contains(string(text), "Regions") && !strings.Contains(string(text), "ok") {
				t.Errorf("%s: HTTP/%d %s", host, answer.ProtoMajor, text)
			}
		}
	}
	if err := s.Call("GetRegions", nil, nil); err != nil {
		t.Errorf("plain HTTP on the same port: %v", err)
	}
	for _, host := range []string{"example.com", "tencentcloudapi.com.example.com", "evil-tencentcloudapi.com", "other:" + port} {
		if answer, err := http2.Get("https://" + host + "/"); err == nil {
			answer.Body.Close()
			t.Errorf("there is a certificate for %s", host)
		}
	}
}

// TestWithoutAName connects without naming a host: the certificate is valid for
// this machine and for the vendor's names.
func TestWithoutAName(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	for _, name := range []string{"", "a b.localhost", "x\x00.localhost", "-.localhost"} {
		conn, err := tls.Dial("tcp", s.Host, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		leaf := conn.ConnectionState().PeerCertificates[0]
		for _, host := range []string{"127.0.0.1", "localhost", "ssm.tencentcloudapi.com", "tag.tencentcloudapi.com", "sts.tencentcloudapi.com", "metadata.tencentyun.com"} {
			if err := leaf.VerifyHostname(host); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		if len(leaf.DNSNames) != 4 {
			t.Errorf("%q: the certificate is for %q", name, leaf.DNSNames)
		}
		conn.Close()
	}
}

// TestVouchesForNoMore checks that the CA signs only for the names that it may
// sign for.
func TestVouchesForNoMore(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	block, _ := pem.Decode([]byte(getControl(t, s, "/ca.pem")))
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !ca.IsCA || !ca.PermittedDNSDomainsCritical || fmt.Sprint(ca.PermittedDNSDomains) != "[localhost tencentcloudapi.com tencentyun.com]" {
		t.Errorf("the CA vouches for %v", ca.PermittedDNSDomains)
	}
}

// TestFaultsOverHTTP2 breaks answers of streams: the connection goes on.
func TestFaultsOverHTTP2(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	client := trusting(t, s)
	call := func() (string, error) {
		answer, err := client.Do(servertest.NewRequest("https://"+s.Host, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}")))
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return fmt.Sprint(answer.StatusCode, " ", string(text)), err
	}
	addFault(t, s, `{"script":[{"drop":true},{"truncate":true},{"status":503},{}]}`)
	if text, err := call(); err == nil {
		t.Errorf("a dropped stream answers %s", text)
	}
	if text, err := call(); err == nil {
		t.Errorf("half a stream is whole: %s", text)
	}
	if text, err := call(); err != nil || !strings.HasPrefix(text, "503 <html>") {
		t.Errorf("%s %v", text, err)
	}
	if text, err := call(); err != nil || !strings.Contains(text, "Regions") {
		t.Errorf("after the faults: %s %v", text, err)
	}
}

// TestGoClientOverTLS is the official client with its default scheme.
func TestGoClientOverTLS(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	p := profile.NewClientProfile()
	p.HttpProfile.Endpoint = s.Host
	client := common.NewCommonClient(common.NewCredential(s.Credential.SecretID, s.Credential.SecretKey), "ap-guangzhou", p)
	spoken := &versions{trusting(t, s).Transport, nil}
	client.WithHttpTransport(spoken)
	q, reply := tchttp.NewCommonRequest("ssm", "2019-09-23", "GetRegions"), tchttp.NewCommonResponse()
	_ = q.SetActionParameters("{}")
	if err := client.Send(q, reply); err != nil || !strings.Contains(string(reply.GetBody()), "ap-guangzhou") {
		t.Errorf("%s %v", reply.GetBody(), err)
	}
	if fmt.Sprint(spoken.seen) != "[2]" {
		t.Errorf("the client speaks HTTP/%v", spoken.seen)
	}
}

// versions notes which HTTP is spoken.
type versions struct {
	http.RoundTripper
	seen []int
}

func (v *versions) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := v.RoundTripper.RoundTrip(r)
	if err == nil {
		v.seen = append(v.seen, answer.ProtoMajor)
	}
	return answer, err
}

// TestSchemeInHostOverTLS sends what Python's SDK sends for an endpoint that
// begins with https://….
func TestSchemeInHostOverTLS(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	config := trusting(t, s).Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = "localhost"
	conn, err := tls.Dial("tcp", s.Host, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := resign(s, "{}", func(r *http.Request) { r.Host = "https://" + s.Host })
	if _, err := io.WriteString(conn, head(r, "/", "https://"+s.Host)+"\r\n{}"); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(conn); !strings.Contains(string(got), `"Regions":["ap-guangzhou"`) {
		t.Errorf("%s", got)
	}
}

// TestSilentConnections opens many connections that send nothing, or begin
// something and stop: others are served meanwhile, and the server ends without
// waiting for them.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, protocol := range []string{"h2", "http/1.1"} {
		config := trusting(t, s).Transport.(*http.Transport).TLSClientConfig.Clone()
		config.ServerName, config.NextProtos = "localhost", []string{protocol}
		conn, err := tls.Dial("tcp", s.Host, config)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for i := range 200 {
		conn, err := net.Dial("tcp", s.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, []string{"", "\x16\x03\x01", "garbage\x00", "POST / HTTP/1.1\r\nHost: x\r\n"}[i%4])
	}
	if err := s.Call("GetRegions", nil, nil); err != nil {
		t.Error(err)
	}
	if answer, err := trusting(t, s).Get("https://" + s.Host + "/_ssmlocal/health"); err != nil {
		t.Error(err)
	} else {
		answer.Body.Close()
	}
	s.Stop()
	if strings.Contains(log.String(), "cut off") {
		t.Errorf("the server waited for them: %s", log.String())
	}
}

// TestDropOverTLS ends a connection without TLS's close message, which a client
// would take for a normal end.
func TestDropOverTLS(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	addFault(t, s, `{"drop":true}`)
	config := trusting(t, s).Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName, config.NextProtos = "localhost", []string{"http/1.1"}
	conn, err := tls.Dial("tcp", s.Host, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := servertest.NewRequest("https://"+s.Host, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}")).Write(conn); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(conn); err == nil {
		t.Errorf("a dropped call ends in good order, with %q", text)
	}
}

// TestCAIsKept finds the same CA after a restart, in files for the owner alone,
// and doesn't replace one that programs trust.
func TestCAIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := servertest.New(t, server.Config{Data: dir})
	first := getControl(t, s, "/ca.pem")
	s.Stop()
	for _, name := range []string{"ca.pem", "ca-key.pem"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	s = servertest.New(t, server.Config{Data: dir})
	if again := getControl(t, s, "/ca.pem"); again != first {
		t.Error("a restart made another CA")
	}
	s.Stop()
	for _, c := range []struct {
		config server.Config
		damage func()
		want   string
	}{
		{server.Config{TLSHosts: []string{"new"}}, func() {}, "was made without --tls-host new; remove ca.pem"},
		{server.Config{}, func() { _ = os.WriteFile(filepath.Join(dir, "ca-key.pem"), []byte("x"), 0o600) }, "can't be read"},
	} {
		c.damage()
		c.config.Data, c.config.Listen = dir, []string{"127.0.0.1:0"}
		if _, err := server.New(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	other := servertest.New(t, server.Config{})
	if getControl(t, other, "/ca.pem") == first {
		t.Error("two emulators share a CA")
	}
}

// TestGivenCertificate serves a certificate of the user.
func TestGivenCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made := servertest.New(t, server.Config{Data: dir})
	made.Stop()
	cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem") // any pair will do
	s := servertest.New(t, server.Config{TLSCert: cert, TLSKey: key})
	want, _ := os.ReadFile(cert)
	if getControl(t, s, "/ca.pem") != string(want) {
		t.Error("another certificate is told")
	}
	conn, err := tls.Dial("tcp", s.Host, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if block, _ := pem.Decode(want); string(conn.ConnectionState().PeerCertificates[0].Raw) != string(block.Bytes) {
		t.Error("another certificate is served")
	}
	for _, c := range []server.Config{
		{TLSCert: cert}, {TLSCert: cert, TLSKey: cert}, {TLSHosts: []string{"a b"}}, {TLSHosts: []string{"*.x"}}, {TLSHosts: []string{"ü"}}, {TLSHosts: []string{"a..b"}}, {TLSHosts: []string{"x."}},
	} {
		c.Listen = []string{"127.0.0.1:0"}
		if _, err := server.New(c); !errors.As(err, new(server.ConfigError)) || !strings.Contains(err.Error(), "--tls-") {
			t.Errorf("%v", err)
		}
	}
}

// TestGivenCertificateOfACA serves a certificate that a CA has issued: clients
// must trust the CA, and if the file doesn't have it, the log says so. A key in
// the file is never shown.
func TestGivenCertificateOfACA(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made := servertest.New(t, server.Config{Data: dir})
	config := trusting(t, made).Transport.(*http.Transport).TLSClientConfig.Clone()
	ca := getControl(t, made, "/ca.pem")
	made.Stop()
	key, err := os.ReadFile(filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair([]byte(ca), key)
	if err != nil {
		t.Fatal(err)
	}
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: pair.Leaf.NotBefore, NotAfter: pair.Leaf.NotAfter, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, pair.Leaf, &own.PublicKey, pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	ownKey, err := x509.MarshalECPrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	leafText := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyText := string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ownKey}))
	for name, c := range map[string]struct{ text, trust, log string }{
		"with its CA":    {keyText + leafText + ca, ca, ""},
		"without its CA": {leafText + keyText, leafText, "no certificate of the CA"},
	} {
		file := filepath.Join(t.TempDir(), "server.pem")
		if err := os.WriteFile(file, []byte(c.text+keyText), 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s := servertest.New(t, server.Config{TLSCert: file, TLSKey: file, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if got := getControl(t, s, "/ca.pem"); got != c.trust {
			t.Errorf("%s, what to trust is %s", name, got)
		}
		conn, err := tls.Dial("tcp", s.Host, &tls.Config{RootCAs: config.RootCAs, ServerName: "localhost"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		conn.Close()
		s.Stop()
		if (c.log == "") != (log.Len() == 0) || !strings.Contains(log.String(), c.log) {
			t.Errorf("%s, the log says %q", name, log.String())
		}
	}
}

// TestUntrustedIsExplained connects with a client that doesn't trust the
// certificate: the log says what helps.
func TestUntrustedIsExplained(t *testing.T) {
	t.Parallel()
	told, log := io.Pipe()
	s := servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(log, nil))})
	if answer, err := (&http.Client{Transport: &http.Transport{}}).Get("https://" + s.Host + "/"); err == nil {
		answer.Body.Close()
		t.Fatal("the certificate is trusted without a CA")
	}
	line, _ := bufio.NewReader(told).ReadString('\n') // comes when the server has noticed
	if !strings.Contains(line, "level=WARN") || !strings.Contains(line, "ssmlocal ca --install-hint") {
		t.Errorf("the log says %s", line)
	}
	go func() { _, _ = io.Copy(io.Discard, told) }()
}
