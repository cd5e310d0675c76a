package server

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ssmlocal/server/account"
	"ssmlocal/server/backend"
	"ssmlocal/server/clock"
	"ssmlocal/server/decode"
	"ssmlocal/server/journal"
	"ssmlocal/server/tc3"
)

// The control plane: what users do to the emulator itself, under /_ssmlocal/. Answers are JSON; an error is
// {"error":"what was wrong; what to do"} with a status of 400 and above.

// A control is one call of the control plane. What do returns is written as JSON, unless it is a http.Handler, which then
// answers by itself.
type control struct {
	method, path string
	query        []string // the parameters that it takes behind a ?
	about        string   // what it does, with the body that it takes
	do           func(*Server, *http.Request) (any, error)
}

// controls is all of them.
var controls = []control{
	{"GET", "/ca.pem", nil, "the certificate to trust for TLS, in PEM", asks((*Server).tellCA)},
	{"GET", "/version", nil, "which build answers", read((*Server).tellVersion)},
	{"GET", "/actions", nil, "the actions, with their rates and documented codes", read((*Server).listActions)},
	{"GET", "/errors", []string{"action", "code"}, "the error atlas: how to get each documented code, see [fixtures/errors.md](fixtures/errors.md)", asks((*Server).listErrors)},
	{"GET", "/journal", append(journalFilters[:len(journalFilters):len(journalFilters)], "limit"), "the last calls, oldest first, without values; `secretName` with `*` and `?`, `since` a time or a duration such as `5m`, `code=OK` for success", asks((*Server).readJournal)},
	{"GET", "/journal/count", journalFilters, "how many of them there are: `{\"count\":1}`", asks((*Server).countJournal)},
	{"GET", "/journal/stream", journalFilters, "the calls from now on as server-sent events", asks((*Server).streamJournal)},
	{"DELETE", "/journal", []string{"uin"}, "forget them, all or one account's", asks((*Server).clearJournal)},
	{"GET", "/limits", []string{"uin"}, "each budget of calls with its limit and its highest use in a second, also with `--limits off`", asks((*Server).readLimits)},
	{"GET", "/metrics", nil, "for Prometheus: calls by action and code, durations, refusals, faults, the store's size, the clock's offset", asks((*Server).readMetrics)},
	{"GET", "/clock", nil, "what the virtual clock does", read((*Server).clockNow)},
	{"PUT", "/clock", nil, "move it ahead, stop it, let it go on: `{\"now\":\"2030-01-02T15:04:05Z\",\"mode\":\"frozen\"}`, mode `running` or `frozen`, either or both", takes((*Server).setClock)},
	{"POST", "/clock/advance", nil, "move it ahead and tell what became due on the way: `{\"by\":\"72h\"}`, also `30d`, or `{\"to\":\"2030-01-02T15:04:05Z\"}`", takes((*Server).advanceClock)},
	{"GET", "/setaside", nil, "what is due and could not be done, with the reason; it is tried again, also at the next start", read((*Server).listAside)},
	{"GET", "/work", nil, "what takes long and is under way: an import, a reset, an export, a backup, a move of the clock, and how far it is", read((*Server).listWork)},
	{"GET", "/tasks", nil, "how tasks go", read((*Server).taskSettings)},
	{"PUT", "/tasks", nil, "change how they go: `{\"pace\":\"3polls\",\"failNext\":1}`, pace `now`, a duration of virtual time or a number of polls, either or both", with((*Server).setTasks)},
	{"GET", "/accounts", nil, "what is known of accounts besides their secrets", read((*Server).allAccounts)},
	{"PUT", "/accounts", nil, "replace what is known of one: `{\"uin\":100000000001,\"service\":\"arrears\",\"postpaid\":true,\"secretLimit\":50,\"kmsKeys\":{\"ID\":\"disabled\"},\"users\":{\"100000000101\":{\"otherKeys\":1}},\"isolated\":[\"cdb-1\"]}`; service `normal`, `none`, `arrears` or `released`, keys `disabled` or `foreign`", with((*Server).setAccount)},
	{"POST", "/accesskeysecrets", nil, "make an API-key secret, which no public action does: `{\"uin\":100000000001,\"region\":\"ap-guangzhou\",\"secretName\":\"key\",\"targetUin\":100000000101}`", with((*Server).newAccessKeySecret)},
	{"GET", "/state", []string{"uin"}, "the whole state, or one account's, as a seed in YAML; see [Seeds](#seeds)", asks((*Server).exportState)},
	{"PUT", "/state", []string{"uin"}, "put a seed in place of the whole state, or of one account's, in one transaction", asks((*Server).importState)},
	{"POST", "/reset", []string{"uin"}, "return to the seeds of the start, the whole state or one account's: secrets, keys, faults, budgets; the whole also with the clock and the tasks' pace", asks((*Server).resetState)},
	{"GET", "/backup", nil, "a consistent copy of the data file, while writes go on", asks((*Server).backupFile)},
	{"GET", "/leaks", nil, "what the proxy (`--proxy`) has refused because it was meant for elsewhere: `{\"total\":0,\"refused\":[]}`", read((*Server).listLeaks)},
	{"DELETE", "/leaks", nil, "forget it", read((*Server).forgetLeaks)},
	{"GET", "/faults", nil, "the rules of provoked failures, with what each has hit and has left", read((*Server).listFaults)},
	{"POST", "/faults", []string{"strict"}, "add one: `{\"action\":\"GetSecretValue\",\"times\":2,\"error\":{\"code\":\"InternalError\"}}`; see [Faults](#faults)", takes((*Server).addFault)},
	{"DELETE", "/faults", []string{"uin"}, "remove all, or those that are for one account alone", asks((*Server).removeFaults)},
	{"DELETE", "/faults/{id}", nil, "remove one", asks((*Server).removeFault)},
}

// ControlTable prints the calls of the control plane as a table in Markdown.
func ControlTable() string {
	var b strings.Builder
	b.WriteString("| Call | |\n|---|---|\n| `GET /_ssmlocal/health` | 200 while the server lives; also HEAD, and on every address |\n| `GET /_ssmlocal/ready` | 200 once the server is seeded and serves; also HEAD, and on every address |\n")
	for _, c := range controls {
		path := c.path
		for i, name := range c.query {
			path += string("?&"[min(i, 1)]) + name + "="
		}
		fmt.Fprintf(&b, "| `%s /_ssmlocal%s` | %s |\n", c.method, path, c.about)
	}
	return b.String()
}

// read is a call without a body.
func read[R any](do func(*Server) (R, error)) func(*Server, *http.Request) (any, error) {
	return func(s *Server, _ *http.Request) (any, error) { return do(s) }
}

// asks is a call with parameters and without a body.
func asks[R any](do func(*Server, *http.Request) (R, error)) func(*Server, *http.Request) (any, error) {
	return func(s *Server, r *http.Request) (any, error) { return do(s, r) }
}

// largestControl is how much a control call may send, in bytes.
const largestControl = 1 << 20

// with is a call with a JSON body. A field that the call doesn't know is refused.
func with[Q, R any](do func(*Server, *Q) (R, error)) func(*Server, *http.Request) (any, error) {
	return takes(func(s *Server, _ *http.Request, q *Q) (R, error) { return do(s, q) })
}

// takes is a call with parameters and a JSON body.
func takes[Q, R any](do func(*Server, *http.Request, *Q) (R, error)) func(*Server, *http.Request) (any, error) {
	return func(s *Server, r *http.Request) (any, error) {
		body, err := readBody(r, largestControl)
		if err != nil {
			return nil, err
		}
		q := new(Q)
		if err := decode.JSON(body, q); err != nil {
			return nil, refuse(http.StatusBadRequest, "%v", err)
		}
		if err := decode.NotEmpty(body); err != nil {
			return nil, refuse(http.StatusBadRequest, "%v", err)
		}
		return do(s, r, q)
	}
}

// A steadyBody may be of any length as long as something comes of it all the time.
type steadyBody struct {
	io.ReadCloser
	connection *http.ResponseController
	clock      *clock.Clock
}

// standstill is how long a body may stand still.
const standstill = 30 * time.Second

// Read reads what comes next.
func (b steadyBody) Read(p []byte) (int, error) {
	_ = b.connection.SetReadDeadline(b.clock.Wall().Add(standstill)) // not on every kind of connection
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		_ = b.connection.SetReadDeadline(time.Time{}) // of the body alone
	}
	return n, err
}

func readBody(r *http.Request, largest int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, largest+1))
	if err != nil || int64(len(body)) > largest {
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body can't be read, or is larger than %d bytes", largest)
	}
	return body, nil
}

// uinOf reads the parameter that limits a call to one account; 0 if it is not there.
func uinOf(r *http.Request) (uint64, error) {
	text := r.URL.Query().Get("uin")
	if text == "" {
		return 0, nil
	}
	uin, err := strconv.ParseUint(text, 10, 53)
	if err != nil || uin == 0 {
		return 0, refuse(http.StatusBadRequest, "uin is %q, it must be an account such as %d", text, account.DefaultUin)
	}
	return uin, nil
}

// refusal is an error of the control plane with its HTTP status.
type refusal struct {
	status  int
	message string
}

func (r refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return refusal{status, fmt.Sprintf(format, args...)}
}

// controlRoutes adds the control plane to a router.
func (s *Server) controlRoutes(r chi.Router) {
	for _, c := range controls {
		r.MethodFunc(c.method, "/_ssmlocal"+c.path, func(w http.ResponseWriter, r *http.Request) {
			if err := s.fromHere(r); err != nil {
				writeControl(w, nil, err)
				return
			}
			// An advance over years takes its time, and its answer has to come all the same.
			connection := http.NewResponseController(w)
			_ = connection.SetWriteDeadline(time.Time{})
			r.Body = steadyBody{r.Body, connection, s.backend.Clock}
			ctx, cancel := s.backend.While(r.Context())
			defer cancel()
			r = r.WithContext(ctx)
			reply, err := c.answer(s, r)
			if h, ok := reply.(http.Handler); ok && err == nil {
				w.Header().Set("Cache-Control", "no-store")
				h.ServeHTTP(w, r)
				return
			}
			writeControl(w, reply, err)
		})
	}
	nothing := func(w http.ResponseWriter, r *http.Request) {
		if methods := methodsOf(r.URL.Path); len(methods) > 0 {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			writeControl(w, nil, refuse(http.StatusMethodNotAllowed, "%s takes %s and no %s", r.URL.Path, strings.Join(methods, ", "), r.Method))
			return
		}
		writeControl(w, nil, refuse(http.StatusNotFound, "there is no %s; see the README's table of the control plane", r.URL.Path))
	}
	r.HandleFunc("/_ssmlocal", nothing)
	r.HandleFunc("/_ssmlocal/*", nothing)
}

// methodsOf are the methods that a path takes.
func methodsOf(at string) (methods []string) {
	for _, c := range controls {
		if is, _ := path.Match(strings.ReplaceAll(c.path, "{id}", "*"), strings.TrimPrefix(at, "/_ssmlocal")); is {
			methods = append(methods, c.method)
		}
	}
	return methods
}

// answer does the call, unless it has a parameter that it doesn't take, or one without a value, such as ?uin=$UNSET: a filter is
// applied or refused, never ignored.
func (c *control) answer(s *Server, r *http.Request) (any, error) {
	given, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the parameters behind the ? can't be read; write them as name=value with & between them, and special characters as %%XX")
	}
	for name, values := range given {
		if !slices.Contains(c.query, name) {
			return nil, refuse(http.StatusBadRequest, "%s %s has no parameter %s; it takes: %s", c.method, c.path, name, cmp.Or(strings.Join(c.query, ", "), "none"))
		}
		if len(values) != 1 || values[0] == "" {
			return nil, refuse(http.StatusBadRequest, "%s is given without a value, or more than once; give one value, or leave it out", name)
		}
	}
	return c.do(s, r)
}

// fromHere refuses what may be a stranger's: a call that a browser sends for a page of
// another site, and one under a host name that its owner may have led here. Programs send
// none of a browser's marks; they may call under a container's or a cluster's name, too.
func (s *Server) fromHere(r *http.Request) error {
	if err := s.notFromPage(r); err != nil {
		return err
	}
	if name := tc3.HostName(r.Host); tc3.IsPublicName(name) && !s.isOurs(name) {
		return refuse(http.StatusForbidden, "the host name %s is not known to be this emulator's, so the call may be a stranger's page's; call by address, as localhost, or start with --tls-host %[1]s", journal.Clip(name))
	}
	return nil
}

// notFromPage refuses a request with a browser's marks, unless it comes from a page of this
// emulator or was typed by a person, under a host name that is surely its own.
func (s *Server) notFromPage(r *http.Request) error {
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
	if name := tc3.HostName(r.Host); !s.isOurs(name) {
		return refuse(http.StatusForbidden, "a browser calls under the host name %s, which others may have led here; open this emulator by address or as localhost, or start with --tls-host %[1]s", journal.Clip(name))
	}
	return nil
}

// isOurs reports whether a host name is surely this emulator's: nobody else can lead it
// here.
func (s *Server) isOurs(name string) bool {
	return tc3.IsAddress(name) || name == "localhost" || strings.HasSuffix(name, ".localhost") || tc3.IsVendorHost(name) || s.ca.IsUsers(name)
}

// statuses are those of the backend's refusals.
var statuses = map[backend.Kind]int{
	backend.Invalid: http.StatusBadRequest, backend.Conflict: http.StatusConflict, backend.Busy: http.StatusServiceUnavailable,
}

func writeControl(w http.ResponseWriter, reply any, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		r := refusal{http.StatusInternalServerError, err.Error()}
		if no := (backend.Refusal{}); errors.As(err, &no) {
			r = refusal{statuses[no.Kind], no.Message}
		}
		errors.As(err, &r)
		w.WriteHeader(r.status)
		reply = struct {
			Error string `json:"error"`
		}{r.message}
	}
	_ = json.MarshalWrite(w, reply, json.Deterministic(true), jsontext.Multiline(true))
	_, _ = io.WriteString(w, "\n")
}
