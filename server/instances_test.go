package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/binding"
	"ssmlocal/server/instance"
	"ssmlocal/server/instance/instancetest"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
)

// live is an emulator whose instance live-1 is bound to a database.
type live struct {
	*servertest.Server
	*testing.T
	db      *instancetest.Server
	log     *safeBuffer
	product string
	units   []object
}

// engines are the databases, with what a secret of theirs may do there.
var engines = map[string]struct {
	start   func(testing.TB) *instancetest.Server
	product string
	units   []object
	refused object // by the database
}{
	"MariaDB": {
		func(t testing.TB) *instancetest.Server { return instancetest.MariaDB(t) }, "Mysql",
		[]object{{"PrivilegeName": "DatabasePrivileges", "Database": "shop", "Privileges": []string{"SELECT", "INSERT"}}},
		object{"PrivilegeName": "TablePrivileges", "Database": "shop", "TableName": "nothing", "Privileges": []string{"SELECT"}},
	},
	"PostgreSQL": {
		func(t testing.TB) *instancetest.Server { return instancetest.Postgres(t) }, "PostgreSQL",
		[]object{{"PrivilegeName": "TablePrivileges", "Database": "shop", "TableName": "orders", "Privileges": []string{"SELECT", "INSERT"}}},
		object{"PrivilegeName": "TablePrivileges", "Database": "shop", "TableName": "nothing", "Privileges": []string{"SELECT"}},
	},
	"Redis": {
		func(t testing.TB) *instancetest.Server { return instancetest.Redis(t) }, "Redis",
		[]object{{"PrivilegeName": "GlobalPrivileges", "Privileges": []string{"rw"}}},
		object{"PrivilegeName": "GlobalPrivileges", "Privileges": []string{"+@nosuchcategory"}},
	},
}

// onEach runs a test with each engine.
func onEach(t *testing.T, test func(l *live)) {
	for name := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(liveOn(t, name, server.Config{}))
		})
	}
}

// liveOn starts a database and an emulator with it. At the end, no password may
// be in the log.
func liveOn(t *testing.T, engine string, c server.Config) *live {
	t.Helper()
	e := engines[engine]
	return withDatabase(t, engine, e.start(t), c)
}

func withDatabase(t *testing.T, engine string, db *instancetest.Server, c server.Config) *live {
	t.Helper()
	e := engines[engine]
	l := &live{T: t, db: db, log: new(safeBuffer), product: e.product, units: e.units}
	c.Instances = map[uint64][]ssm.Binding{account.DefaultUin: {{InstanceID: "live-1", URL: db.URL}}}
	c.Unlimited = true
	c.Log = slog.New(slog.NewTextHandler(l.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	l.Server = servertest.New(t, c)
	t.Cleanup(func() {
		if text := l.log.String(); strings.Contains(text, "_aA1") || strings.Contains(text, instancetest.Password) {
			t.Errorf("the log has a password:\n%s", text)
		}
	})
	return l
}

// said is the log without the lines of calls.
func (l *live) said() string {
	lines := slices.Collect(strings.SplitSeq(l.log.String(), "\n"))
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.Contains(line, "msg=call ") }), "\n")
}

// params are those of CreateProductSecret.
func (l *live) params(name string, more object) object {
	p := object{
		"SecretName": name, "UserNamePrefix": "app", "ProductName": l.product, "InstanceID": "live-1", "Domains": []string{"%"},
		"PrivilegesList": l.units,
	}
	for k, v := range more {
		p[k] = v
	}
	return p
}

// create makes a product secret, and waits until it is made.
func (l *live) create(name string, more object) ssm.Login {
	l.Helper()
	var reply struct{ FlowID int64 }
	must(l.T, l.Call("CreateProductSecret", l.params(name, more), &reply))
	if status := l.ended(reply.FlowID); status != 1 {
		l.Fatalf("the creation has the status %d\n%s", status, l.said())
	}
	return l.login(name, ssm.CurrentVersion)
}

// rotate rotates a secret, and waits until that is done.
func (l *live) rotate(name string) ssm.Login {
	l.Helper()
	var reply struct{ FlowID int64 }
	must(l.T, l.Call("RotateProductSecret", object{"SecretName": name}, &reply))
	if status := l.ended(reply.FlowID); status != 1 {
		l.Fatalf("the rotation has the status %d\n%s", status, l.said())
	}
	return l.login(name, ssm.CurrentVersion)
}

// ended polls a task until it has ended, and returns its status.
func (l *live) ended(flowID int64) (status int) {
	l.Helper()
	l.until("the end of a task", func() bool {
		var reply struct{ TaskStatus int }
		must(l.T, l.Call("DescribeAsyncRequestInfo", object{"FlowID": flowID}, &reply))
		status = reply.TaskStatus
		return status != 0
	})
	return status
}

// until waits until something holds.
func (l *live) until(what string, holds func() bool) {
	l.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	late := time.NewTimer(40 * time.Second)
	defer late.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-late.C:
			l.Fatalf("%s does not come\n%s", what, l.said())
		}
	}
}

func (l *live) login(name, version string) ssm.Login {
	l.Helper()
	login, ok := ssm.ParseLogin(value(l.T, l.Server, name, version))
	if !ok {
		l.Fatalf("%s of %s is no login", version, name)
	}
	return login
}

// wants tries whether a login works.
func (l *live) wants(login ssm.Login, works bool) {
	l.Helper()
	if err := l.db.Login(login.UserName, login.Password); (err == nil) != works {
		l.Errorf("%s logs in: %v, want %v", login.UserName, err, works)
	}
}

// wantAccounts compares what the database has.
func (l *live) wantAccounts(names ...string) {
	l.Helper()
	slices.Sort(names)
	if there := l.db.Accounts(); !slices.Equal(there, names) {
		l.Errorf("the database has %v, want %v", there, names)
	}
}

// control calls the control plane.
func (l *live) control(method, path, body string) string {
	l.Helper()
	status, text := ask(l.T, l.Server, method, path, body)
	if status != http.StatusOK {
		l.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return text
}

// status is that of the instance.
func (l *live) status() binding.Status {
	l.Helper()
	var all []binding.Status
	must(l.T, json.Unmarshal([]byte(getControl(l.T, l.Server, "/instances")), &all))
	if len(all) != 1 {
		l.Fatalf("there are %d instances", len(all))
	}
	return all[0]
}

// states are the states of the accounts, by name.
func (l *live) states() map[string]string {
	l.Helper()
	states := map[string]string{}
	for _, a := range l.status().Accounts {
		states[a.AccountName] = a.State
	}
	return states
}

func events(all []action.Event) (out []string) {
	for _, e := range all {
		out = append(out, e.What)
	}
	return out
}

// TestLiveLife goes through the life of a secret: created, rotated by hand,
// deleted with its accounts.
func TestLiveLife(t *testing.T) {
	onEach(t, func(l *live) {
		first := l.create("db", nil)
		l.wants(first, true)
		second := l.rotate("db")
		if second.UserName == first.UserName || second.Password == first.Password {
			l.Errorf("rotated from %s to %s", first.UserName, second.UserName)
		}
		l.wants(second, true)
		l.wants(first, true) // until its account's next turn
		third := l.rotate("db")
		if third.UserName != first.UserName {
			l.Errorf("the third value is of %s, want %s", third.UserName, first.UserName)
		}
		l.wants(third, true)
		l.wants(second, true)
		l.wants(first, false)
		l.wantAccounts(first.UserName, second.UserName)
		if s := l.status(); !s.Reachable || s.Version == "" || s.LastRotation == nil || s.LastFailure != nil || strings.Contains(s.URL, "pw") {
			l.Errorf("the status is %+v", s)
		}
		if states := l.states(); len(states) != 2 || states[first.UserName] != "ok" || states[second.UserName] != "ok" {
			l.Errorf("the accounts are %v", states)
		}
		must(l.T, l.Call("DisableSecret", object{"SecretName": "db"}, nil))
		var deleted struct{ FlowID int64 }
		must(l.T, l.Call("DeleteSecret", object{"SecretName": "db", "RecoveryWindowInDays": 0, "DeleteMode": 1}, &deleted))
		if status := l.ended(deleted.FlowID); status != 1 {
			l.Errorf("the deletion has the status %d", status)
		}
		l.wantAccounts()
		l.wants(third, false)
	})
}

// TestLiveYear moves the clock over a year: twelve rotations, each a real one,
// each in its time.
func TestLiveYear(t *testing.T) {
	onEach(t, func(l *live) {
		begin := l.Clock.Now().Add(time.Hour)
		before := l.create("db", object{"EnableRotation": true, "RotationBeginTime": inZone(begin), "RotationFrequency": 30})
		l.create("other", object{"EnableRotation": true, "RotationBeginTime": inZone(begin.Add(time.Minute)), "RotationFrequency": 365})
		rotations := 0
		for range 12 {
			all := l.Advance(30 * 24 * time.Hour)
			now := l.login("db", ssm.CurrentVersion)
			l.wants(now, true)
			l.wants(before, true)
			before = now
			for i, e := range all {
				if e.What != "rotation" || e.FlowID == 0 || i > 0 && e.At.Before(all[i-1].At) {
					l.Errorf("%+v", all)
				}
				if e.SecretName == "db" {
					rotations++
				}
			}
		}
		if rotations != 12 {
			l.Errorf("%d rotations in a year", rotations)
		}
		var history struct{ VersionIDs []string }
		must(l.T, l.Call("DescribeRotationHistory", object{"SecretName": "db"}, &history))
		if want := begin.Add(11 * 30 * 24 * time.Hour).In(ssm.Zone).Format("SSM_Rotate_20060102150405"); history.VersionIDs[0] != want {
			l.Errorf("the newest of the history is %s, want %s", history.VersionIDs[0], want)
		}
		if all := l.Advance(365 * 24 * time.Hour); len(all) != 14 {
			l.Errorf("%d rotations in another year at once, want 13 and 1", len(all))
		}
		l.wants(l.login("db", ssm.CurrentVersion), true)
	})
}

// TestLiveTogether rotates several secrets at the same times: a move lists each
// of them, also those that are done while it looks at what others have done.
func TestLiveTogether(t *testing.T) {
	const secrets, months = 8, 100
	l := liveOn(t, "Redis", server.Config{})
	begin := l.Clock.Now().Add(time.Hour)
	for i := range secrets {
		l.create(fmt.Sprint("db-", i), object{"EnableRotation": true, "RotationBeginTime": inZone(begin), "RotationFrequency": 30})
	}
	for range months {
		if all := l.Advance(30 * 24 * time.Hour); len(all) != secrets {
			l.Errorf("a move lists %d rotations, want %d", len(all), secrets)
		}
	}
}

// TestLiveRefused has a privilege that the database refuses: the task fails
// with the reason, the secret is Failed, and nothing is left in the database.
func TestLiveRefused(t *testing.T) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := liveOn(t, name, server.Config{})
			var reply struct{ FlowID int64 }
			must(t, l.Call("CreateProductSecret", l.params("db", object{"PrivilegesList": []object{e.refused}}), &reply))
			if status := l.ended(reply.FlowID); status != 2 {
				t.Errorf("the status is %d", status)
			}
			l.wantAccounts()
			f := l.status().LastFailure
			if f == nil || f.What != "creation" || f.SecretName != "db" || f.FlowID != reply.FlowID || f.Reason == "" || !strings.Contains(l.log.String(), f.Reason[:8]) {
				t.Errorf("the failure is %+v\n%s", f, l.said())
			}
			var described struct{ Status string }
			must(t, l.Call("DescribeSecret", object{"SecretName": "db"}, &described))
			if described.Status != "Failed" {
				t.Errorf("the secret is %s", described.Status)
			}
			must(t, l.Call("DeleteSecret", object{"SecretName": "db"}, nil))
			l.create("db", nil)
		})
	}
}

// TestLiveNamesClash has two emulators that draw the same names in one
// database: the second one takes others, and the accounts of the first stay as
// they are.
func TestLiveNamesClash(t *testing.T) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, seed := e.start(t), uint64(7)
			a := withDatabase(t, name, db, server.Config{RandomSeed: &seed})
			b := withDatabase(t, name, db, server.Config{RandomSeed: &seed})
			first, second := a.create("db", nil), b.create("db", nil)
			if first.UserName == second.UserName {
				t.Errorf("both use %s", first.UserName)
			}
			a.wants(first, true)
			a.wants(a.rotate("db"), true)
			a.wants(second, true)
			if n := len(db.Accounts()); n != 4 {
				t.Errorf("there are %d accounts, want 4: %v", n, db.Accounts())
			}
			if states := a.states(); len(states) != 4 || !slices.Contains(slices.Collect(maps.Values(states)), "unknown") {
				t.Errorf("the first one's view is %v", states)
			}
		})
	}
}

// TestLiveScheduledDeletion drops the accounts when the time of the deletion
// comes, and not if the secret is restored before.
func TestLiveScheduledDeletion(t *testing.T) {
	onEach(t, func(l *live) {
		login := l.create("db", nil)
		disable := func() (reply struct{ FlowID int64 }) {
			must(l.T, l.Call("DisableSecret", object{"SecretName": "db"}, nil))
			must(l.T, l.Call("DeleteSecret", object{"SecretName": "db", "RecoveryWindowInDays": 7, "DeleteMode": 1}, &reply))
			return reply
		}
		task := disable()
		l.Advance(24 * time.Hour)
		l.wants(login, true)
		must(l.T, l.Call("RestoreSecret", object{"SecretName": "db"}, nil))
		if status := l.ended(task.FlowID); status != 2 {
			l.Errorf("the task of a restored secret has the status %d", status)
		}
		must(l.T, l.Call("EnableSecret", object{"SecretName": "db"}, nil))
		login = l.rotate("db")
		task = disable()
		l.Import(getState(l.T, l.Server, ""))
		all := l.Advance(8 * 24 * time.Hour)
		if got := events(all); !slices.Equal(got, []string{"deletion", "deletion done"}) {
			l.Errorf("%+v", all)
		}
		if status := l.ended(task.FlowID); status != 1 {
			l.Errorf("the task has the status %d", status)
		}
		l.wants(login, false)
		l.wantAccounts()
	})
}

// TestLiveDeleteModeZero leaves the accounts in the database.
func TestLiveDeleteModeZero(t *testing.T) {
	onEach(t, func(l *live) {
		login := l.create("db", nil)
		must(l.T, l.Call("DisableSecret", object{"SecretName": "db"}, nil))
		must(l.T, l.Call("DeleteSecret", object{"SecretName": "db", "RecoveryWindowInDays": 0}, nil))
		l.wants(login, true)
		if states := l.states(); states[login.UserName] != "unknown" {
			l.Errorf("%v", states)
		}
		l.control(http.MethodPost, "/instances/live-1/repair?drop=leftover", "")
		l.wants(login, true)
	})
}

// TestLivePace holds tasks to their pace, lets one fail, and skips the turn of
// a disabled secret.
func TestLivePace(t *testing.T) {
	onEach(t, func(l *live) {
		begin := l.Clock.Now().Add(time.Hour)
		first := l.create("db", object{"EnableRotation": true, "RotationBeginTime": inZone(begin), "RotationFrequency": 30})
		l.control(http.MethodPut, "/tasks", `{"failNext":1}`)
		var reply struct{ FlowID int64 }
		must(l.T, l.Call("RotateProductSecret", object{"SecretName": "db"}, &reply))
		if status := l.ended(reply.FlowID); status != 2 || l.login("db", ssm.CurrentVersion) != first {
			l.Errorf("a rotation that shall fail has the status %d", status)
		}
		l.control(http.MethodPut, "/tasks", `{"pace":"2polls"}`)
		must(l.T, l.Call("RotateProductSecret", object{"SecretName": "db"}, &reply))
		if l.login("db", ssm.CurrentVersion) != first {
			l.Error("rotated before the second poll")
		}
		if status := l.ended(reply.FlowID); status != 1 {
			l.Errorf("by polls: the status is %d", status)
		}
		second := l.login("db", ssm.CurrentVersion)
		l.wants(second, true)
		l.control(http.MethodPut, "/tasks", `{"pace":"6s"}`)
		must(l.T, l.Call("RotateProductSecret", object{"SecretName": "db"}, &reply))
		if got := events(l.Advance(5 * time.Second)); len(got) > 0 || l.login("db", ssm.CurrentVersion) != second {
			l.Errorf("after five seconds: %v", got)
		}
		if got := events(l.Advance(time.Second)); !slices.Equal(got, []string{"rotation done"}) {
			l.Errorf("after six seconds: %v", got)
		}
		third := l.login("db", ssm.CurrentVersion)
		l.wants(third, true)
		must(l.T, l.Call("DisableSecret", object{"SecretName": "db"}, nil))
		if got := events(l.Advance(2 * time.Hour)); !slices.Equal(got, []string{"rotation skipped"}) {
			l.Errorf("disabled: %v", got)
		}
		must(l.T, l.Call("EnableSecret", object{"SecretName": "db"}, nil))
		if got := events(l.Advance(30 * 24 * time.Hour)); !slices.Equal(got, []string{"rotation begun", "rotation done"}) {
			l.Errorf("by policy with a pace: %v", got)
		}
		l.wants(l.login("db", ssm.CurrentVersion), true)
		l.wants(third, true)
	})
}

// TestLiveRedisSecret makes and drops the account of a secret of the type
// Redis, which does not rotate, and puts it back when a restart of the database
// has lost it.
func TestLiveRedisSecret(t *testing.T) {
	l := withDatabase(t, "Redis", instancetest.Redis(t, instancetest.Forgetful()...), server.Config{})
	config := `{"InstanceId":"live-1","Privilege":"rw"}`
	must(t, l.Call("CreateSecret", object{"SecretName": "cache", "SecretType": 4, "AdditionalConfig": config}, nil))
	login := l.login("cache", ssm.CurrentVersion)
	l.wants(login, true)
	if err := l.Call("CreateSecret", object{"SecretName": "cache", "SecretType": 4, "AdditionalConfig": config}, nil); err == nil {
		t.Error("a second secret of that name")
	}
	l.wantAccounts(login.UserName)
	var refused *servertest.Error
	if err := l.Call("RotateProductSecret", object{"SecretName": "cache"}, nil); !errors.As(err, &refused) || refused.Code != "OperationDenied" {
		t.Errorf("its rotation: %v", err)
	}
	l.db.Stop()
	l.db.Start()
	l.until("the account after a restart of the database", func() bool { return l.db.Login(login.UserName, login.Password) == nil })
	must(t, l.Call("DisableSecret", object{"SecretName": "cache"}, nil))
	var deleted struct{ FlowID int64 }
	must(t, l.Call("DeleteSecret", object{"SecretName": "cache", "RecoveryWindowInDays": 0, "DeleteMode": 1}, &deleted))
	if status := l.ended(deleted.FlowID); status != 1 {
		t.Errorf("the deletion has the status %d", status)
	}
	l.wantAccounts()
	if err := l.Call("CreateSecret", object{"SecretName": "x", "SecretType": 4, "AdditionalConfig": `{"InstanceId":"live-1","Privilege":"no"}`}, nil); err == nil {
		t.Error("a privilege that there is not")
	}
	l.wantAccounts()
}

// TestLiveRedisSecretElsewhere makes a secret of that type on another engine.
func TestLiveRedisSecretElsewhere(t *testing.T) {
	t.Parallel()
	l := liveOn(t, "MariaDB", server.Config{})
	err := l.Call("CreateSecret", object{"SecretName": "cache", "SecretType": 4, "AdditionalConfig": `{"InstanceId":"live-1","Privilege":"rw"}`}, nil)
	var refused *servertest.Error
	if !errors.As(err, &refused) || refused.Code != "InvalidParameterValue" {
		t.Error(err)
	}
	l.wantAccounts()
}

// TestLiveHostsOfMySQL makes accounts for several hosts, and for hosts that are
// not the emulator's: the new password can't be tried then, and the rotation is
// done all the same.
func TestLiveHostsOfMySQL(t *testing.T) {
	l := liveOn(t, "MariaDB", server.Config{})
	here := l.create("here", object{"Domains": []string{"127.0.0.%", "10.1.2.3"}})
	l.wants(here, true)
	l.wants(l.rotate("here"), true)
	l.create("elsewhere", object{"Domains": []string{"10.1.2.3", "db.example.com"}})
	l.wants(l.rotate("elsewhere"), false)
	if states := l.states(); len(states) != 4 || slices.Contains(slices.Collect(maps.Values(states)), "wrong password") {
		t.Errorf("%v", states)
	}
}

// TestLiveSeed starts with a seed that names an instance and secrets on it: the
// start says that the accounts are missing, and a repair makes them.
func TestLiveSeed(t *testing.T) {
	db := instancetest.MariaDB(t)
	l := &live{T: t, db: db, log: new(safeBuffer)}
	l.Server = servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(l.log, nil))})
	l.Import(fmt.Sprintf(`
accounts:
  - uin: 100000000001
    instances: [{instanceId: live-1, url: %q}]
    secrets:
      - secretName: db
        secretType: 1
        productName: Mysql
        resourceId: live-1
        domains: ["%%", localhost]
        secretString: '{"UserName":"shop_SSM_abc","Password":"it''s chosen"}'
        privileges: [{privilegeName: DatabasePrivileges, database: shop, privileges: [SELECT]}]
      - secretName: not-ours
        secretType: 1
        productName: Mysql
        resourceId: live-1
        secretString: '{"UserName":"root","Password":"x"}'
`, db.URL))
	if states := l.states(); states["shop_SSM_abc"] != "missing" {
		t.Errorf("%v", states)
	}
	var r binding.Repaired
	must(t, json.Unmarshal([]byte(l.control(http.MethodPost, "/instances/live-1/repair", "")), &r))
	if len(r.Made) != 3 || len(r.Failed) != 1 || r.Failed[0].AccountName != "root" || !strings.Contains(r.Failed[0].Reason, "not touched") {
		t.Errorf("%+v", r)
	}
	l.wants(ssm.Login{UserName: "shop_SSM_abc", Password: "it's chosen"}, true)
	l.wants(l.rotate("db"), true)
	exported := getState(t, l.Server, "")
	if !strings.Contains(exported, "instanceId: live-1") || !strings.Contains(exported, "privilegeName: DatabasePrivileges") {
		t.Errorf("the export lacks something:\n%s", exported)
	}
	l.Import(exported)
	if again := getState(t, l.Server, ""); again != exported {
		t.Error("an export of an import differs")
	}
}

// TestLiveEdges has what clients may send: a host twice, a host by name, a
// deletion that shall fail, a Redis secret that is refused, an instance that is
// bound to another Redis.
func TestLiveEdges(t *testing.T) {
	t.Run("hosts", func(t *testing.T) {
		l := liveOn(t, "MariaDB", server.Config{})
		l.create("twice", object{"Domains": []string{"%", "%", "LocalHost", "localhost"}})
		l.create("name", object{"Domains": []string{"%.corp.example"}})
		l.wants(l.rotate("twice"), true)
		l.rotate("name")
		if n := len(l.db.Accounts()); n != 4 {
			t.Errorf("there are %d accounts: %v", n, l.db.Accounts())
		}
	})
	t.Run("failNext", func(t *testing.T) {
		l := liveOn(t, "Redis", server.Config{})
		login := l.create("db", nil)
		must(t, l.Call("DisableSecret", object{"SecretName": "db"}, nil))
		l.control(http.MethodPut, "/tasks", `{"failNext":1}`)
		var deleted struct{ FlowID int64 }
		must(t, l.Call("DeleteSecret", object{"SecretName": "db", "RecoveryWindowInDays": 0, "DeleteMode": 1}, &deleted))
		if status := l.ended(deleted.FlowID); status != 2 || l.states()[login.UserName] != "left over" {
			t.Errorf("the status is %d, %v", status, l.states())
		}
		l.wants(login, true)
	})
	t.Run("refused", func(t *testing.T) {
		l := liveOn(t, "Redis", server.Config{SecretLimit: 1})
		must(t, l.Call("CreateSecret", object{"SecretName": "x", "SecretString": "x"}, nil))
		if err := l.Call("CreateSecret", object{"SecretName": "r", "SecretType": 4, "AdditionalConfig": `{"Privilege":"r","InstanceId":"live-1"}`}, nil); err == nil {
			t.Error("a secret more than the quota")
		}
		l.wantAccounts()
	})
	t.Run("another database", func(t *testing.T) {
		l := liveOn(t, "Redis", server.Config{})
		login := l.create("db", nil)
		other := instancetest.Redis(t)
		l.control(http.MethodPut, "/instances", fmt.Sprintf(`{"instanceId":"live-1","url":%q}`, other.URL))
		l.until("a look at the other one", func() bool { return strings.Contains(l.said(), other.Addr) || l.states()[login.UserName] == "missing" })
		if there := other.Accounts(); len(there) > 0 {
			t.Errorf("nobody asked, and the other one has %v", there)
		}
	})
}

// TestLivePasswordFile changes the administrator's password and its file while
// the instance is bound.
func TestLivePasswordFile(t *testing.T) {
	db := instancetest.MariaDB(t)
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte(instancetest.Password), 0o600))
	url := "mysql://root@" + db.Addr + "/?passwordFile=" + file
	l := &live{T: t, db: db, log: new(safeBuffer), product: "Mysql", units: engines["MariaDB"].units}
	l.Server = servertest.New(t, server.Config{
		Log: slog.New(slog.NewTextHandler(l.log, nil)), Unlimited: true,
		Instances: map[uint64][]ssm.Binding{account.DefaultUin: {{InstanceID: "live-1", URL: url}}},
	})
	l.create("db", nil)
	db.Execute("ALTER USER root@'127.0.0.1' IDENTIFIED BY 'new'")
	must(t, os.WriteFile(file, []byte("new\n"), 0o600))
	_ = db.Query("root", "new", "KILL USER root") // this connection, too
	l.wants(l.rotate("db"), true)
}

// TestLiveTLS binds a database that speaks TLS, with the right CA, a wrong one
// and none.
func TestLiveTLS(t *testing.T) {
	ca, cert, key := instancetest.Certificate(t)
	_, other, _ := instancetest.Certificate(t)
	db := instancetest.MariaDB(t, "--ssl-cert="+cert, "--ssl-key="+key, "--ssl-ca="+ca)
	s := servertest.New(t, server.Config{Log: slog.New(slog.DiscardHandler), Unlimited: true})
	for parameters, works := range map[string]bool{
		"?tls=true&ca=" + ca: true, "?tls=skip-verify": true, "?tls=false": true, "?tls=true": false, "?tls=true&ca=" + other: false,
	} {
		l := &live{T: t, Server: s, db: db, log: new(safeBuffer), product: "Mysql", units: engines["MariaDB"].units}
		l.control(http.MethodPut, "/instances", fmt.Sprintf(`{"instanceId":"live-1","url":%q}`, db.URL+parameters))
		if status := l.status(); status.Reachable != works {
			t.Errorf("%s: %+v", parameters, status)
		}
		if !works {
			continue
		}
		name := fmt.Sprint("db", len(parameters))
		l.create(name, nil)
		l.wants(l.rotate(name), true)
	}
}

// TestLiveHooks binds a program and a service: they are called before a value
// is shown, and their refusal fails the task.
func TestLiveHooks(t *testing.T) {
	var calls struct {
		sync.Mutex
		all    []instance.HookCall
		refuse string
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c instance.HookCall
		_ = json.NewDecoder(r.Body).Decode(&c)
		calls.Lock()
		defer calls.Unlock()
		calls.all = append(calls.all, c)
		if c.Action == calls.refuse {
			http.Error(w, "the hook says no", http.StatusConflict)
		}
	}))
	defer service.Close()
	dir := t.TempDir()
	program, said := filepath.Join(dir, "hook"), filepath.Join(dir, "said")
	must(t, os.WriteFile(program, []byte("#!/bin/sh\ncat >> "+said+"; echo >> "+said+"; test ! -e "+dir+"/refuse || { echo 'the hook says no' >&2; exit 1; }\n"), 0o700))
	run := func(t *testing.T, url string, seen func() []instance.HookCall, refuse func(string)) {
		l := &live{T: t, log: new(safeBuffer), product: "SqlServer", units: []object{{"PrivilegeName": "DatabasePrivileges", "Database": "shop", "Privileges": []string{"db_datareader"}}}}
		l.Server = servertest.New(t, server.Config{
			Log: slog.New(slog.NewTextHandler(l.log, nil)), Unlimited: true,
			Instances: map[uint64][]ssm.Binding{account.DefaultUin: {{InstanceID: "live-1", URL: url}}},
		})
		first := l.create("db", nil)
		second := l.rotate("db")
		var got []string
		for _, c := range seen() {
			got = append(got, c.Action+" "+c.Name+" "+c.Password)
			if c.Version != 1 || c.Action == "create" && (len(c.Privileges) != 1 || c.Privileges[0].Database != "shop" || len(c.Hosts) != 1) {
				t.Errorf("called with %+v", c)
			}
		}
		want := []string{
			"create " + first.UserName + " " + first.Password, "create " + second.UserName + " ", "verify " + first.UserName + " " + first.Password,
			"rotate " + second.UserName + " " + second.Password, "verify " + second.UserName + " " + second.Password,
		}
		if !slices.Equal(got, want) {
			t.Errorf("called with\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		refuse("rotate")
		var reply struct{ FlowID int64 }
		must(t, l.Call("RotateProductSecret", object{"SecretName": "db"}, &reply))
		if status := l.ended(reply.FlowID); status != 2 || !strings.Contains(l.status().LastFailure.Reason, "the hook says no") {
			t.Errorf("the status is %d, %+v", status, l.status().LastFailure)
		}
		if now := l.login("db", ssm.CurrentVersion); now != second {
			t.Error("a refused rotation has changed the value")
		}
		refuse("")
		must(t, l.Call("DisableSecret", object{"SecretName": "db"}, nil))
		var deleted struct{ FlowID int64 }
		must(t, l.Call("DeleteSecret", object{"SecretName": "db", "RecoveryWindowInDays": 0, "DeleteMode": 1}, &deleted))
		if status := l.ended(deleted.FlowID); status != 1 || seen()[len(seen())-1].Action != "drop" {
			t.Errorf("the deletion has the status %d", status)
		}
		if status, text := ask(t, l.Server, http.MethodPut, "/instances", `{"instanceId":"live-2","url":"exec:///bin/sh"}`); status != http.StatusBadRequest {
			t.Errorf("anybody can bind a program: %d %s", status, text)
		}
		if status, text := putState(t, l.Server, "", `accounts: [{uin: 100000000001, instances: [{instanceId: x, url: "exec:///bin/sh"}]}]`); status != http.StatusBadRequest {
			t.Errorf("a state can bind a program: %d %s", status, text)
		}
	}
	t.Run("http", func(t *testing.T) {
		run(t, service.URL+"/hook", func() []instance.HookCall {
			calls.Lock()
			defer calls.Unlock()
			return slices.Clone(calls.all)
		}, func(action string) {
			calls.Lock()
			defer calls.Unlock()
			calls.refuse = action
		})
	})
	t.Run("exec", func(t *testing.T) {
		run(t, "exec://"+program, func() (all []instance.HookCall) {
			text, err := os.ReadFile(said)
			must(t, err)
			for line := range strings.Lines(string(text)) {
				var c instance.HookCall
				must(t, json.Unmarshal([]byte(line), &c))
				all = append(all, c)
			}
			return all
		}, func(action string) {
			if action == "" {
				must(t, os.Remove(dir+"/refuse"))
			} else {
				must(t, os.WriteFile(dir+"/refuse", nil, 0o600))
			}
		})
	})
}
