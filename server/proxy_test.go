package server_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/control"
	"ssmlocal/server/servertest"
)

// TestPathAloneAtTheProxy sends what PHP's streams send to a proxy for plain
// HTTP: it is accepted for the vendor's names and for no others.
func TestPathAloneAtTheProxy(t *testing.T) {
	s := servertest.New(t, server.Config{Proxy: "127.0.0.1:0"})
	proxy := strings.TrimPrefix(s.ProxyURL(), "http://")
	const vendor = "ssm.tencentcloudapi.com"
	signed := resign(s, "{}", func(r *http.Request) { r.Host = vendor })
	if got := exchange(t, proxy, head(signed, "/", vendor)+"\r\n{}", 1<<20); !strings.Contains(got, `"Regions":["ap-guangzhou"`) {
		t.Error(got)
	}
	signed = resign(s, "{}", func(r *http.Request) { r.Host = "example.com" })
	if got := exchange(t, proxy, head(signed, "/", "example.com")+"\r\n{}", 1<<20); !strings.Contains(got, "400 Bad Request") || !strings.Contains(got, "forward proxy") {
		t.Error(got)
	}
	whole := "GET https://example.com/ HTTP/1.1\r\nHost: example.com\r\n"
	if got := exchange(t, proxy, whole+"\r\n", 1<<20); !strings.Contains(got, "403 Forbidden") || !strings.Contains(got, "example.com:443") {
		t.Error(got)
	}
}

// TestProxy sends an unmodified client's requests through the proxy: the
// emulator answers for the vendor's names, over HTTP and HTTPS, and everything
// else is refused and counted.
func TestProxy(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Proxy: "127.0.0.1:0"})
	client := through(s.ProxyURL(), trusting(t, s))
	defer client.CloseIdleConnections()
	for _, address := range []string{
		"https://ssm.tencentcloudapi.com", "http://ssm.tencentcloudapi.com", "https://ssm.ap-beijing.tencentcloudapi.com", s.URL, strings.Replace(s.URL, "http", "https", 1),
	} {
		answer, err := client.Do(servertest.NewRequest(address, "ap-guangzhou", s.Credential, "GetRegions", []byte("{}")))
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if text, _ := io.ReadAll(answer.Body); !strings.Contains(string(text), "ap-guangzhou") {
			t.Errorf("%s: %s", address, text)
		}
		answer.Body.Close()
	}
	if answer, err := client.Get("http://metadata.tencentyun.com" + rolePath); err != nil {
		t.Error(err)
	} else if text, _ := io.ReadAll(answer.Body); string(text) != "ssmlocal" {
		t.Errorf("the metadata through the proxy: %s", text)
	}
	if getControl(t, s, "/leaks") == "" || !strings.Contains(getControl(t, s, "/leaks"), `"total": 0`) {
		t.Error("what ended here counts as a leak")
	}
	for range 2 {
		if _, err := client.Get("https://example.com/"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("a tunnel elsewhere: %v", err)
		}
	}
	for _, address := range []string{"http://example.com/x", "http://127.0.0.1:1/", "http://tencentcloudapi.com.example.com/"} {
		answer, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusForbidden || !strings.Contains(string(text), "no_proxy") {
			t.Errorf("%s: %s %s", address, answer.Status, text)
		}
		answer.Body.Close()
	}
	var leaks control.LeaksReply
	if err := json.Unmarshal([]byte(getControl(t, s, "/leaks")), &leaks); err != nil || leaks.Total != 5 {
		t.Errorf("%+v %v", leaks, err)
	}
	var hosts []string
	for _, l := range leaks.Refused {
		hosts = append(hosts, fmt.Sprint(l.Host, " ", l.Count))
	}
	if got := strings.Join(hosts, ", "); got != "127.0.0.1:1 1, example.com:443 2, example.com:80 1, tencentcloudapi.com.example.com:80 1" {
		t.Errorf("refused were %s", got)
	}
	r, _ := http.NewRequest(http.MethodDelete, s.URL+"/_ssmlocal/leaks", nil)
	if _, body := send(t, r); !strings.Contains(body, `"removed": 4`) || !strings.Contains(getControl(t, s, "/leaks"), `"total": 0`) {
		t.Error(body)
	}
	direct, _ := http.NewRequest(http.MethodGet, s.ProxyURL()+"/", nil)
	if answer, body := send(t, direct); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "http_proxy") {
		t.Errorf("%s %s", answer.Status, body)
	}
}

// TestOddTunnels asks for tunnels in ways that no SDK does: a name of the
// vendor is accepted with any port, everything else is refused.
func TestOddTunnels(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Proxy: "127.0.0.1:0", TLSHosts: []string{"box.test"}})
	for _, c := range []struct{ to, want string }{
		{"ssm.tencentcloudapi.com:443", "200"}, {"ssm.tencentcloudapi.com:", "200"}, {"ssm.tencentcloudapi.com", "200"}, {"ssm.tencentcloudapi.com:99999", "200"},
		{"below.box.test:443", "200"}, {"box.test.:443", "200"}, {"example.com:", "403"}, {"[::2]:443", "403"}, {"ssm.tencentcloudapi.com.evil.com:443", "403"},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.ProxyURL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", c.to)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if !strings.HasPrefix(line, "HTTP/1.1 "+c.want) {
			t.Errorf("CONNECT %s: %q %v, want %s", c.to, line, err, c.want)
		}
		conn.Close()
	}
	if got := getControl(t, s, "/leaks"); !strings.Contains(got, `"total": 3`) || !strings.Contains(got, `"example.com:443"`) || !strings.Contains(got, `"[::2]:443"`) {
		t.Error(got)
	}
}

// TestProxyAndTheEmulator asks the emulator's own addresses through the proxy,
// which is no leak, and names hosts in odd ways.
func TestProxyAndTheEmulator(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Proxy: "127.0.0.1:0", Control: "127.0.0.1:0", Metadata: "127.0.0.1:0", TLSHosts: []string{"Secrets"}})
	client := through(s.ProxyURL(), trusting(t, s))
	defer client.CloseIdleConnections()
	for address, want := range map[string]string{
		s.ControlURL() + "/_ssmlocal/version":                                      `"version"`,
		strings.Replace(s.ControlURL(), "http", "https", 1) + "/_ssmlocal/version": `"version"`,
		s.MetadataURL() + rolePath:                                                 "ssmlocal",
		strings.Replace(s.MetadataURL(), "127.0.0.1", "localhost", 1) + rolePath:   "ssmlocal",
		"http://METADATA.tencentyun.com" + rolePath:                                "ssmlocal",
		"http://secrets/":                     "MissingParameter",
		"https://SECRETS/":                    "MissingParameter",
		"https://ssm.tencentcloudapi.com./":   "MissingParameter",
		"http://SSM.Tencentcloudapi.com.:80/": "MissingParameter",
		s.URL + "/":                           "MissingParameter",
	} {
		answer, err := client.Get(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if text, _ := io.ReadAll(answer.Body); !strings.Contains(string(text), want) {
			t.Errorf("%s: %s, want %s", address, text, want)
		}
		answer.Body.Close()
	}
	leaks := func() (l control.LeaksReply) {
		if err := json.Unmarshal([]byte(getControl(t, s, "/leaks")), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := leaks(); l.Total != 0 {
		t.Errorf("%+v", l)
	}
	for _, address := range []string{"http://Example.com/", "http://example.com.:80/", "http://" + strings.Repeat("a", 50_000) + ".example/"} {
		answer, err := client.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusForbidden || len(text) > 1000 {
			t.Errorf("%.100s: %s, %d bytes", address, answer.Status, len(text))
		}
		answer.Body.Close()
	}
	if l := leaks(); l.Total != 3 || len(l.Refused) != 2 || len(l.Refused[0].Host) > 300 || l.Refused[1].Host != "example.com:80" {
		t.Errorf("%+v", l)
	}
	if _, err := through(s.URL, trusting(t, s)).Get("https://ssm.tencentcloudapi.com/"); err == nil || !strings.Contains(err.Error(), "Method Not Allowed") {
		t.Errorf("the API as a proxy: %v", err)
	}
	direct, _ := http.NewRequest(http.MethodGet, s.URL+rolePath, nil)
	direct.Host = "Metadata.Tencentyun.com."
	if _, text := send(t, direct); text != "ssmlocal" {
		t.Errorf("the metadata by a name with capitals: %s", text)
	}
	for flag, c := range map[string]server.Config{
		"--proxy": {Proxy: "nowhere"}, "--metadata": {Metadata: "127.0.0.1:99999"}, "--control": {Control: "127.0.0.1"}, "--listen": {Listen: []string{"x"}},
	} {
		if flag != "--listen" {
			c.Listen = []string{"127.0.0.1:0"}
		}
		if other, err := server.New(c); err == nil || !strings.Contains(err.Error(), flag+" takes HOST:PORT") || !errors.As(err, new(server.ConfigError)) {
			t.Errorf("%s: %v", flag, err)
			if other != nil {
				other.Close()
			}
		}
	}
}
