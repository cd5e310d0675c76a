package server

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"ssmlocal/server/account"
	"ssmlocal/server/journal"
	"ssmlocal/server/ssm"
	"ssmlocal/server/tc3"
)

// The instance metadata: what a program on a CVM instance asks
// http://metadata.tencentyun.com for, in the forms that the official SDKs read
// (Go cvm_role_provider.go, Python credential.py, Node cvm_role_credential.js,
// Java CvmRoleCredential.java).

// isMetadata reports whether a request is for the metadata, on a port that
// serves other things, too.
func isMetadata(r *http.Request) bool {
	return tc3.IsMetadataHost(tc3.HostName(r.Host)) && !strings.HasPrefix(r.URL.Path, "/_ssmlocal/")
}

// metadataLeaves are the other values under /latest/meta-data/.
var metadataLeaves = map[string]string{
	"instance-id": "ins-ssmlocal", "instance-name": "ssmlocal", "local-ipv4": "127.0.0.1", "uuid": "5e0d7a10-0000-4000-8000-000000000001",
	"placement/region": ssm.DefaultRegion, "placement/zone": ssm.DefaultRegion + "-3",
}

// roleFolders have the keys of the instance's roles, by the roles' names.
var roleFolders = []string{"cam/security-credentials/", "cam/service-role-security-credentials/"}

// serveMetadata answers as the metadata service does: plain text without a line
// end, 404 for what is not there. Requests are in the log and the metrics, but
// not in the journal, which has the calls of the API.
func (s *Server) serveMetadata(w http.ResponseWriter, r *http.Request) {
	status, text := http.StatusMethodNotAllowed, ""
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		status, text = s.metadata(r.Context(), r.URL.Path)
	}
	s.log.Debug("instance metadata", "path", journal.Clip(r.URL.Path), "status", status)
	s.metadataAnswers.WithLabelValues(strconv.Itoa(status)).Inc()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if strings.HasPrefix(text, "{") {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// metadata returns the value at a path, or lists what is below it.
func (s *Server) metadata(ctx context.Context, path string) (status int, text string) {
	steps := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if steps[0] == "latest" {
		steps = steps[1:]
	}
	if len(steps) == 0 || len(steps) == 1 && steps[0] == "" {
		return http.StatusOK, "meta-data/"
	}
	if steps[0] != "meta-data" {
		return http.StatusNotFound, ""
	}
	path = strings.Join(steps[1:], "/")
	for _, folder := range roleFolders {
		if role, ok := strings.CutPrefix(path+"/", folder); ok {
			return s.roleMetadata(ctx, strings.TrimSuffix(role, "/"))
		}
	}
	if value, ok := metadataLeaves[path]; ok {
		return http.StatusOK, value
	}
	if below := listing(path); below != "" {
		return http.StatusOK, below
	}
	return http.StatusNotFound, ""
}

// listing lists what is in a folder of the metadata; "" is the top folder.
func listing(folder string) string {
	if folder = strings.TrimSuffix(folder, "/"); folder != "" {
		folder += "/"
	}
	var below []string
	for _, path := range append(roleFolders[:len(roleFolders):len(roleFolders)], slices.Sorted(maps.Keys(metadataLeaves))...) {
		if rest, inside := strings.CutPrefix(path, folder); inside && rest != "" {
			name, _, deeper := strings.Cut(rest, "/")
			if deeper {
				name += "/"
			}
			below = append(below, name)
		}
	}
	return strings.Join(slices.Compact(below), "\n")
}

// roleReply is what the SDKs read. ExpiredTime must be a number, Expiration RFC
// 3339, Code exactly Success.
type roleReply struct {
	TmpSecretId, TmpSecretKey string
	ExpiredTime               int64
	Expiration                string
	Token, Code               string
}

// roleMetadata returns the name of the instance's role, or its keys.
func (s *Server) roleMetadata(ctx context.Context, name string) (status int, text string) {
	bound := s.Backend.BoundRoles()
	if name == "" && len(bound) > 0 {
		return http.StatusOK, bound[0].Name // one: Go's SDK takes the whole body for a name
	}
	at := slices.IndexFunc(bound, func(r account.Role) bool { return r.Name == name })
	if at < 0 {
		var names []string
		for _, r := range bound {
			names = append(names, r.Name)
		}
		s.log.Warn("a program asked the instance metadata for a role that is not bound to the instance: bind it in the seed (bound: true)",
			"role", journal.Clip(name), "bound", strings.Join(names, ", "))
		return http.StatusNotFound, ""
	}
	keys, ends, err := s.Backend.BoundKeys(ctx, bound[at])
	var reply []byte
	if err == nil {
		reply, err = json.Marshal(roleReply{
			TmpSecretId: keys.SecretID, TmpSecretKey: keys.SecretKey, Token: keys.Token, Code: "Success",
			ExpiredTime: ends.Unix(), Expiration: ends.UTC().Format(time.RFC3339),
		})
	}
	if err != nil {
		s.log.Error("cannot make keys for the role of the instance", "role", journal.Clip(name), "error", err)
		return http.StatusInternalServerError, ""
	}
	return http.StatusOK, string(reply)
}

// metadataOnly handles every URL of the metadata's own address.
func (s *Server) metadataOnly() http.Handler {
	r := chi.NewRouter()
	s.healthRoutes(r)
	metadata := s.recording.Metadata(http.HandlerFunc(s.serveMetadata))
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		if err := s.control.FromHere(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		metadata.ServeHTTP(w, r)
	})
	return r
}
