package control

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"

	"ssmlocal/server/journal"
	"ssmlocal/server/tc3"
)

// Where a request comes from: pages of other sites may not call the emulator.

// FromHere refuses a call that may come from a stranger: one that a browser
// sends for a page of another site, and one under a host name that its owner
// may have pointed here. Programs don't send a browser's headers; they may also
// call under a container's or a cluster's name.
func (c *Control) FromHere(r *http.Request) error {
	if err := c.NotFromPage(r); err != nil {
		return err
	}
	if name := tc3.HostName(r.Host); tc3.IsPublicName(name) && !c.isOurs(name) {
		return refuse(http.StatusForbidden, "the host name %s is not known to be this emulator's, so the call may come from a page of another site; call by address or as localhost, or start with --tls-host %[1]s", journal.Clip(name))
	}
	return nil
}

// NotFromPage refuses a request with a browser's headers, unless it comes from
// a page of this emulator or a person typed the address, and the host name is
// surely the emulator's own.
func (c *Control) NotFromPage(r *http.Request) error {
	sites, origins := r.Header["Sec-Fetch-Site"], r.Header["Origin"]
	if len(sites)+len(origins) == 0 {
		return nil
	}
	from := journal.Clip(cmp.Or(strings.Join(origins, ", "), strings.Join(sites, ", ")))
	for _, site := range sites {
		if site != "same-origin" && site != "none" {
			return refuse(http.StatusForbidden, "a page of another site (%s) may not call this emulator; call from a program or from a page of its own", from)
		}
	}
	for _, origin := range origins {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Host != r.Host {
			return refuse(http.StatusForbidden, "a page of another site (%s) may not call this emulator; call from a program or from a page of its own", from)
		}
	}
	if name := tc3.HostName(r.Host); !c.isOurs(name) {
		return refuse(http.StatusForbidden, "a browser calls under the host name %s, which others may have pointed here; open this emulator by address or as localhost, or start with --tls-host %[1]s", journal.Clip(name))
	}
	return nil
}

// isOurs reports whether a host name is surely this emulator's: nobody else can
// point it here.
func (c *Control) isOurs(name string) bool {
	return tc3.IsAddress(name) || name == "localhost" || strings.HasSuffix(name, ".localhost") || tc3.IsVendorHost(name) || c.config.IsOurs(name)
}
