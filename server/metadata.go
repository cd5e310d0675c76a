package server

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// The instance metadata: what a program on a CVM instance asks http://metadata.tencentyun.com, in the forms that the official
// SDKs read (Go cvm_role_provider.go, Python credential.py, Node cvm_role_credential.js, Java CvmRoleCredential.java).

// metadataHosts are the names by which programs ask for it; the address is the one that is documented.
var metadataHosts = map[string]bool{"metadata.tencentyun.com": true, "169.254.0.23": true}

// boundRole is the role of the instance where the state has no roles.
const boundRole = "ssmlocal"

// boundKeys remembers the keys of the instance's roles: Java's SDK asks for id, key and token one by one, so that they must not
// change from call to call.
type boundKeys struct {
	random *random // its own: the keys outlive a reset, after which all else is drawn again

	mu  sync.Mutex
	ids map[string]string // SecretIds by role
}

const (
	boundLife  = 2 * time.Hour
	boundSpare = 15 * time.Minute // before its end, a key is replaced: no SDK asks earlier than ten minutes before
)

// isMetadata tells whether a request is for the metadata, on a port that is for other things too.
func isMetadata(r *http.Request) bool {
	return metadataHosts[hostName(r.Host)] && !strings.HasPrefix(r.URL.Path, "/_ssmlocal/")
}

// metadataLeaves are the other values that there are, under /latest/meta-data/.
var metadataLeaves = map[string]string{
	"instance-id": "ins-ssmlocal", "instance-name": "ssmlocal", "local-ipv4": "127.0.0.1", "uuid": "5e0d7a10-0000-4000-8000-000000000001",
	"placement/region": ssm.DefaultRegion, "placement/zone": ssm.DefaultRegion + "-3",
}

// serveMetadata answers as the metadata service does: plain text without a line end, 404 for what is not there.
func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/latest"), "/meta-data")
	path, inside := strings.CutPrefix(path, "/")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case r.URL.Path == "/", r.URL.Path == "/latest", r.URL.Path == "/latest/":
		_, _ = io.WriteString(w, "meta-data/")
		return
	case !inside || path == "":
		_, _ = io.WriteString(w, "cam/\ninstance-id\ninstance-name\nlocal-ipv4\nplacement/\nuuid")
		return
	}
	if role, ok := strings.CutPrefix(path, "cam/security-credentials/"); ok {
		s.serveRole(w, role)
		return
	}
	if role, ok := strings.CutPrefix(path, "cam/service-role-security-credentials/"); ok {
		s.serveRole(w, role)
		return
	}
	value, ok := metadataLeaves[path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = io.WriteString(w, value)
}

// roleReply is what the SDKs read. ExpiredTime must be a number, Expiration RFC 3339, Code exactly Success.
type roleReply struct {
	TmpSecretId, TmpSecretKey string
	ExpiredTime               int64
	Expiration                string
	Token, Code               string
}

// serveRole answers with the name of the instance's role, or with its keys.
func (s *Server) serveRole(w http.ResponseWriter, name string) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	bound, err := s.boundRoles()
	if err == nil && name == "" && len(bound) > 0 {
		_, _ = io.WriteString(w, bound[0].Name) // one: Go's SDK takes the whole body for a name
		return
	}
	var found *account.Role
	for i := range bound {
		if bound[i].Name == name {
			found = &bound[i]
		}
	}
	switch {
	case err != nil:
		s.log.Error("cannot read the roles of the instance", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	case found == nil:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	reply, err := s.keysOf(*found)
	if err != nil {
		s.log.Error("cannot make keys for the role of the instance", "role", name, "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply)
}

// boundRoles returns the roles of the instance: those of the state that are bound; where the state has no roles at all, one of
// the first account that is known.
func (s *Server) boundRoles() (bound []account.Role, err error) {
	var all []account.Role
	err = s.db.View(func(tx *store.Tx) error { all, err = rolesOf(tx, 0); return err })
	for _, r := range all {
		if r.Bound {
			bound = append(bound, r)
		}
	}
	if len(all) == 0 {
		bound = []account.Role{{Uin: s.directory.FirstUin(), Name: boundRole, Bound: true}}
	}
	return bound, err
}

// keysOf returns the keys of a role: the same until they come near their end.
func (s *Server) keysOf(r account.Role) (roleReply, error) {
	s.bound.mu.Lock()
	defer s.bound.mu.Unlock()
	wall := s.clock.Wall()
	now := s.clock.At(wall)
	key := fmt.Sprint(r.Uin, " ", r.Name)
	c, err := s.findIssued(s.bound.ids[key])
	if err != nil {
		return roleReply{}, err
	}
	if c == nil || c.Expired(now.Add(boundSpare)) {
		c = &account.Credential{Uin: r.Uin, Role: r.Name, Name: "ins-ssmlocal", Policies: r.Policies}
		ends := now.Add(boundLife)
		var keys action.Keys
		err := s.db.Update(func(tx *store.Tx) (err error) { keys, err = issue(tx, s.bound.random, *c, now, ends); return err })
		if err != nil {
			return roleReply{}, err
		}
		c.SecretID, c.SecretKey, c.Token, c.ExpiresAt = keys.SecretID, keys.SecretKey, keys.Token, ends.UnixNano()
		s.bound.ids[key] = c.SecretID
	}
	// The SDKs compare with wall time: what is left of the keys' virtual life is counted from there.
	ends := wall.Add(time.Unix(0, c.ExpiresAt).Sub(now)).UTC()
	return roleReply{
		TmpSecretId: c.SecretID, TmpSecretKey: c.SecretKey, Token: c.Token, Code: "Success",
		ExpiredTime: ends.Unix(), Expiration: ends.Format(time.RFC3339),
	}, nil
}

// metadataOnly is every URL of the metadata's own address.
func (s *Server) metadataOnly() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := map[string]string{"/_ssmlocal/health": "ok", "/_ssmlocal/ready": "ready"}[r.URL.Path]; status != "" {
			tellStatus(status)(w, r)
			return
		}
		if err := s.fromHere(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		s.serveMetadata(w, r)
	})
}
