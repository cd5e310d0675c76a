package server_test

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/servertest"
	"ssmlocal/server/ssm"
)

// TestLiveAway stops the database: a rotation waits for it, and fails if it
// does not come back. The value stays, and the next turn is as scheduled.
func TestLiveAway(t *testing.T) {
	for name := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := liveOn(t, name, server.Config{InstancePatience: 2 * time.Second})
			begin := l.Clock.Now().Add(time.Hour)
			first := l.create("db", object{"EnableRotation": true, "RotationBeginTime": inZone(begin), "RotationFrequency": 30})
			l.db.Stop()
			var reply struct{ FlowID int64 }
			must(t, l.Call("RotateProductSecret", object{"SecretName": "db"}, &reply))
			if err := l.Call("RotateProductSecret", object{"SecretName": "db"}, nil); err == nil {
				t.Error("a second rotation beside the first")
			}
			if s := l.status(); s.Reachable || s.Reason == "" {
				t.Errorf("the status is %+v", s)
			}
			if status := l.ended(reply.FlowID); status != 2 {
				t.Errorf("without a database the rotation has the status %d", status)
			}
			if now := l.login("db", ssm.CurrentVersion); now != first {
				t.Error("a failed rotation has changed the value")
			}
			all := l.Advance(2 * time.Hour) // the scheduled one fails, too
			if len(all) != 1 || all[0].What != "rotation failed" || all[0].Reason == "" {
				t.Errorf("%+v", all)
			}
			l.db.Start()
			l.wants(first, true)
			all = l.Advance(30 * 24 * time.Hour)
			if len(all) != 1 || all[0].What != "rotation" || !all[0].At.Equal(begin.Add(30*24*time.Hour).Truncate(time.Second)) {
				t.Errorf("after it is back: %+v\n%s", all, l.said())
			}
			l.wants(l.login("db", ssm.CurrentVersion), true)
		})
	}
}

// TestLiveComesBack starts the database while a rotation waits for it.
func TestLiveComesBack(t *testing.T) {
	onEach(t, func(l *live) {
		l.create("db", nil)
		l.db.Stop()
		var reply struct{ FlowID int64 }
		must(l.T, l.Call("RotateProductSecret", object{"SecretName": "db"}, &reply))
		l.db.Start()
		if status := l.ended(reply.FlowID); status != 1 {
			l.Errorf("the status is %d\n%s", status, l.said())
		}
		l.wants(l.login("db", ssm.CurrentVersion), true)
	})
}

// TestLiveHangs binds to something that accepts and never answers: it costs
// nobody else anything, and has an end.
func TestLiveHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	for _, scheme := range []string{"mysql", "postgres", "redis"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			s := servertest.New(t, server.Config{
				InstancePatience: time.Second, Log: slog.New(slog.DiscardHandler), Unlimited: true,
				Instances: map[uint64][]ssm.Binding{account.DefaultUin: {{InstanceID: "live-1", URL: scheme + "://root:secret@" + l.Addr().String()}}},
			})
			x := &live{T: t, Server: s, log: new(safeBuffer), product: "Any"}
			x.units = []object{{"PrivilegeName": "GlobalPrivileges", "Privileges": []string{"rw"}}}
			if scheme != "redis" {
				x.units = engines["MariaDB"].units
			}
			var reply struct{ FlowID int64 }
			must(t, s.Call("CreateProductSecret", x.params("db", nil), &reply))
			must(t, s.Call("CreateSecret", object{"SecretName": "plain", "SecretString": "x"}, nil))
			must(t, s.Call("CreateProductSecret", product("unbound", "", 0), nil))
			value(t, s, "unbound", ssm.CurrentVersion)
			s.Import("accounts: [{uin: 100000000002}]") // an import does not wait for it either
			must(t, s.Call("CreateProductSecret", x.params("db", nil), &reply))
			if status := x.ended(reply.FlowID); status != 2 {
				t.Errorf("the status is %d", status)
			}
		})
	}
}

// TestLiveWrongAdmin has a wrong password of the administrator: the task fails
// at once.
func TestLiveWrongAdmin(t *testing.T) {
	for name := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := liveOn(t, name, server.Config{})
			url := strings.Replace(l.db.URL, ":"+strings.Split(strings.Split(l.db.URL, ":")[2], "@")[0]+"@", ":not-the-password@", 1)
			l.control(http.MethodPut, "/instances", fmt.Sprintf(`{"instanceId":"live-1","url":%q}`, url))
			var reply struct{ FlowID int64 }
			must(t, l.Call("CreateProductSecret", l.params("db", nil), &reply))
			if status := l.ended(reply.FlowID); status != 2 {
				t.Errorf("the status is %d", status)
			}
			s := l.status()
			if s.Reachable || s.LastFailure == nil || strings.Contains(fmt.Sprint(s, s.LastFailure), "not-the-password") {
				t.Errorf("the status is %+v, %+v", s, s.LastFailure)
			}
			l.control(http.MethodDelete, "/instances/live-1", "")
			l.create("db2", nil) // the binding of the configuration is used again
		})
	}
}

// TestLiveSecondOutage has the database away for a second time, soon after the
// first: a rotation waits for it again.
func TestLiveSecondOutage(t *testing.T) {
	l := liveOn(t, "Redis", server.Config{InstancePatience: 2 * time.Second})
	l.create("db", nil)
	for range 2 {
		l.db.Stop()
		var reply struct{ FlowID int64 }
		must(t, l.Call("RotateProductSecret", object{"SecretName": "db"}, &reply))
		began := time.Now()
		if status, took := l.ended(reply.FlowID), time.Since(began); status != 2 || took < time.Second {
			t.Errorf("the status is %d after %v", status, took)
		}
		l.db.Start()
		l.until("the database", func() bool { return l.status().Reachable })
	}
}

// TestLiveRenamedByImport has a deletion fail while the database is away, and
// then a state that has the accounts under another secret: they stay.
func TestLiveRenamedByImport(t *testing.T) {
	l := liveOn(t, "Redis", server.Config{InstancePatience: time.Second})
	l.create("db", nil)
	exported := getState(t, l.Server, "")
	must(t, l.Call("DisableSecret", object{"SecretName": "db"}, nil))
	l.db.Stop()
	var deleted struct{ FlowID int64 }
	must(t, l.Call("DeleteSecret", object{"SecretName": "db", "RecoveryWindowInDays": 0, "DeleteMode": 1}, &deleted))
	if status := l.ended(deleted.FlowID); status != 2 {
		t.Errorf("the status is %d", status)
	}
	l.Import(strings.ReplaceAll(exported, "secretName: db", "secretName: renamed"))
	l.db.Start()
	l.until("a look at the database", func() bool {
		return strings.Contains(l.said(), "has them again") || l.db.Login("x", "y") != nil && l.status().Reachable
	})
	l.wants(l.login("renamed", ssm.CurrentVersion), true)
}
