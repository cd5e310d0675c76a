package instance_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/gomodule/redigo/redis"
	"github.com/jackc/pgx/v5/pgconn"

	"ssmlocal/server/instance"
	"ssmlocal/server/instance/instancetest"
	"ssmlocal/server/ssm"
)

func open(t *testing.T, text string) *instance.Instance {
	t.Helper()
	a, err := instance.Parse(text)
	must(t, err)
	in, err := instance.Open(a)
	must(t, err)
	t.Cleanup(in.Close)
	return in
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestParse reads addresses, right ones and wrong ones. No error and no text
// has a password in it.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"mysql://root:secret@db":                             "mysql://root@db:3306/",
		"mariadb://root:secret@db:1/?tls=skip-verify":        "mariadb://root@db:1/?tls=skip-verify",
		"postgres://admin:secret@[::1]/app?sslmode=require":  "postgres://admin@[::1]:5432/app?tls=skip-verify",
		"postgresql://admin@db?passwordFile=/run/secrets/db": "postgresql://admin@db:5432/?passwordFile=%2Frun%2Fsecrets%2Fdb",
		"redis://:secret@cache/3":                            "redis://cache:6379/3",
		"rediss://cache?ca=/ca.pem":                          "rediss://cache:6379/?ca=%2Fca.pem&tls=true",
		"mysql://root:se%40cr%2Fet@db/":                      "mysql://root@db:3306/",
		"mysql://root:sec/ret@db:3306":                       "",
		"mysql://root:secret@db/shop":                        "",
		"mysql://root:secret@db#x":                           "",
		"mysql://:secret@db":                                 "",
		"mysql://root:secret@":                               "",
		"root:secret@db":                                     "",
		"oracle://root:secret@db":                            "",
		"mysql://root:secret@db?tls=maybe":                   "",
		"mysql://root:secret@db?tls=":                        "",
		"mysql://root:secret@db?ssl=true":                    "",
		"mysql://root:secret@db?sslmode=require":             "",
		"postgres://root:secret@db?sslmode=perhaps":          "",
		"mysql://root:secret@db?passwordFile=/x":             "",
		"mysql://root:secret@db?tls=true&tls=false":          "",
		"mysql://root:secret@db?%zz":                         "",
		"":                                                   "",
		"mysql://root:%zzsecret@db":                          "",
		"postgres://admin:secret@db:notaport/":               "",
		"redis://:secret@cache/three":                        "",
		"redis://:secret@cache:6379:6379":                    "",
		"mysql://root:secret@db:99999":                       "",
	} {
		a, err := instance.Parse(text)
		switch {
		case want == "" && err == nil:
			t.Errorf("%q is taken, as %s", text, a)
		case want != "" && (err != nil || a.String() != want):
			t.Errorf("%q: %s, %v, want %s", text, a, err, want)
		case err != nil && strings.Contains(strings.ReplaceAll(err.Error(), "USER:PASSWORD", ""), "secret"):
			t.Errorf("%q: the error has the password: %v", text, err)
		}
	}
}

// TestOpenReadsFiles takes the password out of a file, and names a file that is
// not there.
func TestOpenReadsFiles(t *testing.T) {
	for _, text := range []string{"mysql://root@db?passwordFile=/does/not/exist", "rediss://db?ca=/does/not/exist"} {
		a, err := instance.Parse(text)
		must(t, err)
		if _, err := instance.Open(a); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
			t.Errorf("%s: %v", text, err)
		}
	}
	empty := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	a, err := instance.Parse("rediss://db?ca=" + empty)
	must(t, err)
	if _, err := instance.Open(a); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("a CA that is none: %v", err)
	}
	s := instancetest.MariaDB(t)
	file := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(file, []byte(instancetest.Password+"\n"), 0o600))
	if _, err := open(t, "mysql://root@"+s.Addr+"?passwordFile="+file).Version(t.Context()); err != nil {
		t.Error(err)
	}
}

func unit(level string, u ssm.PrivilegeUnit, privileges ...string) ssm.PrivilegeUnit {
	u.PrivilegeName, u.Privileges = level, privileges
	return u
}

// engines are the servers, with privileges that each can give.
var engines = map[string]struct {
	start      func(testing.TB) *instancetest.Server
	privileges []ssm.PrivilegeUnit
	refused    ssm.PrivilegeUnit // by the server
}{
	"MariaDB": {
		func(t testing.TB) *instancetest.Server { return instancetest.MariaDB(t) },
		[]ssm.PrivilegeUnit{
			unit("GlobalPrivileges", ssm.PrivilegeUnit{}, "PROCESS", "SHOW DATABASES"),
			unit("DatabasePrivileges", ssm.PrivilegeUnit{Database: "shop"}, "SELECT", "CREATE TEMPORARY TABLES"),
			unit("TablePrivileges", ssm.PrivilegeUnit{Database: "shop", Table: "orders"}, "INSERT", "DELETE"),
			unit("ColumnPrivileges", ssm.PrivilegeUnit{Database: "shop", Table: "orders", Column: "note"}, "UPDATE", "REFERENCES"),
		},
		unit("TablePrivileges", ssm.PrivilegeUnit{Database: "shop", Table: "no such table"}, "SELECT"),
	},
	"PostgreSQL": {
		func(t testing.TB) *instancetest.Server { return instancetest.Postgres(t) },
		[]ssm.PrivilegeUnit{
			unit("GlobalPrivileges", ssm.PrivilegeUnit{}, "CREATEDB", "pg_monitor"),
			unit("DatabasePrivileges", ssm.PrivilegeUnit{Database: "shop"}, "CONNECT", "TEMPORARY"),
			unit("SchemaPrivileges", ssm.PrivilegeUnit{Database: "shop", Schema: "public"}, "USAGE", "CREATE"),
			unit("TablePrivileges", ssm.PrivilegeUnit{Database: "shop", Table: "orders"}, "SELECT", "INSERT"),
			unit("ColumnPrivileges", ssm.PrivilegeUnit{Database: "shop", Table: "orders", Column: "note"}, "UPDATE"),
		},
		unit("TablePrivileges", ssm.PrivilegeUnit{Database: "shop", Table: "no such table"}, "SELECT"),
	},
	"Redis": {
		func(t testing.TB) *instancetest.Server { return instancetest.Redis(t) },
		[]ssm.PrivilegeUnit{unit("GlobalPrivileges", ssm.PrivilegeUnit{}, "r")},
		unit("GlobalPrivileges", ssm.PrivilegeUnit{}, "+@nosuchcategory"),
	},
}

// TestAccount makes an account on each engine, changes its password, lets it
// rest, and drops it. Everything may be done twice.
func TestAccount(t *testing.T) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := e.start(t)
			in := open(t, s.URL)
			ctx := t.Context()
			a := instance.Account{Name: "app_SSM_a1B", Password: `p'w"\%`, Privileges: e.privileges, Hosts: []string{"%", "10.%"}, New: true}
			if err := in.SetPassword(ctx, a); !errors.Is(err, instance.ErrNoAccount) {
				t.Errorf("the password of nobody: %v", err)
			}
			must(t, in.Create(ctx, a))
			a.New = false
			must(t, in.Create(ctx, a))
			must(t, in.Login(ctx, a))
			old := a
			a.Password = "another"
			must(t, in.SetPassword(ctx, a))
			must(t, in.Login(ctx, a))
			if err := in.Login(ctx, old); err == nil || instance.IsAway(err) || strings.Contains(err.Error(), old.Password) {
				t.Errorf("the old password: %v", err)
			}
			resting := instance.Account{Name: "app_SSM_a1C", Privileges: e.privileges}
			must(t, in.Create(ctx, resting))
			if err := in.Login(ctx, resting); err == nil {
				t.Error("an account that rests can log in without a password")
			}
			resting.Password = "woken"
			must(t, in.SetPassword(ctx, resting))
			must(t, in.Login(ctx, resting))
			if names, err := in.Accounts(ctx); err != nil || !slices.Equal(slices.Sorted(slices.Values(names)), []string{"app_SSM_a1B", "app_SSM_a1C"}) {
				t.Errorf("the accounts are %v, %v", names, err)
			}
			for range 2 {
				must(t, in.Drop(ctx, a.Name))
				must(t, in.Drop(ctx, resting.Name))
			}
			if names := s.Accounts(); len(names) > 0 {
				t.Errorf("left over: %v", names)
			}
			if _, err := in.Version(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCreateTaken refuses a new account whose name somebody has, and leaves
// that as it was.
func TestCreateTaken(t *testing.T) {
	for _, name := range []string{"MariaDB", "PostgreSQL"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := engines[name].start(t)
			in := open(t, s.URL)
			mine := instance.Account{Name: "app_SSM_xyz", Password: "mine"}
			must(t, in.Create(t.Context(), mine))
			other := instance.Account{Name: mine.Name, Password: "other", New: true}
			if err := in.Create(t.Context(), other); !errors.Is(err, instance.ErrTaken) {
				t.Errorf("a second one: %v", err)
			}
			must(t, in.Login(t.Context(), mine))
		})
	}
}

// TestOthersAreNotTouched refuses accounts without the mark, whatever is asked
// for.
func TestOthersAreNotTouched(t *testing.T) {
	in := open(t, "mysql://root:secret@127.0.0.1:1")
	for _, name := range []string{"root", "", "app_ssm_x", "SSM_"} {
		a := instance.Account{Name: name, Password: "x"}
		for _, err := range []error{in.Create(t.Context(), a), in.SetPassword(t.Context(), a), in.Drop(t.Context(), name)} {
			if err == nil || instance.IsAway(err) || !strings.Contains(err.Error(), "not touched") {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
}

// TestRefused asks for what the server does not have: the error says so, and it
// is no use to try again.
func TestRefused(t *testing.T) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := open(t, e.start(t).URL)
			a := instance.Account{Name: "app_SSM_a1B", Password: "secret-of-the-account", Privileges: []ssm.PrivilegeUnit{e.refused}}
			err := in.Create(t.Context(), a)
			if err == nil || instance.IsAway(err) || strings.Contains(err.Error(), a.Password) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestPrivileges looks at what an account may do, with an application's own
// eyes.
func TestPrivileges(t *testing.T) {
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		s := engines["MariaDB"].start(t)
		in := open(t, s.URL)
		a := instance.Account{Name: "app_SSM_a1B", Password: "pw", Privileges: engines["MariaDB"].privileges}
		must(t, in.Create(t.Context(), a))
		c := mysql.NewConfig()
		c.Net, c.Addr, c.User, c.Passwd = "tcp", s.Addr, a.Name, a.Password
		connector, err := mysql.NewConnector(c)
		must(t, err)
		db := sql.OpenDB(connector)
		defer db.Close()
		for statement, allowed := range map[string]bool{
			"SELECT * FROM shop.orders":               true,
			"INSERT INTO shop.orders VALUES (1, 'x')": true,
			"UPDATE shop.orders SET note = 'y'":       true,
			"UPDATE shop.orders SET id = 2":           false,
			"CREATE TABLE shop.t (i INT)":             false,
			"DROP TABLE shop.orders":                  false,
			"SELECT * FROM mysql.user":                false,
			"SHOW PROCESSLIST":                        true,
		} {
			if _, err := db.Exec(statement); (err == nil) != allowed {
				t.Errorf("%s: %v, want allowed %v", statement, err, allowed)
			}
		}
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		s := engines["PostgreSQL"].start(t)
		in := open(t, s.URL)
		a := instance.Account{Name: "app_SSM_a1B", Password: "pw", Privileges: engines["PostgreSQL"].privileges}
		must(t, in.Create(t.Context(), a))
		u := url.URL{Scheme: "postgres", User: url.UserPassword(a.Name, a.Password), Host: s.Addr, Path: "/shop"}
		c, err := pgconn.Connect(t.Context(), u.String())
		must(t, err)
		defer c.Close(context.Background())
		for _, x := range []struct {
			statement string
			allowed   bool
		}{
			{"SELECT * FROM orders", true},
			{"INSERT INTO orders VALUES (1, 'x')", true},
			{"UPDATE orders SET note = 'y'", true},
			{"UPDATE orders SET id = 2", false},
			{"DELETE FROM orders", false},
			{"CREATE TABLE mine (i int)", true},
			{"CREATE ROLE other", false},
			{"CREATE DATABASE mine", true},
		} {
			if _, err := c.Exec(t.Context(), x.statement).ReadAll(); (err == nil) != x.allowed {
				t.Errorf("%s: %v, want allowed %v", x.statement, err, x.allowed)
			}
		}
		// What it has made is kept when it is dropped.
		must(t, in.Drop(t.Context(), a.Name))
		if names := s.Accounts(); len(names) > 0 {
			t.Errorf("left over: %v", names)
		}
		u.User = url.UserPassword("postgres", instancetest.Password)
		admin, err := pgconn.Connect(t.Context(), u.String())
		must(t, err)
		defer admin.Close(context.Background())
		if _, err := admin.Exec(t.Context(), "SELECT * FROM mine").ReadAll(); err != nil {
			t.Errorf("the table of an account that was dropped: %v", err)
		}
	})
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		s := engines["Redis"].start(t)
		in := open(t, s.URL)
		for privilege, commands := range map[string]map[string]bool{
			"r":  {"GET k": true, "PING": true, "SET k v": false, "FLUSHALL": false, "ACL LIST": false, "CONFIG GET *": false},
			"rw": {"GET k": true, "PING": true, "SET k v": true, "FLUSHALL": false, "ACL LIST": false, "CONFIG GET *": false},
		} {
			a := instance.Account{Name: "app_SSM_" + privilege, Password: "pw", Privileges: []ssm.PrivilegeUnit{unit("GlobalPrivileges", ssm.PrivilegeUnit{}, privilege)}}
			must(t, in.Create(t.Context(), a))
			c, err := redis.Dial("tcp", s.Addr, redis.DialUsername(a.Name), redis.DialPassword(a.Password))
			must(t, err)
			for command, allowed := range commands {
				words := strings.Fields(command)
				var args []any
				for _, w := range words[1:] {
					args = append(args, w)
				}
				if _, err := c.Do(words[0], args...); (err == nil) != allowed {
					t.Errorf("%s with %s: %v, want allowed %v", command, privilege, err, allowed)
				}
			}
			_ = c.Close()
		}
	})
}

// TestAway asks databases that refuse connections, accept and never answer, or
// break off: each call ends in time, and says that it is worth trying again.
func TestAway(t *testing.T) {
	hangs, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer hangs.Close()
	breaks, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer breaks.Close()
	go func() {
		for {
			c, err := breaks.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	for _, scheme := range []string{"mysql", "postgres", "redis"} {
		for what, addr := range map[string]string{
			"refuses": instancetest.FreeAddr(t), "hangs": hangs.Addr().String(), "breaks off": breaks.Addr().String(),
		} {
			t.Run(scheme+" "+what, func(t *testing.T) {
				t.Parallel()
				in := open(t, scheme+"://root:secretpw@"+addr)
				ctx, cancel := context.WithTimeout(t.Context(), 2*instance.Patience)
				defer cancel()
				began := time.Now()
				err := in.SetPassword(ctx, instance.Account{Name: "a_SSM_b", Password: "x"})
				if !instance.IsAway(err) || ctx.Err() != nil || strings.Contains(err.Error(), "secretpw") {
					t.Errorf("after %v: away %v, %v", time.Since(began), instance.IsAway(err), err)
				}
			})
		}
	}
}

// TestWrongAdmin logs in with a wrong password of the administrator: no use to
// try again, and the password is not in the error.
func TestWrongAdmin(t *testing.T) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(e.start(t).URL)
			must(t, err)
			u.User = url.UserPassword(u.User.Username(), "wrong-password")
			_, err = open(t, u.String()).Version(t.Context())
			if err == nil || instance.IsAway(err) || strings.Contains(err.Error(), "wrong-password") {
				t.Errorf("away %v, %v", instance.IsAway(err), err)
			}
		})
	}
}

// TestCheckPrivileges refuses what an engine can't have.
func TestCheckPrivileges(t *testing.T) {
	for _, c := range []struct {
		engine string
		unit   ssm.PrivilegeUnit
		ok     bool
	}{
		{instance.MySQL, unit("GlobalPrivileges", ssm.PrivilegeUnit{}, "SELECT"), true},
		{instance.MySQL, unit("SchemaPrivileges", ssm.PrivilegeUnit{Schema: "s"}, "USAGE"), false},
		{instance.MySQL, unit("GlobalPrivileges", ssm.PrivilegeUnit{}, "+@read"), false},
		{instance.Postgres, unit("SequencePrivileges", ssm.PrivilegeUnit{Sequence: "s"}, "USAGE"), true},
		{instance.Postgres, unit("GlobalPrivileges", ssm.PrivilegeUnit{}, "a|b"), false},
		{instance.Redis, unit("GlobalPrivileges", ssm.PrivilegeUnit{}, "rw"), true},
		{instance.Redis, unit("GlobalPrivileges", ssm.PrivilegeUnit{}, "-@dangerous", "+get"), true},
		{instance.Redis, unit("GlobalPrivileges", ssm.PrivilegeUnit{}, "SELECT"), false},
		{instance.Redis, unit("DatabasePrivileges", ssm.PrivilegeUnit{Database: "d"}, "r"), false},
	} {
		if err := instance.CheckPrivileges(c.engine, []ssm.PrivilegeUnit{c.unit}); (err == nil) != c.ok {
			t.Errorf("%s, %+v: %v, want ok %v", c.engine, c.unit, err, c.ok)
		}
	}
}
