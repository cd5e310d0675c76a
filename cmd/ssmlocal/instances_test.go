//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"ssmlocal/server/instance"
	"ssmlocal/server/instance/instancetest"
	"ssmlocal/server/ssm"
)

// kills and stops are how often TestTortureLogins kills the emulator and stops
// the database.
const (
	kills = 50
	stops = 10
)

// TestTortureLogins holds rotation in real databases to its promise: whatever
// SSM_Current holds can log in, at every moment. A client reads the value and
// logs in anew all the time, while secrets are rotated, made and deleted, the
// emulator is killed and the database stopped. The pair before can log in until
// its account's next turn, and not after it. At the end no account is left
// without a secret, and no password is in any output.
func TestTortureLogins(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *instancetest.Server{
		"mariadb":  func(t testing.TB) *instancetest.Server { return instancetest.MariaDB(t) },
		"postgres": instancetest.Postgres,
		"redis":    func(t testing.TB) *instancetest.Server { return instancetest.Redis(t) },
	} {
		t.Run(name, func(t *testing.T) {
			torture(t)
			l := &logins{T: t, db: start(t), engine: name, data: t.TempDir()}
			l.log, _ = os.Create(filepath.Join(t.TempDir(), "log"))
			defer l.log.Close()
			l.run()
		})
	}
}

// logins is the test with one engine.
type logins struct {
	*testing.T
	db     *instancetest.Server
	engine string
	data   string
	log    *os.File

	program atomic.Pointer[process] // the emulator that runs now
	absent  sync.RWMutex            // held while the database is away

	mu       sync.Mutex
	now      ssm.Login // what the client has seen last
	previous ssm.Login // and what was SSM_Current before it

	tries, failures, rotations atomic.Int64
}

func (l *logins) run() {
	seed := rand.Uint64()
	l.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	l.start()
	l.create("db")
	l.settled("the first value", func() bool { l.read(); return !l.seen().IsZero() })

	end, client := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(client)
		for {
			select {
			case <-end:
				return
			default:
				l.loginOnce()
			}
		}
	}()
	for round := range kills {
		before := l.seen()
		l.call("RotateProductSecret", `{"SecretName":"db"}`)
		temporary := fmt.Sprintf("temporary-%d", round)
		l.create(temporary)
		pause(random, time.Duration(1+round%6)*5*time.Millisecond)
		l.kill()
		if round%(kills/stops) == 0 {
			l.absent.Lock()
			l.db.Kill()
			l.start()
			pause(random, 300*time.Millisecond)
			l.db.Start()
			l.absent.Unlock()
		} else {
			l.start()
		}
		l.settled("a rotation", func() bool { return l.ended("db") && l.ended(temporary) })
		l.read()
		if l.seen() != before {
			l.rotations.Add(1)
			l.pairBefore()
		}
		l.call("DisableSecret", `{"SecretName":"`+temporary+`"}`)
		l.call("DeleteSecret", `{"SecretName":"`+temporary+`","RecoveryWindowInDays":0,"DeleteMode":1}`)
		if round%3 == 0 {
			pause(random, 5*time.Millisecond)
			l.kill()
			l.start()
		}
	}
	close(end)
	<-client
	l.settled("the accounts of the secret alone", func() bool { return len(l.db.Accounts()) == 2 })
	l.program.Load().ends("the end", syscall.SIGTERM, 5*time.Second)
	checkFile(l.T, l.data)
	l.Logf("%d logins, %d failed; %d rotations through %d kills", l.tries.Load(), l.failures.Load(), l.rotations.Load(), kills)
	if l.tries.Load() < kills || l.rotations.Load() < kills/4 {
		l.Error("that is too few to say anything")
	}
	text, err := os.ReadFile(l.log.Name())
	if err != nil || bytes.Contains(text, []byte("_aA1")) || bytes.Contains(text, []byte(instancetest.Password)) {
		l.Errorf("the log has a password, or can't be read: %v", err)
	}
}

func pause(random *rand.Rand, most time.Duration) {
	time.Sleep(time.Duration(random.Int64N(int64(most))))
}

func (l *logins) start() {
	l.program.Store(launch(l.T, l.log, "--listen", "127.0.0.1:0", "--limits", "off", "--log-level", "debug", "--data", l.data,
		"--instance", "live-1="+l.db.URL))
}

func (l *logins) kill() { l.program.Load().ends("a kill", syscall.SIGKILL, time.Second) }

func (l *logins) call(action, params string) string { return l.program.Load().call(action, params) }

func (l *logins) create(name string) {
	product, units := "Mysql", `{"PrivilegeName":"DatabasePrivileges","Database":"shop","Privileges":["SELECT"]}`
	switch l.engine {
	case "postgres":
		product, units = "PostgreSQL", `{"PrivilegeName":"TablePrivileges","Database":"shop","TableName":"orders","Privileges":["SELECT"]}`
	case "redis":
		product, units = "Redis", `{"PrivilegeName":"GlobalPrivileges","Privileges":["r"]}`
	}
	l.call("CreateProductSecret", `{"SecretName":"`+name+`","UserNamePrefix":"app","ProductName":"`+product+
		`","InstanceID":"live-1","Domains":["%"],"PrivilegesList":[`+units+`]}`)
}

// settled waits until something holds.
func (l *logins) settled(what string, holds func() bool) {
	l.Helper()
	for range 4000 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	text, _ := os.ReadFile(l.log.Name())
	_, state := l.program.Load().control("GET", "/instances", "")
	l.Fatalf("%s does not come: %s\n%s", what, state, text[max(0, len(text)-4000):])
}

// ended reports whether no task of a secret runs. One that could not be made is
// gone.
func (l *logins) ended(secretName string) bool {
	status, text := l.program.Load().control("GET", "/state", "")
	if status != http.StatusOK {
		return false
	}
	var state struct {
		Accounts []struct {
			Secrets []struct {
				SecretName string `yaml:"secretName"`
				FlowID     int64  `yaml:"flowId"`
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &state); err != nil {
		l.Fatal(err)
	}
	for _, a := range state.Accounts {
		for _, s := range a.Secrets {
			if s.SecretName == secretName && s.FlowID != 0 {
				return false
			}
		}
	}
	return true
}

func (l *logins) seen() ssm.Login {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// read reads SSM_Current; nothing changes if the emulator does not answer.
func (l *logins) read() (ssm.Login, bool) {
	var reply struct {
		Response struct{ SecretString string }
	}
	text := l.call("GetSecretValue", `{"SecretName":"db","VersionId":"SSM_Current"}`)
	login, ok := ssm.Login{}, json.Unmarshal([]byte(text), &reply) == nil
	if ok {
		login, ok = ssm.ParseLogin(reply.Response.SecretString)
	}
	if !ok {
		return login, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if login != l.now {
		l.now, l.previous = login, l.now
	}
	return login, true
}

// loginOnce is what an application does: it reads the value, and logs in at
// once.
func (l *logins) loginOnce() {
	login, ok := l.read()
	if !ok {
		return
	}
	l.absent.RLock()
	defer l.absent.RUnlock()
	err := l.db.Login(login.UserName, login.Password)
	l.tries.Add(1)
	if err != nil && !instance.IsAway(err) {
		l.failures.Add(1)
		l.Errorf("the value of SSM_Current can't log in: %v", err)
	}
}

// pairBefore tries the pair before the current one, which can log in until its
// account's turn. The one before that is of the same account as the current
// one, and can't.
func (l *logins) pairBefore() {
	l.Helper()
	l.mu.Lock()
	now, previous := l.now, l.previous
	l.mu.Unlock()
	if previous.IsZero() {
		return
	}
	if err := l.db.Login(previous.UserName, previous.Password); err != nil {
		l.Errorf("the pair before can't log in: %v", err)
	}
	if err := l.db.Login(now.UserName, previous.Password); err == nil {
		l.Error("another account's password works")
	}
	older, ok := l.archived(1)
	if ok && older.UserName == now.UserName {
		if err := l.db.Login(older.UserName, older.Password); err == nil {
			l.Error("an old password works after its account's turn")
		}
	}
}

// archived returns the login of the nth value of the history.
func (l *logins) archived(n int) (ssm.Login, bool) {
	var history struct {
		Response struct{ VersionIDs []string }
	}
	if json.Unmarshal([]byte(l.call("DescribeRotationHistory", `{"SecretName":"db"}`)), &history) != nil || len(history.Response.VersionIDs) <= n {
		return ssm.Login{}, false
	}
	var reply struct {
		Response struct{ SecretString string }
	}
	text := l.call("GetSecretValue", `{"SecretName":"db","VersionId":"`+history.Response.VersionIDs[n]+`"}`)
	if json.Unmarshal([]byte(text), &reply) != nil {
		return ssm.Login{}, false
	}
	return ssm.ParseLogin(reply.Response.SecretString)
}
