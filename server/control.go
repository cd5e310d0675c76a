package server

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/clock"
	"ssmlocal/server/ssm"
)

// The control plane: what users do to the emulator itself, under /_ssmlocal/. Answers are JSON; an error is
// {"error":"what was wrong; what to do"} with a status of 400 and above.

// A control is one call of the control plane.
type control struct {
	method, path string
	about        string // what it does, with the body that it takes
	do           func(*Server, *http.Request) (any, error)
}

// controls is all of them.
var controls = []control{
	{"GET", "/clock", "what the virtual clock does", read((*Server).clockNow)},
	{"PUT", "/clock", "move it ahead, stop it, let it go on: `{\"now\":\"2030-01-02T15:04:05Z\",\"mode\":\"frozen\"}`, mode `running` or `frozen`, either or both", with((*Server).setClock)},
	{"POST", "/clock/advance", "move it ahead and tell what became due on the way: `{\"by\":\"72h\"}`, also `30d`, or `{\"to\":\"2030-01-02T15:04:05Z\"}`", with((*Server).advanceClock)},
	{"GET", "/tasks", "how tasks go", read((*Server).taskSettings)},
	{"PUT", "/tasks", "change how they go: `{\"pace\":\"3polls\",\"failNext\":1}`, pace `now`, a duration of virtual time or a number of polls, either or both", with((*Server).setTasks)},
	{"GET", "/accounts", "what is known of accounts besides their secrets", read((*Server).allAccounts)},
	{"PUT", "/accounts", "change one: `{\"uin\":100000000001,\"service\":\"arrears\",\"postpaid\":true,\"secretLimit\":50,\"kmsKeys\":{\"ID\":\"disabled\"},\"users\":{\"100000000101\":{\"otherKeys\":1}},\"isolated\":[\"cdb-1\"]}`; service `normal`, `none`, `arrears` or `released`, keys `disabled` or `foreign`", with((*Server).setAccount)},
	{"POST", "/accesskeysecrets", "make an API-key secret, which no public action does: `{\"uin\":100000000001,\"region\":\"ap-guangzhou\",\"secretName\":\"key\",\"targetUin\":100000000101}`", with((*Server).newAccessKeySecret)},
}

// ControlTable prints the calls of the control plane as a table in Markdown.
func ControlTable() string {
	var b strings.Builder
	b.WriteString("| Call | |\n|---|---|\n| `GET /_ssmlocal/health` | 200 while the server serves; also HEAD, and on every address |\n")
	for _, c := range controls {
		fmt.Fprintf(&b, "| `%s /_ssmlocal%s` | %s |\n", c.method, c.path, c.about)
	}
	return b.String()
}

// read is a call without a body.
func read[R any](do func(*Server) (R, error)) func(*Server, *http.Request) (any, error) {
	return func(s *Server, _ *http.Request) (any, error) { return do(s) }
}

// largestControl is how much a control call may send, in bytes.
const largestControl = 1 << 20

// with is a call with a JSON body. A field that the call doesn't know is refused.
func with[Q, R any](do func(*Server, *Q) (R, error)) func(*Server, *http.Request) (any, error) {
	return func(s *Server, r *http.Request) (any, error) {
		body, err := io.ReadAll(io.LimitReader(r.Body, largestControl+1))
		if err != nil || len(body) > largestControl {
			return nil, refuse(http.StatusRequestEntityTooLarge, "the body can't be read, or is larger than %d bytes", largestControl)
		}
		q := new(Q)
		if err := json.Unmarshal(body, q, json.RejectUnknownMembers(true)); err != nil {
			return nil, badBody(err)
		}
		return do(s, q)
	}
}

// badBody says where a body is wrong. The library's own words differ from run to run.
func badBody(err error) error {
	var field *json.SemanticError
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &field):
		return refuse(http.StatusBadRequest, "there is no field %s; see the README's table of the control plane", field.JSONPointer)
	case errors.As(err, &field):
		return refuse(http.StatusBadRequest, "the field %s has a value of the wrong type or form; see the README's table of the control plane", field.JSONPointer)
	}
	return refuse(http.StatusBadRequest, "the body is not valid JSON; send an object such as {}")
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
			if err := fromHere(r); err != nil {
				writeControl(w, nil, err)
				return
			}
			reply, err := c.do(s, r)
			writeControl(w, reply, err)
		})
	}
	nothing := func(w http.ResponseWriter, r *http.Request) {
		writeControl(w, nil, refuse(http.StatusNotFound, "there is no %s %s; see the README's table of the control plane", r.Method, r.URL.Path))
	}
	r.HandleFunc("/_ssmlocal", nothing)
	r.HandleFunc("/_ssmlocal/*", nothing)
}

// fromHere refuses what a browser sends from another site: the emulator listens where any page can reach it.
func fromHere(r *http.Request) error {
	site := r.Header.Get("Sec-Fetch-Site")
	origin, err := url.Parse(r.Header.Get("Origin"))
	if site != "" && site != "same-origin" && site != "none" || err != nil || origin.String() != "" && origin.Host != r.Host {
		return refuse(http.StatusForbidden, "a page of another site (%s) may not control this emulator; call from a program or from a page of its own",
			cmp.Or(r.Header.Get("Origin"), site))
	}
	return nil
}

func writeControl(w http.ResponseWriter, reply any, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		r := refusal{http.StatusInternalServerError, err.Error()}
		errors.As(err, &r)
		w.WriteHeader(r.status)
		reply = struct {
			Error string `json:"error"`
		}{r.message}
	}
	_ = json.MarshalWrite(w, reply, json.Deterministic(true), jsontext.Multiline(true))
	_, _ = io.WriteString(w, "\n")
}

// ClockReply tells what the virtual clock does.
type ClockReply struct {
	Mode   string    `json:"mode"` // running or frozen
	Now    time.Time `json:"now"`
	Offset string    `json:"offset"` // how far it is ahead of wall time
}

func (s *Server) clockNow() (ClockReply, error) {
	wall := s.clock.Wall()
	now := s.clock.At(wall)
	reply := ClockReply{Mode: "running", Now: now.UTC(), Offset: now.Sub(wall).String()}
	if s.clock.State().Frozen {
		reply.Mode = "frozen"
	}
	return reply, nil
}

type setClockRequest struct {
	Now  *time.Time `json:"now"`
	Mode string     `json:"mode"`
}

// setClock moves the clock to a moment, freezes it or lets it run, or both.
func (s *Server) setClock(q *setClockRequest) (ClockReply, error) {
	switch q.Mode {
	case "", "running", "frozen":
	default:
		return ClockReply{}, refuse(http.StatusBadRequest, "the mode is %q, it must be running or frozen", q.Mode)
	}
	if q.Now == nil && q.Mode == "" {
		return ClockReply{}, refuse(http.StatusBadRequest, "nothing to do: give now, mode or both")
	}
	_, err := s.moveClock(func() (time.Time, error) {
		if q.Now != nil {
			if _, err := s.clock.AdvanceTo(*q.Now); err != nil {
				return time.Time{}, err
			}
		}
		switch q.Mode {
		case "running":
			s.clock.Run()
		case "frozen":
			s.clock.Freeze()
		}
		return s.clock.Now(), nil
	})
	if err != nil {
		return ClockReply{}, err
	}
	return s.clockNow()
}

type advanceRequest struct {
	By string     `json:"by"` // such as 72h or 30d
	To *time.Time `json:"to"`
}

// AdvanceReply tells where the clock is and what happened on the way, in order, each at its own time.
type AdvanceReply struct {
	Now      time.Time      `json:"now"`
	Happened []action.Event `json:"happened"`
}

// advanceClock moves the clock ahead and returns when all that becomes due is done.
func (s *Server) advanceClock(q *advanceRequest) (AdvanceReply, error) {
	if (q.By == "") == (q.To == nil) {
		return AdvanceReply{}, refuse(http.StatusBadRequest, `give one of by, such as "72h" or "30d", and to, a time such as "2030-01-02T15:04:05Z"`)
	}
	if q.To != nil {
		return s.advance(func() (time.Time, error) { return s.clock.AdvanceTo(*q.To) })
	}
	by, err := clock.ParseDuration(q.By)
	if err != nil {
		return AdvanceReply{}, refuse(http.StatusBadRequest, "by: %v", err)
	}
	return s.Advance(by)
}

// Advance moves the virtual clock ahead and returns when everything that becomes due on the way has happened, in order
// of time, with the list of it. It is safe for concurrent use: each move gets what it made happen.
func (s *Server) Advance(by time.Duration) (AdvanceReply, error) {
	return s.advance(func() (time.Time, error) { return s.clock.Advance(by) })
}

func (s *Server) advance(move func() (time.Time, error)) (reply AdvanceReply, err error) {
	reply.Happened, err = s.moveClock(func() (now time.Time, err error) {
		now, err = move()
		reply.Now = now.UTC()
		return now, err
	})
	return reply, err
}

// moveClock moves the clock, has done what becomes due, and keeps the clock's state for the next start.
func (s *Server) moveClock(move func() (time.Time, error)) ([]action.Event, error) {
	var past error
	happened, err := s.worker.Move(func() (time.Time, error) {
		now, err := move()
		past = err
		return now, err
	})
	if past != nil {
		return nil, refuse(http.StatusConflict, "%v", past)
	}
	if err != nil {
		return nil, err
	}
	return happened, s.keepClock()
}

// TaskReply tells how tasks go.
type TaskReply struct {
	Pace     string `json:"pace"`     // now, a duration of virtual time such as 6s, or a number of polls such as 3polls
	FailNext int    `json:"failNext"` // how many of the next tasks will fail
}

func (s *Server) taskSettings() (TaskReply, error) {
	s.tasks.mu.Lock()
	defer s.tasks.mu.Unlock()
	return TaskReply{s.tasks.pace.String(), s.tasks.failNext}, nil
}

type setTasksRequest struct {
	Pace     *string `json:"pace"`
	FailNext *int    `json:"failNext"`
}

// setTasks changes how the tasks that begin from now on go.
func (s *Server) setTasks(q *setTasksRequest) (TaskReply, error) {
	if q.FailNext != nil && *q.FailNext < 0 {
		return TaskReply{}, refuse(http.StatusBadRequest, "failNext is %d, it must be 0 or more", *q.FailNext)
	}
	s.tasks.mu.Lock()
	if q.Pace != nil {
		pace, err := ssm.ParsePace(*q.Pace)
		if err != nil {
			s.tasks.mu.Unlock()
			return TaskReply{}, refuse(http.StatusBadRequest, "%v", err)
		}
		s.tasks.pace = pace
	}
	if q.FailNext != nil {
		s.tasks.failNext = *q.FailNext
	}
	s.tasks.mu.Unlock()
	return s.taskSettings()
}

// AccountReply is what is known of an account besides its secrets.
type AccountReply struct {
	Uin         uint64              `json:"uin"`
	Service     string              `json:"service,omitempty"` // normal, none, arrears or released
	Postpaid    bool                `json:"postpaid"`
	SecretLimit uint64              `json:"secretLimit"` // 0 for the server's own
	KmsKeys     map[string]string   `json:"kmsKeys"`     // disabled or foreign
	Users       map[uint64]UserInfo `json:"users"`
	Isolated    []string            `json:"isolated"` // instances whose secrets can't be rotated
}

// UserInfo is what is known of a sub-account.
type UserInfo struct {
	OtherKeys int `json:"otherKeys"` // access keys that no secret holds
}

var (
	serviceStates = []string{ssm.Bought: "normal", ssm.NotBought: "none", ssm.InArrears: "arrears", ssm.Released: "released"}
	keyStates     = []string{ssm.KeyGood: "good", ssm.KeyDisabled: "disabled", ssm.KeyForeign: "foreign"}
)

func (s *Server) allAccounts() ([]AccountReply, error) {
	s.accounts.mu.RLock()
	defer s.accounts.mu.RUnlock()
	all := []AccountReply{}
	for _, uin := range slices.Sorted(maps.Keys(s.accounts.data)) {
		all = append(all, describeAccount(uin, s.accounts.data[uin]))
	}
	return all, nil
}

func describeAccount(uin uint64, a ssm.AccountData) AccountReply {
	reply := AccountReply{
		Uin: uin, Service: serviceStates[a.Service], Postpaid: a.Postpaid, SecretLimit: a.SecretLimit,
		KmsKeys: map[string]string{}, Users: map[uint64]UserInfo{}, Isolated: a.Isolated,
	}
	for id, state := range a.KmsKeys {
		reply.KmsKeys[id] = keyStates[state]
	}
	for uin, user := range a.Users {
		reply.Users[uin] = UserInfo(user)
	}
	return reply
}

// setAccount replaces what is known of one account.
func (s *Server) setAccount(q *AccountReply) (AccountReply, error) {
	if q.Uin == 0 {
		return AccountReply{}, refuse(http.StatusBadRequest, "uin is missing; the default account is %d", account.DefaultUin)
	}
	service := slices.Index(serviceStates, cmp.Or(q.Service, serviceStates[0]))
	if service < 0 {
		return AccountReply{}, refuse(http.StatusBadRequest, "service is %q, it must be one of %s", q.Service, strings.Join(serviceStates, ", "))
	}
	data := ssm.AccountData{
		Service: ssm.ServiceState(service), Postpaid: q.Postpaid, SecretLimit: q.SecretLimit,
		KmsKeys: map[string]ssm.KeyState{}, Users: map[uint64]ssm.User{}, Isolated: q.Isolated,
	}
	for id, name := range q.KmsKeys {
		state := slices.Index(keyStates, name)
		if state < 0 {
			return AccountReply{}, refuse(http.StatusBadRequest, "the KMS key %s is %q, it must be one of %s", id, name, strings.Join(keyStates, ", "))
		}
		data.KmsKeys[id] = ssm.KeyState(state)
	}
	for uin, user := range q.Users {
		if user.OtherKeys < 0 || user.OtherKeys > ssm.MaxAccessKeys {
			return AccountReply{}, refuse(http.StatusBadRequest, "otherKeys of %d is %d, it must be 0 to %d", uin, user.OtherKeys, ssm.MaxAccessKeys)
		}
		data.Users[uin] = ssm.User(user)
	}
	return describeAccount(q.Uin, data), s.accounts.put(s.db, q.Uin, data)
}

type accessKeySecretRequest struct {
	Uin        uint64 `json:"uin"`
	Region     string `json:"region"`
	SecretName string `json:"secretName"`
	TargetUin  uint64 `json:"targetUin"`
}

// newAccessKeySecret makes a secret of the type API key. What is missing is the default's.
func (s *Server) newAccessKeySecret(q *accessKeySecretRequest) (*accessKeySecretRequest, error) {
	q.Uin, q.Region = cmp.Or(q.Uin, account.DefaultUin), cmp.Or(q.Region, ssm.DefaultRegion)
	if _, offers := ssm.FindRegion(q.Region); !offers {
		return nil, refuse(http.StatusBadRequest, "region is %q, it must be one of %s", q.Region, strings.Join(ssm.Regions(), ", "))
	}
	caller := account.Caller{Credential: account.Credential{Uin: q.Uin}}
	c := &action.Call{
		Owner: ssm.Owner{Uin: q.Uin, AppID: caller.AppID(), Region: q.Region}, Now: s.clock.Now(), Random: s.random,
		SecretLimit: s.secretLimit, Account: s.accounts.of(q.Uin),
	}
	err := action.NewAccessKeySecret(s.db, c, q.SecretName, q.TargetUin)
	var failure *apierr.Error
	if errors.As(err, &failure) {
		return nil, refuse(http.StatusBadRequest, "%v", failure)
	}
	return q, err
}
