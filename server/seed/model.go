package seed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/apierr"
	"ssmlocal/server/clock"
	"ssmlocal/server/fault"
	"ssmlocal/server/ssm"
)

// A State is what files together say at a moment, without the secrets, which
// Build hands on one by one.
type State struct {
	Now         time.Time // virtual
	Clock       clock.State
	Accounts    []*ssm.AccountSnapshot
	Credentials []account.Credential
	Roles       []account.Role
	Faults      []fault.Rule
	Counts      Counts
}

// Counts says how much a state contains.
type Counts struct {
	Accounts    int `json:"accounts"`
	Secrets     int `json:"secrets"`
	Credentials int `json:"credentials"`
	Faults      int `json:"faults"`
}

// Rules are what a State must obey besides the model.
type Rules struct {
	Wall       time.Time
	Uin        uint64      // not 0: the state is of that account alone, and the clock stays as it is
	Clock      clock.State // as it is
	DefaultUin uint64      // of accounts without a uin; 0 is account.DefaultUin
	Faults     fault.Known
	Operations []string // that policies may name, such as ssm:GetSecretValue
	// IDTaken reports whether a SecretId already belongs to somebody else: to
	// another account, or to the configuration. FaultTaken is the same for ids
	// of faults.
	IDTaken, FaultTaken func(id string) (bool, error)
	// CheckBinding refuses a binding that can't be right, or that only a file of
	// this machine's user may have (local); Bound reports whether
	// the configuration binds an instance.
	CheckBinding func(b ssm.Binding, local bool) error
	Bound        func(uin uint64, instanceID string) bool
}

// Build makes a state from files, document by document. It hands each secret on
// as soon as it is read. Values that no file gives are still missing in it, and
// it counts only if Build returns no error. The error is a *PositionError if a
// file is wrong, else that of handOn or ctx.
func Build(ctx context.Context, sources []*Source, r Rules, handOn func(now time.Time, uin uint64, s *ssm.SecretSnapshot) error) (*State, error) {
	return newBuilder(r, handOn).build(ctx, sources)
}

func newBuilder(r Rules, handOn func(time.Time, uint64, *ssm.SecretSnapshot) error) *builder {
	b := &builder{
		rules: r, handOn: handOn, state: &State{Clock: r.Clock}, accounts: map[uint64]*ssm.AccountSnapshot{},
		taken: map[string]bool{}, told: map[string]bool{}, wrongLists: map[string]bool{}, keys: map[string]int{},
	}
	if r.Uin == 0 {
		b.state.Clock = clock.State{}
	}
	return b
}

func (b *builder) build(ctx context.Context, sources []*Source) (*State, error) {
	// The clock is in the first document of a file: relative times of all files
	// depend on it.
	var files []*file
	for _, s := range sources {
		f, err := s.open()
		if err != nil {
			return nil, err
		}
		defer f.Close()
		files = append(files, f)
		if b.doc, err = f.next(); !b.readable(err) {
			return nil, err
		}
		if f.first = b.doc; b.doc != nil && s.only == 0 {
			b.clock(b.doc.File.Clock)
			if b.settle() || b.doc.unreadable[""] != nil {
				b.clockWrong = true
			}
		}
	}
	b.state.Now = b.state.Clock.Time(b.rules.Wall)
	for i, f := range files {
		b.only = sources[i].only
		if err := b.file(ctx, f); err != nil {
			return nil, err
		}
	}
	for _, check := range b.later {
		check()
		b.settle()
	}
	for _, a := range b.state.Accounts {
		b.check("accounts", a.Data.Check())
		b.settle()
	}
	b.count()
	if len(b.mistakes) > 0 {
		return nil, b.mistakes
	}
	return b.state, nil
}

// Mistakes are all that is wrong with files, but for what may follow from it: up
// to mostMistakes, and errMore if there are more.
type Mistakes []error

// mostMistakes is how many are reported at once.
const mostMistakes = 20

var errMore = fmt.Errorf("there are more mistakes than these %d", mostMistakes)

// Error has a line for each.
func (m Mistakes) Error() string {
	var lines []string
	for _, err := range m {
		lines = append(lines, err.Error())
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns them.
func (m Mistakes) Unwrap() []error { return m }

// settle ends the present item, and reports whether there is a mistake in it:
// the next item is read as if there were none.
func (b *builder) settle() (wrong bool) {
	wrong, b.wrong = b.wrong, false
	clear(b.told)
	return wrong
}

// tell keeps a mistake.
func (b *builder) tell(err error) {
	switch n := len(b.mistakes); {
	case n < mostMistakes:
		b.mistakes = append(b.mistakes, err)
	case n == mostMistakes:
		b.mistakes = append(b.mistakes, errMore)
	}
	var at *PositionError
	if errors.As(err, &at) {
		b.wrongLists[listOf(at.Field)] = true // of any account
	}
}

// listPath is the part of a path that leads to a list of an account, or to one of
// its fields.
var listPath = regexp.MustCompile(`^accounts\[\d+\]\.([a-zA-Z]+)`)

// listOf names the list in which something is, "" for none.
func listOf(path string) string {
	if found := listPath.FindStringSubmatch(path); found != nil {
		return found[1]
	}
	return ""
}

// readable notes the mistakes that were found while a document was read. It
// reports whether that was all: what is right is then checked, too, so that a
// person sees all mistakes at once.
func (b *builder) readable(err error) bool {
	var many Mistakes
	var one *PositionError
	switch {
	case err == nil:
		return true
	case errors.As(err, &many):
	case errors.As(err, &one):
		many = Mistakes{one}
	default:
		return false
	}
	for _, mistake := range many {
		b.tell(mistake)
	}
	return true
}

// file goes through the documents of a file, up to one that can't be read.
func (b *builder) file(ctx context.Context, f *file) error {
	for doc := f.first; doc != nil; {
		if !doc.shifted {
			if err := b.document(ctx, doc, doc == f.first); err != nil {
				return err
			}
		}
		if len(b.mistakes) > mostMistakes {
			return b.mistakes
		}
		var err error
		if doc, err = f.next(); !b.readable(err) {
			return err
		}
	}
	return nil
}

// document goes through one document.
func (b *builder) document(ctx context.Context, doc *Document, first bool) error {
	b.doc = doc
	b.want(first || doc.File.Clock == nil, "clock", "it must stand in the first document of the file: the times before it depend on it")
	b.settle()
	for i := range doc.File.Accounts {
		a := &doc.File.Accounts[i]
		path := fmt.Sprintf("accounts[%d]", i)
		if torn := doc.unreadable[path]; torn != nil && torn.fields[path+".uin"] {
			a.Uin = b.unreadUin()
		} else if a.Uin == 0 && !doc.has(path+".uin") {
			a.Uin = cmp.Or(b.only, b.rules.Uin, b.rules.DefaultUin, account.DefaultUin)
		}
		if b.only != 0 && b.only != a.Uin {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.account(path, a); err != nil {
			return err
		}
	}
	b.faults(doc.File.Faults)
	return nil
}

// builder goes through files and keeps their mistakes.
type builder struct {
	rules      Rules
	handOn     func(time.Time, uint64, *ssm.SecretSnapshot) error
	state      *State
	doc        *Document
	only       uint64 // not 0: the account that counts
	accounts   map[uint64]*ssm.AccountSnapshot
	taken      map[string]bool // names that may be given only once
	keys       map[string]int  // access keys by account and user
	later      []func()
	timed      bool   // a file has a clock
	unread     uint64 // how many accounts have no number that could be read
	clockWrong bool   // there is a mistake in it
	relative   bool   // a time of the present secret is relative
	mistakes   Mistakes
	// wrong is set if there is a mistake in the present item, told or not; told
	// has the paths of those that were told.
	wrong bool
	told  map[string]bool
	// wrongLists are the lists of accounts with a mistake in them.
	wrongLists map[string]bool
}

// position is the place of something in a file. It is valid after its document
// is gone.
type position struct {
	source string
	line   int
	path   string
	// known is set if what is wrong there is told already, or may follow from
	// what is: from the name of a field that is mistyped, for a field that is
	// missing.
	known bool
}

func (b *builder) at(path string) position {
	torn := b.doc.unreadable[itemOf(path)]
	known := torn != nil && (torn.fields[path] || torn.unknown && !b.doc.has(path))
	return position{b.doc.Name, b.doc.line(path), path, known}
}

// afterwards checks something once every file is read.
func (b *builder) afterwards(check func()) { b.later = append(b.later, check) }

// accessKeys checks that a user has no more access keys in secrets than a user
// may have. With the other keys there may be more, and an account may hold more
// secrets than its limit: both can be changed when the secrets are there.
func (b *builder) accessKeys(path string, a *ssm.AccountSnapshot, h *ssm.SecretSnapshot) {
	if target := h.Secret.TargetUin; target != 0 {
		user := fmt.Sprint(a.Uin, " ", target)
		b.keys[user] += max(1, len(h.Keys))
		b.checkAt(b.at(path+".accessKeys"), new(ssm.AccountData).CheckKeys(target, b.keys[user]))
	}
}

// count counts what the state has.
func (b *builder) count() {
	b.state.Counts.Credentials, b.state.Counts.Faults = len(b.state.Credentials), len(b.state.Faults)
	b.state.Counts.Accounts = len(b.accounts)
}

// check notes a mistake, if there is one, at a path of the present document.
func (b *builder) check(path string, err error) bool {
	if err == nil {
		return true
	}
	if b.doc == nil {
		b.wrong = true
		b.tell(err)
		return false
	}
	return b.checkAt(b.at(path), err)
}

// checkAt notes the first mistake at a place.
func (b *builder) checkAt(at position, err error) bool {
	if err == nil {
		return true
	}
	var refused *apierr.Error
	if errors.As(err, &refused) {
		err = errors.New(refused.Detail())
	}
	b.wrong = true
	if !at.known && !b.told[at.path] {
		b.told[at.path] = true
		b.tell(&PositionError{Source: at.source, Line: at.line, Field: at.path, Why: err.Error()})
	}
	return false
}

// on are the fields of an item on which a check depends, besides the one that it
// names.
type on []string

// agree notes a mistake unless something holds of several fields together. It
// may follow from a mistake in one of them, and is not told then.
func (b *builder) agree(ok bool, path string, fields on, format string, args ...any) bool {
	if ok {
		return true
	}
	return b.agreed(path, fields, fmt.Errorf(format, args...))
}

// agreed is check for what several fields decide together.
func (b *builder) agreed(path string, fields on, err error) bool {
	if err == nil {
		return true
	}
	torn := b.doc.unreadable[itemOf(path)]
	follows := func(from string) bool {
		return slices.Contains(fields, from[strings.LastIndexByte(from, '.')+1:]) ||
			strings.HasPrefix(path, from) || strings.HasPrefix(from, path) && from != itemOf(path)
	}
	for from := range b.told {
		b.wrong = b.wrong || follows(from)
		if follows(from) {
			return false
		}
	}
	if torn != nil {
		for from := range torn.fields {
			if torn.unknown || follows(from) {
				b.wrong = true
				return false
			}
		}
	}
	return b.check(path, err)
}

// agreeWith is agree for a place and a list of the account: nothing is told if
// there is a mistake in the list.
func (b *builder) agreeWith(list string, ok bool, at position, format string, args ...any) bool {
	if !ok && b.wrongLists[list] {
		return false
	}
	return b.wantAt(ok, at, format, args...)
}

// want notes a mistake unless something holds.
func (b *builder) want(ok bool, path, format string, args ...any) bool {
	if ok {
		return true
	}
	return b.check(path, fmt.Errorf(format, args...))
}

func (b *builder) wantAt(ok bool, at position, format string, args ...any) bool {
	if ok {
		return true
	}
	return b.checkAt(at, fmt.Errorf(format, args...))
}

// once notes a mistake if a name is given a second time.
func (b *builder) once(path, what, name string) {
	key := what + "\x00" + name
	b.want(!b.taken[key], path, "%s is given twice", what)
	b.taken[key] = true
}

// free notes a mistake if an id is given a second time, or belongs to somebody
// else.
func (b *builder) free(path, what, id string, taken func(string) (bool, error)) {
	b.once(path, what+" "+id, "")
	is, err := taken(id)
	b.check(path, err)
	b.want(!is, path, "%s %s is taken, by another account or by the configuration; choose another", what, id)
}

// largestFlowID leaves room for FlowIDs that are drawn after it.
const largestFlowID = 1 << 52

// LargestUin is the largest number of an account: the API's numbers are read as
// float64 by JavaScript.
const LargestUin = 1<<53 - 1

// unreadUin is a number for an account whose own can't be read: what else is
// wrong with it is told, too.
func (b *builder) unreadUin() uint64 {
	b.unread++
	return LargestUin - b.unread
}

// account reads an account, and hands its secrets on.
func (b *builder) account(path string, a *Account) error {
	if !b.want(a.Uin > 0 && a.Uin <= LargestUin, path+".uin", "it must be a number such as %d", account.DefaultUin) {
		a.Uin = b.unreadUin()
	}
	b.want(b.rules.Uin == 0 || b.rules.Uin == a.Uin, path+".uin", "only the account %d is to be changed", b.rules.Uin)
	e := b.accounts[a.Uin]
	if e == nil {
		e = &ssm.AccountSnapshot{Uin: a.Uin, Tasks: map[int64]*ssm.Task{}}
		b.accounts[a.Uin] = e
		b.state.Accounts = append(b.state.Accounts, e)
	}
	b.data(path, a, &e.Data)
	b.settle()
	for i, r := range a.Roles {
		if at := fmt.Sprintf("%s.roles[%d]", path, i); !b.doc.without[at] {
			b.role(at, r, e)
			b.settle()
		}
	}
	for i, c := range a.Credentials {
		if at := fmt.Sprintf("%s.credentials[%d]", path, i); !b.doc.without[at] {
			b.credential(at, c, e)
			b.settle()
		}
	}
	for i := range a.Tasks {
		if at := fmt.Sprintf("%s.tasks[%d]", path, i); !b.doc.without[at] {
			b.task(at, &a.Tasks[i], e)
			b.settle()
		}
	}
	for i := range a.Secrets {
		at := fmt.Sprintf("%s.secrets[%d]", path, i)
		if b.doc.without[at] {
			continue
		}
		b.relative = false
		h := b.secret(at, &a.Secrets[i], e)
		if h != nil {
			b.accessKeys(at, e, h)
		}
		if b.settle() {
			continue
		}
		b.state.Counts.Secrets++
		if len(b.mistakes) > 0 {
			continue // only the other mistakes are of interest now
		}
		if err := b.handOn(b.state.Now, e.Uin, h); err != nil {
			return err
		}
	}
	return nil
}

// data reads the data of an account; if two files give it, the later one
// decides.
func (b *builder) data(path string, a *Account, d *ssm.AccountData) {
	if a.Service != "" {
		var err error
		d.Service, err = ssm.ParseServiceState(a.Service)
		b.check(path+".service", err)
	}
	d.Postpaid = d.Postpaid || a.Postpaid
	if a.Order != nil {
		d.Order = ssm.Order{ClientToken: a.Order.ClientToken, ID: a.Order.OrderID}
		b.want(d.Order.Check() == nil, path+".order.clientToken", "it must have 1 to 64 characters from ! to ~")
		b.want(ssm.IsID(d.Order.ID), path+".order.orderId", "it must have 1 to %d bytes, and no control characters", ssm.MaxID)
	}
	d.SecretLimit = cmp.Or(a.SecretLimit, d.SecretLimit)
	for id, text := range a.KmsKeys {
		b.want(ssm.IsID(id), path+".kmsKeys", "a KmsKeyId has 1 to %d bytes, and no control characters", ssm.MaxID)
		state, err := ssm.ParseKeyState(text)
		b.check(path+".kmsKeys."+id, err)
		if d.KmsKeys == nil {
			d.KmsKeys = map[string]ssm.KeyState{}
		}
		d.KmsKeys[id] = state
	}
	d.Isolated = append(d.Isolated, a.Isolated...)
	for i, in := range a.Instances {
		at := fmt.Sprintf("%s.instances[%d]", path, i)
		binding := ssm.Binding{InstanceID: in.InstanceID, URL: in.URL}
		b.check(at, b.rules.CheckBinding(binding, b.doc.local))
		b.once(at+".instanceId", "the instance "+in.InstanceID, fmt.Sprint(a.Uin))
		d.Instances = append(d.Instances, binding)
	}
	for i, u := range a.Users {
		at := fmt.Sprintf("%s.users[%d]", path, i)
		b.want(u.Uin > 0 && u.Uin <= LargestUin && u.Uin != a.Uin, at+".uin", "it must be the number of a sub-account")
		b.want(u.OtherKeys >= 0 && u.OtherKeys <= ssm.MaxAccessKeys, at+".otherKeys", "it must be 0 to %d", ssm.MaxAccessKeys)
		b.once(at+".uin", "the user", fmt.Sprint(u.Uin))
		if d.Users == nil {
			d.Users = map[uint64]ssm.User{}
		}
		d.Users[u.Uin] = ssm.User{OtherKeys: u.OtherKeys}
	}
}

func (b *builder) task(path string, t *Task, e *ssm.AccountSnapshot) {
	kind := slices.IndexFunc([]ssm.TaskKind{ssm.CreateTask, ssm.RotateTask, ssm.DeleteTask}, func(k ssm.TaskKind) bool { return k.String() == t.Kind })
	status := slices.Index(taskStatuses, cmp.Or(t.Status, taskStatuses[0]))
	b.want(kind >= 0, path+".kind", "it is %q; it must be creation, rotation or deletion", t.Kind)
	b.want(status >= 0, path+".status", "it is %q; it must be one of %s", t.Status, strings.Join(taskStatuses, ", "))
	b.want(t.FlowID > 0 && t.FlowID <= largestFlowID, path+".flowId", "it must be a number from 1 to %d", int64(largestFlowID))
	b.once(path+".flowId", fmt.Sprint("the flowId ", t.FlowID), fmt.Sprint(e.Uin))
	b.check(path+".secretName", ssm.CheckName(t.SecretName))
	b.want(t.Polls >= 0, path+".polls", "it can't be less than 0")
	b.agree(ssm.TaskStatus(max(0, status)) == ssm.TaskRunning || t.DueTime == "" && t.Polls == 0, path+".status", on{"status", "dueTime", "polls"}, "a task that has ended has no dueTime and no polls")
	b.agree(t.DueTime == "" || t.Polls == 0, path+".polls", on{"dueTime", "polls"}, "a task ends by time or by polls; give one of dueTime and polls")
	began := b.past(path+".beginTime", t.BeginTime, b.state.Now)
	task := &ssm.Task{
		Kind: ssm.TaskKind(max(0, kind)), Status: ssm.TaskStatus(max(0, status)), Uin: e.Uin, Region: b.region(path, t.Region),
		SecretName: t.SecretName, BeganAt: began.UnixNano(), Polls: t.Polls, Fails: t.Fails,
	}
	if t.DueTime != "" {
		task.DueAt = b.time(path+".dueTime", t.DueTime, time.Time{}).UnixNano()
	}
	e.Tasks[t.FlowID] = task
}

var taskStatuses = []string{ssm.TaskRunning: "running", ssm.TaskDone: "done", ssm.TaskFailed: "failed"}

func (b *builder) region(path, region string) string {
	region = cmp.Or(region, ssm.DefaultRegion)
	_, offers := ssm.FindRegion(region)
	b.want(offers, path+".region", "there is no region %q with Secrets Manager; there are %s", region, strings.Join(ssm.Regions(), ", "))
	return region
}

func (b *builder) faults(rules []fault.Rule) {
	for i := range rules {
		path := fmt.Sprintf("faults[%d]", i)
		if b.only != 0 && b.only != rules[i].Uin || b.doc.without[path] {
			continue
		}
		for field, value := range map[string]string{
			"id": rules[i].ID, "action": rules[i].Action, "secretName": rules[i].SecretName, "secretId": rules[i].SecretID, "region": rules[i].Region,
		} {
			b.want(value != "" || !b.doc.has(path+"."+field), path+"."+field, "it is empty; leave it out to mean any")
		}
		for _, err := range rules[i].Mistakes(b.rules.Faults) {
			if field, why, found := strings.Cut(err.Error(), ": "); found && !strings.Contains(field, " ") {
				b.check(path+"."+field, errors.New(why))
			} else {
				b.agreed(path, on{"error", "code", "throttle", "delay", "status", "drop", "truncate", "script"}, err)
			}
		}
		if rules[i].ID != "" {
			b.free(path+".id", "the fault", rules[i].ID, b.rules.FaultTaken)
		}
		b.want(b.rules.Uin == 0 || b.rules.Uin == rules[i].Uin, path+".uin", "only the account %d is to be changed", b.rules.Uin)
		b.state.Faults = append(b.state.Faults, rules[i])
		b.settle()
	}
}

// flow checks that the task which a secret names is really running, once all
// tasks are read.
func (b *builder) flow(path string, e *ssm.AccountSnapshot, h *ssm.SecretSnapshot) {
	flowID, region, name, creation, at := h.Secret.FlowID, h.Region, h.Secret.Name, h.Secret.Creation, b.at(path+".flowId")
	deletion := h.Secret.DeleteAt != 0
	b.afterwards(func() {
		t := e.Tasks[flowID]
		if !b.agreeWith("tasks", t != nil && t.Status == ssm.TaskRunning && t.Region == region && t.SecretName == name, at,
			"there is no running task with that flowId for this secret; add it to the account's tasks") {
			return
		}
		want, done := ssm.RotateTask, creation != ssm.CreationFailed
		switch {
		case creation == ssm.CreationRunning:
			want = ssm.CreateTask
		case deletion && t.Kind == ssm.DeleteTask:
			want, done = ssm.DeleteTask, true
		}
		b.agreeWith("tasks", t.Kind == want && done, at,
			"a creation is under way while the status is Creating, a deletion or a rotation while it is PendingDelete, and else a rotation; none where the creation failed")
	})
}
