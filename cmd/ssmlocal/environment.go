package main

import (
	"context"
	_ "embed"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"ssmlocal/server/account"
	"ssmlocal/server/caller"
	"ssmlocal/server/ssm"
)

// environment is what programs need to find an emulator, as variables.
type environment struct {
	address    string // of the emulator, as host:port
	proxy      string // of its proxy, "" for none
	credential account.Credential
	https      bool

	dir          string // of the files that the variables name, "" before they are written
	proxyDropped string // the variable of a proxy that programs must not use, "" if there was none
}

// remove removes the files.
func (e *environment) remove() {
	if e.dir != "" {
		_ = os.RemoveAll(e.dir)
	}
}

// url is where the emulator and its control plane are. The same port takes
// plain HTTP and TLS.
func (e *environment) url() string { return "http://" + e.address }

// variables returns an environment with what the SDKs' default chains, tccli
// and Terraform read, and without what would lead them to the real service.
func (e *environment) variables(present []string) ([]string, error) {
	set := map[string]string{
		"SSMLOCAL_URL": e.url(), "SSMLOCAL_ENDPOINT": e.address,
		"TENCENTCLOUD_SECRET_ID": e.credential.SecretID, "TENCENTCLOUD_SECRET_KEY": e.credential.SecretKey,
		"TENCENTCLOUD_REGION": ssm.DefaultRegion, "TENCENTCLOUD_PROTOCOL": "HTTP", "TENCENTCLOUD_DOMAIN": caller.Domain(e.address),
	}
	if e.https {
		set["TENCENTCLOUD_PROTOCOL"] = "HTTPS"
	}
	drop := []string{ // keys and roles of the real service
		"TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN", "TENCENTCLOUD_ASSUME_ROLE_ARN", "TENCENTCLOUD_ASSUME_ROLE_SESSION_NAME",
		"TENCENTCLOUD_PROFILE", "TENCENTCLOUD_SHARED_CREDENTIALS_DIR", "TENCENTCLOUD_CREDENTIALS_FILE", "TKE_REGION", "TKE_PROVIDER_ID",
		"TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_ROLE_ARN", "SSMLOCAL_LISTEN",
	}
	proxies, jvm := e.proxies(present, set)
	drop = append(drop, proxies...)
	if e.https {
		trust, err := e.trust(present)
		if err != nil {
			return nil, err
		}
		for name, value := range trust {
			set[name] = value
		}
		jvm += fmt.Sprintf(" -Djavax.net.ssl.trustStore=%s -Djavax.net.ssl.trustStorePassword=%s", filepath.Join(e.dir, "trust.p12"), trustPassword)
	}
	if jvm != "" {
		old, _ := lookup(present, "JAVA_TOOL_OPTIONS")
		set["JAVA_TOOL_OPTIONS"] = strings.TrimSpace(old + jvm)
	}
	for _, name := range drop {
		present = without(present, name)
	}
	for name, value := range set {
		present = append(without(present, name), name+"="+value)
	}
	return present, nil
}

// proxies sets the variables that lead to the emulator's proxy, or past any
// proxy; it returns those to leave out, and options for a JVM.
func (e *environment) proxies(present []string, set map[string]string) (drop []string, jvm string) {
	local := "127.0.0.1,localhost,::1"
	for _, name := range []string{"no_proxy", "NO_PROXY"} {
		set[name] = local
		if old, _ := lookup(present, name); old != "" && e.proxy == "" {
			set[name] = local + "," + old
		}
	}
	if e.proxy == "" {
		name := "http_proxy"
		if e.https {
			name = "https_proxy"
		}
		for _, name := range []string{name, strings.ToUpper(name)} {
			if old, _ := lookup(present, name); old != "" {
				e.proxyDropped = name
				drop = append(drop, name)
			}
		}
		return drop, ""
	}
	delete(set, "TENCENTCLOUD_PROTOCOL") // these programs call the vendor's names
	delete(set, "TENCENTCLOUD_DOMAIN")
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		set[name] = "http://" + e.proxy
	}
	host, port, _ := net.SplitHostPort(e.proxy)
	for _, scheme := range []string{"http", "https"} {
		jvm += fmt.Sprintf(" -D%s.proxyHost=%s -D%[1]s.proxyPort=%s", scheme, host, port)
	}
	return []string{"TENCENTCLOUD_PROTOCOL", "TENCENTCLOUD_DOMAIN", "ALL_PROXY", "all_proxy"}, jvm
}

// lookup finds a variable in an environment. On Windows names have no case.
func lookup(env []string, name string) (value string, found bool) {
	for _, v := range env {
		if n, text, _ := strings.Cut(v, "="); n == name || runtime.GOOS == "windows" && strings.EqualFold(n, name) {
			value, found = text, true
		}
	}
	return value, found
}

func without(env []string, name string) (rest []string) {
	for _, v := range env {
		if n, _, _ := strings.Cut(v, "="); n != name && !(runtime.GOOS == "windows" && strings.EqualFold(n, name)) {
			rest = append(rest, v)
		}
	}
	return rest
}

// siteCustomize is read by every Python that starts with its directory in
// PYTHONPATH. The vendor's SDK trusts the file of certifi alone, so it puts one
// with the emulator's certificate in that file's place.
//
//go:embed sitecustomize.py
var siteCustomize []byte

// systemBundles are where systems keep the certificates that they trust, in
// PEM, as crypto/x509 knows them.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
}

// trust writes the emulator's certificate in every form that a language reads,
// always with those that it trusts anyway, and returns the variables that name
// the files.
func (e *environment) trust(present []string) (map[string]string, error) {
	t := target{URL: e.url()}
	ca, err := t.send(context.Background(), http.MethodGet, "ca.pem", nil, nil)
	if err != nil {
		return nil, err
	}
	if e.dir, err = os.MkdirTemp("", "ssmlocal-run-*"); err != nil {
		return nil, fmt.Errorf("cannot make a directory for certificates: %w", err)
	}
	file := func(name string) string { return filepath.Join(e.dir, name) }
	home, _ := lookup(present, "JAVA_HOME")
	if err := writeTruststore(file("trust.p12"), ca, home); err != nil {
		return nil, err
	}
	for name, text := range map[string][]byte{
		"ca.pem": ca, "bundle.pem": append(e.trustedAlready(present), ca...), "sitecustomize.py": siteCustomize,
	} {
		if err := os.WriteFile(file(name), text, 0o600); err != nil {
			return nil, fmt.Errorf("cannot write the certificates: %w", err)
		}
	}
	path := e.dir
	if old, _ := lookup(present, "PYTHONPATH"); old != "" {
		path += string(os.PathListSeparator) + old
	}
	return map[string]string{
		"SSMLOCAL_CA": file("ca.pem"), "NODE_EXTRA_CA_CERTS": file("ca.pem"), "SSL_CERT_FILE": file("bundle.pem"),
		"CURL_CA_BUNDLE": file("bundle.pem"), "REQUESTS_CA_BUNDLE": file("bundle.pem"), "PYTHONPATH": path,
	}, nil
}

// trustedAlready are the certificates that programs trust without the emulator.
func (e *environment) trustedAlready(present []string) []byte {
	files := systemBundles
	if own, _ := lookup(present, "SSL_CERT_FILE"); own != "" {
		files = append([]string{own}, files...)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			if block, _ := pem.Decode(text); block != nil {
				return append(text, '\n')
			}
		}
	}
	return nil
}
