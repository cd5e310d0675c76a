package seed

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ssmlocal/server/account"
	"ssmlocal/server/apierr"
	"ssmlocal/server/clock"
	"ssmlocal/server/fault"
	"ssmlocal/server/ssm"
)

// A State is what files say, together, at a moment. What nobody chose is still missing in the holdings.
type State struct {
	Now         time.Time // virtual
	Clock       clock.State
	Estates     []*ssm.Estate
	Credentials []account.Credential
	Roles       []account.Role
	Faults      []fault.Rule
}

// Rules are what a State is held to besides the model.
type Rules struct {
	Wall        time.Time
	Uin         uint64      // not 0: the state is of that account alone, and the clock stays as it is
	Clock       clock.State // as it is
	SecretLimit uint64      // of accounts that have none of their own
	Faults      fault.Known
	Operations  []string // that policies may name, such as ssm:GetSecretValue
	Taken       Taken
}

// Taken is what stands once and somebody else has already: other accounts, or the configuration.
type Taken struct {
	SecretIDs, Faults []string
	FlowIDs           []int64
}

// Build makes a state of files. The error is a *Mistake that says where what is wrong.
func Build(sources []*Source, r Rules) (*State, error) {
	b := &builder{rules: r, state: &State{Clock: r.Clock}, estates: map[uint64]*ssm.Estate{}, taken: map[string]bool{}, others: map[string]bool{}, counts: map[string]int{}}
	if r.Uin == 0 {
		b.state.Clock = clock.State{}
	}
	for _, id := range r.Taken.SecretIDs {
		b.others["the SecretId "+id] = true
	}
	for _, id := range r.Taken.Faults {
		b.others["the fault "+id] = true
	}
	for _, id := range r.Taken.FlowIDs {
		b.others[fmt.Sprint("the flowId ", id)] = true
	}
	for _, s := range sources {
		b.source = s
		b.clock(s.File.Clock)
	}
	b.state.Now = b.state.Clock.Time(r.Wall)
	for _, s := range sources {
		b.source = s
		for i := range s.File.Accounts {
			if s.only != 0 && s.only != s.File.Accounts[i].Uin {
				continue
			}
			b.account(fmt.Sprintf("accounts[%d]", i), &s.File.Accounts[i])
		}
		b.faults(s.File.Faults)
	}
	for _, check := range b.later {
		check()
	}
	for _, e := range b.state.Estates {
		b.check("accounts", e.Data.Check())
	}
	if b.err != nil {
		return nil, b.err
	}
	return b.state, nil
}

// builder goes through files and keeps the first mistake.
type builder struct {
	rules   Rules
	state   *State
	source  *Source
	estates map[uint64]*ssm.Estate
	taken   map[string]bool // names that stand once
	others  map[string]bool // what somebody else has
	counts  map[string]int  // secrets by account and region, access keys by account and user
	later   []func()
	timed   bool // a file has a clock
	err     error
}

// afterwards checks something once every file is read.
func (b *builder) afterwards(check func()) {
	source := b.source
	b.later = append(b.later, func() {
		b.source = source
		check()
	})
}

// quota holds a secret to how many there may be.
func (b *builder) quota(path string, e *ssm.Estate, h *ssm.Holding) {
	region, limit := fmt.Sprint(e.Uin, " ", h.Region), cmp.Or(e.Data.SecretLimit, b.rules.SecretLimit)
	b.counts[region]++
	b.want(uint64(b.counts[region]) <= limit, path, "it is more than the %d secrets that the account may hold in a region", limit)
	if target := h.Secret.TargetUin; target != 0 {
		user := fmt.Sprint(e.Uin, " ", target)
		b.counts[user] += max(1, len(h.Keys))
		b.check(path+".accessKeys", e.Data.CheckKeys(target, b.counts[user]))
	}
}

// check notes a mistake, if there is one, at a path.
func (b *builder) check(path string, err error) bool {
	if err == nil {
		return true
	}
	var refused *apierr.Error
	if errors.As(err, &refused) {
		err = errors.New(refused.Message(apierr.English))
	}
	if b.err == nil {
		b.err = b.source.mistake(path, err)
	}
	return false
}

// want notes a mistake unless something holds.
func (b *builder) want(ok bool, path, format string, args ...any) bool {
	if ok {
		return true
	}
	return b.check(path, fmt.Errorf(format, args...))
}

// once notes a mistake if a name is given a second time.
func (b *builder) once(path, what, name string) {
	key := what + "\x00" + name
	b.want(!b.taken[key], path, "%s is given twice", what)
	b.want(!b.others[what], path, "%s is taken, by another account or by the configuration; choose another", what)
	b.taken[key] = true
}

// largestFlowID leaves room for those that are drawn behind it.
const largestFlowID = 1 << 52

// LargestUin is the largest number of an account: the API's numbers are read as float64 by JavaScript.
const LargestUin = 1<<53 - 1

func (b *builder) account(path string, a *Account) {
	if !b.want(a.Uin > 0 && a.Uin <= LargestUin, path+".uin", "it must be a number such as %d", account.DefaultUin) {
		return
	}
	b.want(b.rules.Uin == 0 || b.rules.Uin == a.Uin, path+".uin", "only the account %d is to be changed", b.rules.Uin)
	e := b.estates[a.Uin]
	if e == nil {
		e = &ssm.Estate{Uin: a.Uin, Tasks: map[int64]*ssm.Task{}}
		b.estates[a.Uin] = e
		b.state.Estates = append(b.state.Estates, e)
	}
	b.data(path, a, &e.Data)
	for i, r := range a.Roles {
		b.role(fmt.Sprintf("%s.roles[%d]", path, i), r, e)
	}
	for i, c := range a.Credentials {
		b.credential(fmt.Sprintf("%s.credentials[%d]", path, i), c, e)
	}
	for i := range a.Tasks {
		b.task(fmt.Sprintf("%s.tasks[%d]", path, i), &a.Tasks[i], e)
	}
	for i := range a.Secrets {
		at := fmt.Sprintf("%s.secrets[%d]", path, i)
		if h := b.secret(at, &a.Secrets[i], e); h != nil {
			e.Secrets = append(e.Secrets, h)
			b.afterwards(func() { b.quota(at, e, h) })
		}
	}
}

// data reads what there is to know of an account; of two files, the later decides.
func (b *builder) data(path string, a *Account, d *ssm.AccountData) {
	if a.Service != "" {
		var err error
		d.Service, err = ssm.ParseServiceState(a.Service)
		b.check(path+".service", err)
	}
	d.Postpaid = d.Postpaid || a.Postpaid
	d.SecretLimit = cmp.Or(a.SecretLimit, d.SecretLimit)
	for id, text := range a.KmsKeys {
		state, err := ssm.ParseKeyState(text)
		b.check(path+".kmsKeys."+id, err)
		if d.KmsKeys == nil {
			d.KmsKeys = map[string]ssm.KeyState{}
		}
		d.KmsKeys[id] = state
	}
	d.Isolated = append(d.Isolated, a.Isolated...)
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

func (b *builder) task(path string, t *Task, e *ssm.Estate) {
	kind := slices.IndexFunc([]ssm.TaskKind{ssm.CreateTask, ssm.RotateTask, ssm.DeleteTask}, func(k ssm.TaskKind) bool { return k.String() == t.Kind })
	status := slices.Index(taskStatuses, cmp.Or(t.Status, taskStatuses[0]))
	b.want(kind >= 0, path+".kind", "it is %q, it must be creation, rotation or deletion", t.Kind)
	b.want(status >= 0, path+".status", "it is %q, it must be one of %s", t.Status, strings.Join(taskStatuses, ", "))
	b.want(t.FlowID > 0 && t.FlowID <= largestFlowID, path+".flowId", "it must be a number from 1 to %d", int64(largestFlowID))
	b.once(path+".flowId", fmt.Sprint("the flowId ", t.FlowID), "")
	b.check(path+".secretName", ssm.CheckName(t.SecretName))
	b.want(t.Polls >= 0, path+".polls", "it can't be less than 0")
	b.want(ssm.TaskStatus(max(0, status)) == ssm.TaskRunning || t.DueTime == "" && t.Polls == 0, path+".status", "a task that has ended has no dueTime and no polls")
	b.want(t.DueTime == "" || t.Polls == 0, path+".polls", "a task ends by time or by polls; give one of dueTime and polls")
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
		if b.source.only != 0 && b.source.only != rules[i].Uin {
			continue
		}
		path := fmt.Sprintf("faults[%d]", i)
		if err := rules[i].Check(b.rules.Faults); err != nil {
			if field, why, found := strings.Cut(err.Error(), ": "); found && !strings.Contains(field, " ") {
				path, err = path+"."+field, errors.New(why)
			}
			b.check(path, err)
		}
		if rules[i].ID != "" {
			b.once(path+".id", "the fault "+rules[i].ID, "")
		}
		b.want(b.rules.Uin == 0 || b.rules.Uin == rules[i].Uin, path+".uin", "only the account %d is to be changed", b.rules.Uin)
		b.state.Faults = append(b.state.Faults, rules[i])
	}
}

// flow holds a secret that says that a task runs to that task.
func (b *builder) flow(path string, e *ssm.Estate, h *ssm.Holding) {
	t := e.Tasks[h.Secret.FlowID]
	b.want(t != nil && t.Status == ssm.TaskRunning && t.Region == h.Region && t.SecretName == h.Secret.Name, path+".flowId",
		"there is no running task with that flowId for this secret; add it to the account's tasks")
	if t == nil {
		return
	}
	want := ssm.RotateTask
	if h.Secret.Birth == ssm.Making {
		want = ssm.CreateTask
	}
	b.want(t.Kind == want && h.Secret.Birth != ssm.MakingFailed, path+".flowId", "a creation is under way while the status is Creating, and else a rotation; none where the creation failed")
}
