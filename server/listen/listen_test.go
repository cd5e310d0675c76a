package listen

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"ssmlocal/server/clock"
)

// TestAddressAsAName gives certificates to clients that ask for an address as
// if it were a name (OpenSSL's do): they are valid for the address, and have no
// name that the CA may not sign for.
func TestAddressAsAName(t *testing.T) {
	t.Parallel()
	a, err := NewCA(CAConfig{Domains: []string{"tencentcloudapi.com"}, Hosts: []string{"10.1.2.3", "emulator.corp"}}, new(clock.Clock), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	for _, name := range []string{"10.1.2.3", "127.0.0.1", "::1"} {
		leaf, err := a.certificate(&tls.ClientHelloInfo{ServerName: name, Conn: here})
		if err != nil {
			t.Fatal(err)
		}
		if err := leaf.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
		for _, dns := range leaf.Leaf.DNSNames {
			if _, err := netip.ParseAddr(dns); err == nil {
				t.Errorf("the address %s is a name of the certificate", dns)
			}
		}
	}
}

// TestAddressesArePrintedAsGiven listens on every address of this machine.
func TestAddressesArePrintedAsGiven(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"0.0.0.0:0", "127.0.0.1:0"} {
		ports, err := Open(nil, "--listen", given)
		if err != nil {
			t.Fatal(err)
		}
		host := strings.TrimSuffix(given, "0")
		if got := ports[0].Address(); !strings.HasPrefix(got, host) || got == given {
			t.Errorf("%s is printed as %s", given, got)
		}
		if err := ports[0].Close(); err != nil {
			t.Error(err)
		}
	}
}
