package tc3

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The vendor's host names, and how host names are read.

// VendorDomains are the domains of the vendor that programs call.
var VendorDomains = []string{"tencentcloudapi.com", "tencentyun.com"}

// metadataHosts are the names by which programs ask for the instance metadata;
// the address is the one that is documented.
var metadataHosts = []string{"metadata.tencentyun.com", "169.254.0.23"}

// IsMetadataHost reports whether a host name is that of the instance metadata.
func IsMetadataHost(name string) bool { return slices.Contains(metadataHosts, name) }

// IsVendorHost reports whether a host name is one that programs for Tencent
// Cloud call.
func IsVendorHost(name string) bool {
	return name == VendorDomains[0] || strings.HasSuffix(name, "."+VendorDomains[0]) || IsMetadataHost(name)
}

// HostName returns a host as it is compared: without its port and the root's
// dot, in lower case.
func HostName(host string) string {
	return strings.ToLower(strings.TrimSuffix(WithoutPort(host), "."))
}

// notPublic has the suffixes of names that nobody can register, so that no
// stranger can point them here (RFC 6761, 6762 and 8375, ICANN's resolution of
// 2024 on .internal), and those of clusters.
var notPublic = []string{".localhost", ".local", ".localdomain", ".internal", ".test", ".home.arpa", ".svc"}

// IsPublicName reports whether a host name may be in public DNS, and is not an
// address.
func IsPublicName(name string) bool {
	return !IsAddress(name) && strings.Contains(name, ".") &&
		!slices.ContainsFunc(notPublic, func(end string) bool { return strings.HasSuffix(name, end) })
}

// IsAddress reports whether a host is an IP address, in brackets or not.
func IsAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// WithoutPort returns a host without its port, if it has one.
func WithoutPort(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i < 0 {
		return host
	}
	if _, err := strconv.ParseUint(host[i+1:], 10, 16); err != nil {
		return host
	}
	return host[:i]
}
