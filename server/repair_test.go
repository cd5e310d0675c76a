package server_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/binding"
	"ssmlocal/server/instance/instancetest"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
)

// TestLiveRepair binds an instance to a database that was made anew: the
// accounts are missing, and a repair puts them back with the passwords that the
// secrets hold.
func TestLiveRepair(t *testing.T) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := liveOn(t, name, server.Config{})
			l.create("a", nil)
			l.create("b", nil)
			before := l.rotate("a")
			empty := e.start(t)
			l.db = empty
			l.control(http.MethodPut, "/instances", fmt.Sprintf(`{"instanceId":"live-1","url":%q}`, empty.URL))
			if states := l.states(); len(states) != 4 || name != "Redis" && slices.Contains(slices.Collect(maps.Values(states)), "ok") {
				t.Errorf("before the repair: %v", states)
			}
			var r binding.Repaired
			must(t, json.Unmarshal([]byte(l.control(http.MethodPost, "/instances/live-1/repair", "")), &r))
			if len(r.Failed) > 0 || name != "Redis" && len(r.Made) != 4 {
				t.Errorf("the repair: %+v", r)
			}
			l.wants(before, true)
			l.wants(l.login("b", ssm.CurrentVersion), true)
			must(t, json.Unmarshal([]byte(l.control(http.MethodPost, "/instances/live-1/repair", "")), &r))
			if len(r.Made)+len(r.Changed)+len(r.Failed) > 0 {
				t.Errorf("a second repair: %+v", r)
			}
			l.wants(l.rotate("a"), true)
			l.wants(l.rotate("b"), true)
		})
	}
}

// TestLiveOutOfStep replaces the state: accounts of before are left over,
// nothing is dropped by itself, and a repair drops them only if that is asked for.
// A state that comes back is put right.
func TestLiveOutOfStep(t *testing.T) {
	onEach(t, func(l *live) {
		l.create("db", nil)
		saved := getState(l.T, l.Server, "")
		old := l.login("db", ssm.CurrentVersion)
		l.rotate("db")
		l.rotate("db")
		l.Import(saved)
		if now := l.login("db", ssm.CurrentVersion); now != old {
			l.Fatal("the import has another value")
		}
		l.wants(old, false)
		if states := l.states(); states[old.UserName] != "wrong password" {
			l.Errorf("after the import: %v", states)
		}
		l.control(http.MethodPost, "/instances/live-1/repair", "")
		l.wants(old, true)
		l.wants(l.rotate("db"), true)

		l.Reset()
		names := l.db.Accounts()
		if states := l.states(); len(names) != 2 || states[names[0]] != "left over" || states[names[1]] != "left over" {
			l.Errorf("after the reset: %v", states)
		}
		l.control(http.MethodPost, "/instances/live-1/repair", "")
		l.wantAccounts(names...)
		l.control(http.MethodPost, "/instances/live-1/repair?drop=leftover", "")
		l.wantAccounts()
	})
}

// TestLiveRepairGivesPrivileges repairs before the tables are there, and once
// more afterwards: the accounts get what they lacked. A rotation does not
// promote an account that lacks something.
func TestLiveRepairGivesPrivileges(t *testing.T) {
	units := []object{{"PrivilegeName": "TablePrivileges", "Database": "shop", "TableName": "orders", "Privileges": []string{"SELECT"}}}
	l := liveOn(t, "MariaDB", server.Config{})
	l.create("db", object{"PrivilegesList": units})
	db := instancetest.MariaDB(t)
	l.db = db
	db.Execute("DROP TABLE shop.orders")
	l.control(http.MethodPut, "/instances", fmt.Sprintf(`{"instanceId":"live-1","url":%q}`, db.URL))
	var r binding.Repaired
	must(t, json.Unmarshal([]byte(l.control(http.MethodPost, "/instances/live-1/repair", "")), &r))
	if len(r.Failed) != 2 {
		t.Errorf("without its table: %+v", r)
	}
	var reply struct{ FlowID int64 }
	must(t, l.Call("RotateProductSecret", object{"SecretName": "db"}, &reply))
	if status := l.ended(reply.FlowID); status != 2 {
		t.Errorf("a rotation to an account without privileges has the status %d", status)
	}
	db.Execute("CREATE TABLE shop.orders (id INT)")
	must(t, json.Unmarshal([]byte(l.control(http.MethodPost, "/instances/live-1/repair", "")), &r))
	if len(r.Failed) > 0 {
		t.Errorf("with its table: %+v", r)
	}
	for range 2 {
		login := l.rotate("db")
		if err := db.Query(login.UserName, login.Password, "SELECT * FROM shop.orders"); err != nil {
			t.Errorf("%s: %v", login.UserName, err)
		}
	}
}

// TestLiveOthersAccounts has secrets name accounts that somebody else has made:
// they are not changed and not dropped, until a repair takes them over.
func TestLiveOthersAccounts(t *testing.T) {
	db := instancetest.MariaDB(t)
	db.Execute("CREATE USER a_SSM_one IDENTIFIED BY 'theirs'")
	db.Execute("CREATE USER a_SSM_two IDENTIFIED BY 'theirs'")
	l := &live{T: t, db: db, log: new(safeBuffer)}
	l.Server = servertest.New(t, server.Config{Log: slog.New(slog.NewTextHandler(l.log, nil))})
	seed := fmt.Sprintf(`
accounts:
  - uin: 100000000001
    instances: [{instanceId: live-1, url: %q}]
    secrets:
      - secretName: db
        secretType: 1
        productName: Mysql
        resourceId: live-1
        secretString: '{"UserName":"a_SSM_one","Password":"ours"}'
        databaseAccounts:
          - {accountName: a_SSM_one, version: SSM_Current, rotatedTime: now}
          - {accountName: a_SSM_two}
`, db.URL)
	l.Import(seed)
	theirs := ssm.Login{UserName: "a_SSM_two", Password: "theirs"}
	var reply struct{ FlowID int64 }
	must(t, l.Call("RotateProductSecret", object{"SecretName": "db"}, &reply))
	if status := l.ended(reply.FlowID); status != 2 || !strings.Contains(l.status().LastFailure.Reason, "repair") {
		t.Errorf("the status is %d, %+v", status, l.status().LastFailure)
	}
	l.wants(theirs, true)
	if states := l.states(); states["a_SSM_one"] != "wrong password" || states["a_SSM_two"] != "not made here" {
		t.Errorf("%v", states)
	}
	must(t, l.Call("DisableSecret", object{"SecretName": "db"}, nil))
	var deleted struct{ FlowID int64 }
	must(t, l.Call("DeleteSecret", object{"SecretName": "db", "RecoveryWindowInDays": 0, "DeleteMode": 1}, &deleted))
	l.ended(deleted.FlowID)
	l.wants(theirs, true)
	l.Import(seed)
	l.control(http.MethodPost, "/instances/live-1/repair", "")
	l.wants(theirs, false)
	l.wants(l.rotate("db"), true)
	if status, text := putState(t, l.Server, "", seed+strings.SplitN(strings.Replace(seed, "secretName: db", "secretName: twin", 1), "secrets:\n", 2)[1]); status != http.StatusBadRequest || !strings.Contains(text, "given twice") {
		t.Errorf("an account in two secrets: %d %s", status, text)
	}
}

// TestLiveFailedRepairBreaksNothing drops a table that a secret's privileges
// are for. The repair fails; both accounts stay, and a rotation still works.
func TestLiveFailedRepairBreaksNothing(t *testing.T) {
	units := []object{{"PrivilegeName": "TablePrivileges", "Database": "shop", "TableName": "orders", "Privileges": []string{"SELECT"}}}
	t.Parallel()
	l := liveOn(t, "MariaDB", server.Config{})
	l.create("db", object{"PrivilegesList": units})
	l.rotate("db")
	there := l.db.Accounts()
	l.db.Execute("DROP TABLE shop.orders")
	var r binding.Repaired
	must(t, json.Unmarshal([]byte(l.control(http.MethodPost, "/instances/live-1/repair", "")), &r))
	if len(r.Failed) != 2 {
		t.Errorf("without its table: %+v", r)
	}
	l.wants(l.rotate("db"), true)
	if again := l.db.Accounts(); !slices.Equal(again, there) {
		t.Errorf("the accounts were %v and are %v", there, again)
	}
}

// TestLiveBoundElsewhere binds an instance to another database with accounts of
// the same names: they are somebody else's.
func TestLiveBoundElsewhere(t *testing.T) {
	t.Parallel()
	l := liveOn(t, "MariaDB", server.Config{})
	login := l.create("db", nil)
	other := instancetest.MariaDB(t)
	for _, name := range l.db.Accounts() {
		other.Execute("CREATE USER '" + name + "'@'%' IDENTIFIED BY 'of-somebody-else'")
	}
	there := other.Accounts()
	l.control(http.MethodPut, "/instances", fmt.Sprintf(`{"instanceId":"live-1","url":%q}`, other.URL))
	var reply struct{ FlowID int64 }
	must(t, l.Call("RotateProductSecret", object{"SecretName": "db"}, &reply))
	if status := l.ended(reply.FlowID); status != 2 {
		t.Errorf("a rotation has the status %d", status)
	}
	must(t, l.Call("DisableSecret", object{"SecretName": "db"}, nil))
	var deleted struct{ FlowID int64 }
	must(t, l.Call("DeleteSecret", object{"SecretName": "db", "DeleteMode": 1}, &deleted))
	l.until("the deletion fails", func() bool {
		return strings.Contains(l.control(http.MethodGet, "/events", ""), "stays there")
	})
	for _, name := range there {
		if err := other.Login(name, "of-somebody-else"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.db.Login(login.UserName, login.Password); err != nil {
		t.Errorf("where it was made: %v", err)
	}
}

// TestPasswordFilesAreNamedHere sends bindings that name a file of this machine.
func TestPasswordFilesAreNamedHere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	named := filepath.Join(dir, "password")
	file := filepath.Join(dir, "seed.yaml")
	const seed = "accounts: [{instances: [{instanceId: %s, url: \"mysql://root@127.0.0.1:1/?passwordFile=%s\"}]}]"
	must(t, os.WriteFile(file, fmt.Appendf(nil, seed, "cdb-1", named), 0o600))
	s := servertest.New(t, server.Config{Seeds: []string{file}})
	other := func(path string) string { return fmt.Sprintf(seed, "cdb-2", path) }
	for _, text := range []string{
		refusedControl(t, s, http.MethodPut, "/state", other("/etc/hostname")),
		refusedControl(t, s, http.MethodPut, "/state?merge=true", other("/etc/hostname")),
		refusedControl(t, s, http.MethodPut, "/instances", `{"instanceId":"cdb-2","url":"redis://127.0.0.1:1/?passwordFile=/etc/hostname"}`),
	} {
		if !strings.Contains(text, "passwordFile") {
			t.Error(text)
		}
	}
	callControl(t, s, http.MethodPut, "/state?merge=true", other(named))
	callControl(t, s, http.MethodPut, "/snapshots/x", "")
	callControl(t, s, http.MethodPost, "/snapshots/x/load", "")
	callControl(t, s, http.MethodPut, "/state", getState(t, s, ""))
	callControl(t, s, http.MethodPost, "/reset", "")
}

// TestLiveRepairLogsIn repairs an account that the database has locked: the
// repair must not say that all is well.
func TestLiveRepairLogsIn(t *testing.T) {
	t.Parallel()
	l := liveOn(t, "MariaDB", server.Config{})
	login := l.create("db", nil)
	l.db.Execute("ALTER USER '" + login.UserName + "'@'%' ACCOUNT LOCK")
	var r binding.Repaired
	must(t, json.Unmarshal([]byte(l.control(http.MethodPost, "/instances/live-1/repair", "")), &r))
	if len(r.Failed) != 1 || r.Failed[0].AccountName != login.UserName || !strings.Contains(r.Failed[0].Reason, "lock") {
		t.Errorf("%+v", r)
	}
}
