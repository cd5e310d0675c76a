package listen

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"ssmlocal/server/clock"
)

// A CA makes the emulator's certificates: one for each host name that a client
// asks for. It can sign for the vendor's host names, this machine's and the
// user's, and for no others, so a client that trusts it trusts it for no more
// than that.
type CA struct {
	domains []string // that it may sign for, with those of the user
	hosts   []string // of the user
	clock   *clock.Clock
	log     *slog.Logger
	ca      func() (*issuer, error)
	given   *tls.Certificate // in place of all that is made here
	pem     []byte           // what to trust for given

	mu     sync.Mutex
	leaves map[string]*tls.Certificate
}

// An issuer is a CA's certificate with its key.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

const (
	caFile    = "ca.pem"
	caKeyFile = "ca-key.pem"
)

// aHostName is one that a certificate can be for: other scripts are written as
// xn--….
var aHostName = regexp.MustCompile(`^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$`)

// A CAConfig says which names a CA signs for.
type CAConfig struct {
	// Domains are the names that the CA signs for, with all names below them,
	// besides localhost.
	Domains []string
	// Hosts are names and addresses of the user, as --tls-host gives them.
	Hosts []string
	// CertFile and KeyFile are a certificate of the user's own, in PEM, in
	// place of all that the CA makes.
	CertFile, KeyFile string
}

// NewCA checks the configuration; a mistake in it is a ConfigError. Without
// files of the user the CA is made on first use and kept in memory.
func NewCA(c CAConfig, clock *clock.Clock, log *slog.Logger) (*CA, error) {
	a := &CA{domains: append([]string{"localhost"}, c.Domains...), clock: clock, log: log, leaves: map[string]*tls.Certificate{}}
	a.ca = sync.OnceValues(a.newCA)
	for _, host := range c.Hosts {
		name := strings.ToLower(host)
		if net.ParseIP(host) == nil && (!aHostName.MatchString(name) || len(name) > 253) {
			return nil, ConfigError{fmt.Errorf("--tls-host is %q; it must be a host name of letters, digits and hyphens, or an address, such as ssmlocal or 10.1.2.3", host)}
		}
		a.hosts = append(a.hosts, name)
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, ConfigError{errors.New("--tls-cert and --tls-key go together")}
	}
	if c.CertFile == "" {
		return a, nil
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, ConfigError{fmt.Errorf("--tls-cert and --tls-key: %w", err)}
	}
	a.given = &pair
	if a.clock.Wall().After(pair.Leaf.NotAfter) {
		log.Warn("the certificate of --tls-cert is not valid any more: clients will refuse it", "ended", pair.Leaf.NotAfter)
	}
	var foreign string
	if a.pem, foreign, err = toTrust(c.CertFile); foreign != "" {
		log.Warn("the file of --tls-cert has no certificate of the CA that issued it, so ssmlocal ca can't print that: add it to the file, or make programs trust it in another way", "issuer", foreign)
	}
	return a, err
}

// toTrust reads from a file with a server's certificate what clients must
// trust: the CAs in the file, else the certificate itself. It leaves out
// anything else in the file, such as a key. If the file has no CA, but one
// issued the certificate, foreign names that CA.
func toTrust(file string) (trusted []byte, foreign string, err error) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return nil, "", ConfigError{fmt.Errorf("--tls-cert: %w", err)}
	}
	var leaf []byte
	for block, rest := pem.Decode(rest); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, "", ConfigError{fmt.Errorf("--tls-cert: %w", err)}
		}
		switch text := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes}); {
		case cert.IsCA:
			trusted = append(trusted, text...)
		case leaf == nil:
			leaf = text
			if !bytes.Equal(cert.RawIssuer, cert.RawSubject) {
				foreign = cert.Issuer.String()
			}
		}
	}
	if trusted == nil {
		return leaf, foreign, nil
	}
	return trusted, "", nil
}

// Keep takes the CA from a data directory: the one that an earlier start made
// there, or a new one.
func (a *CA) Keep(dir string) error {
	if a.given != nil {
		return nil
	}
	ca, err := a.load(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if ca, err = a.newCA(); err == nil {
			err = ca.save(dir)
		}
	}
	a.ca = func() (*issuer, error) { return ca, nil }
	return err
}

// PEM returns the certificate that clients must trust.
func (a *CA) PEM() ([]byte, error) {
	if a.given != nil {
		return a.pem, nil
	}
	ca, err := a.ca()
	if err != nil {
		return nil, err
	}
	return ca.pem, nil
}

// config is what TLS needs.
func (a *CA) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: a.certificate}
}

// mostLeaves bounds how many certificates are kept: a client may ask for any
// name.
const mostLeaves = 256

// certificate returns the certificate for the name that a client asks for.
func (a *CA) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if a.given != nil {
		return a.given, nil
	}
	local, _, _ := net.SplitHostPort(hello.Conn.LocalAddr().String())
	name := strings.ToLower(hello.ServerName)
	if len(name) > 253 || !aHostName.MatchString(name) || !a.vouches(name) || net.ParseIP(name) != nil {
		name = "localhost" // the certificate is valid for addresses, too: OpenSSL's clients ask for them as names
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	key := name + " " + local
	if leaf := a.leaves[key]; leaf != nil && a.clock.Wall().Before(leaf.Leaf.NotAfter) {
		return leaf, nil
	}
	if len(a.leaves) >= mostLeaves {
		clear(a.leaves)
	}
	leaf, err := a.newLeaf(name, local)
	if err != nil {
		return nil, certificateError{err}
	}
	a.leaves[key] = leaf
	return leaf, nil
}

// A certificateError is a mistake here, not one of the client's.
type certificateError struct{ error }

// vouches reports whether the CA may sign for a name.
func (a *CA) vouches(name string) bool { return within(name, a.domains) || a.IsUsers(name) }

// IsUsers reports whether a name is one of the user's hosts, or below it.
func (a *CA) IsUsers(name string) bool { return within(name, a.hosts) }

func within(name string, domains []string) bool {
	return slices.ContainsFunc(domains, func(domain string) bool { return name == domain || strings.HasSuffix(name, "."+domain) })
}

// How long certificates are valid. Some clients refuse more than 825 days for a
// leaf.
const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 365 * 24 * time.Hour
)

func (a *CA) newCA() (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a CA: %w", err)
	}
	t := a.template(caLife)
	t.Subject = pkix.Name{CommonName: "ssmlocal CA " + t.SerialNumber.Text(16)[:8], Organization: []string{"ssmlocal, for tests"}}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	t.PermittedDNSDomainsCritical = true
	t.PermittedDNSDomains = slices.Clone(a.domains)
	for _, host := range a.hosts {
		if net.ParseIP(host) == nil { // addresses are not constrained
			t.PermittedDNSDomains = append(t.PermittedDNSDomains, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return &issuer{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, err
}

func (a *CA) template(life time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails
	serial.SetBit(serial, 126, 1)
	now := a.clock.Wall()
	return &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(life)}
}

// newLeaf makes the certificate of a host name, which is also valid for this
// machine.
func (a *CA) newLeaf(name, local string) (*tls.Certificate, error) {
	ca, err := a.ca()
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate: %w", err)
	}
	t := a.template(leafLife)
	t.Subject.CommonName = name
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.DNSNames = []string{name, "localhost", "*.localhost", "*.tencentcloudapi.com", "metadata.tencentyun.com"} // a client may name none
	t.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for _, host := range a.hosts {
		if ip := net.ParseIP(host); ip == nil {
			t.DNSNames = append(t.DNSNames, host)
		} else {
			t.IPAddresses = append(t.IPAddresses, ip)
		}
	}
	if ip, err := netip.ParseAddr(local); err == nil {
		t.IPAddresses = append(t.IPAddresses, net.IP(ip.WithZone("").Unmap().AsSlice()))
	}
	slices.Sort(t.DNSNames)
	t.DNSNames = slices.Compact(t.DNSNames)
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a certificate for %s: %w", name, err)
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: key, Leaf: leaf}, err
}

// save writes the CA for the next start.
func (i *issuer) save(dir string) error {
	key, err := x509.MarshalECPrivateKey(i.key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key})
	err = writeFile(filepath.Join(dir, caKeyFile), text)
	if err == nil { // the certificate is last: only with both is there a CA
		err = writeFile(filepath.Join(dir, caFile), i.pem)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the CA: %w", err)
	}
	return nil
}

// writeFile writes a whole file or nothing, with mode 0600 even if there was a
// file before.
func writeFile(name string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// load reads the CA of an earlier start. A CA that may not sign for the user's
// hosts, or is not valid any more, is refused. It is not replaced silently,
// because programs trust it.
func (a *CA) load(dir string) (*issuer, error) {
	certFile, keyFile := filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile)
	text, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	refuse := func(why string) (*issuer, error) {
		return nil, fmt.Errorf("the CA in %s %s; remove %s and %s to have another made", dir, why, caFile, caKeyFile)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return refuse("can't be read (" + err.Error() + ")")
	}
	if info, err := os.Stat(keyFile); err == nil && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(keyFile, 0o600); err != nil { // not the owner: it is used anyway
			a.log.Warn("the CA is used as it is: others may read its key, and this process can't change that", "reason", err)
		}
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return refuse("is none of ssmlocal's")
	}
	if a.clock.Wall().After(pair.Leaf.NotAfter) {
		return refuse("is not valid any more")
	}
	for _, host := range a.hosts {
		if net.ParseIP(host) == nil && !slices.Contains(pair.Leaf.PermittedDNSDomains, host) {
			return refuse("was made without --tls-host " + host)
		}
	}
	return &issuer{pair.Leaf, key, text}, nil
}
