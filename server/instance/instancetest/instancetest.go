// Package instancetest runs real database servers for tests: MariaDB,
// PostgreSQL and Redis, each in a folder and on a port of its own. A test whose
// server is not installed is skipped, unless the variable SSMLOCAL_REQUIRE
// names it (mariadb, postgres, redis).
package instancetest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmlocal/server/instance"

	"github.com/go-sql-driver/mysql"
)

// Password is the administrator's. It needs to be quoted and escaped, which is
// what it is for.
const Password = `ad'min@:/"pw\`

// A Server is a database server, which ends with its test.
type Server struct {
	// URL binds an instance to it, as the administrator.
	URL string
	// Addr is its address, as host:port.
	Addr string

	t       testing.TB
	dir     string
	program string
	args    []string
	as      *user.User // PostgreSQL refuses to run as root; nil for who runs the test
	process *exec.Cmd
	output  *bytes.Buffer
}

// MariaDB starts a server with a database shop, which has a table orders (id,
// note).
func MariaDB(t testing.TB, flags ...string) *Server {
	t.Helper()
	need(t, "mariadb", "my_print_defaults", "mariadb-client-core") // for mariadb-install-db
	s := start(t, "mariadb", "mariadbd", "mariadb-server-core")
	data, socket, first := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "socket"), filepath.Join(s.dir, "first.sql")
	s.run("mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	admin := "'" + strings.NewReplacer(`'`, `''`, `\`, `\\`).Replace(Password) + "'"
	s.write(first, strings.Join([]string{
		"CREATE OR REPLACE USER root@localhost IDENTIFIED BY " + admin + ";",
		"GRANT ALL ON *.* TO root@localhost WITH GRANT OPTION;",
		"CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY " + admin + ";",
		"GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;",
		"CREATE DATABASE IF NOT EXISTS shop;",
		"CREATE TABLE IF NOT EXISTS shop.orders (id INT, note TEXT);",
	}, "\n"))
	_, port, _ := net.SplitHostPort(s.Addr)
	s.args = append([]string{
		"--no-defaults", "--user=root", "--datadir=" + data, "--socket=" + socket, "--pid-file=" + socket + ".pid",
		"--bind-address=127.0.0.1", "--port=" + port, "--init-file=" + first, "--skip-name-resolve", "--max-connections=500",
	}, flags...)
	s.URL = (&url.URL{Scheme: "mysql", User: url.UserPassword("root", Password), Host: s.Addr, Path: "/"}).String()
	s.Start()
	return s
}

// Postgres starts a server with the databases postgres and shop.
func Postgres(t testing.TB) *Server {
	t.Helper()
	s := start(t, "postgres", "postgres", "postgresql")
	if os.Geteuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Fatal(err)
		}
		s.as = u
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(s.dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data, password := filepath.Join(s.dir, "data"), filepath.Join(s.dir, "password")
	s.write(password, Password+"\n")
	s.run("initdb", "-D", data, "-U", "postgres", "-A", "scram-sha-256", "--pwfile="+password, "--no-sync")
	s.single(data, "postgres", "CREATE DATABASE shop")
	s.single(data, "shop", "CREATE TABLE orders (id int, note text)")
	_, port, _ := net.SplitHostPort(s.Addr)
	s.args = []string{
		"-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=300",
	}
	s.URL = (&url.URL{Scheme: "postgres", User: url.UserPassword("postgres", Password), Host: s.Addr, Path: "/"}).String()
	s.Start()
	return s
}

// single runs a statement before the server is started.
func (s *Server) single(data, database, statement string) {
	s.t.Helper()
	c := s.command(find("postgres"), "--single", "-D", data, database)
	c.Stdin = strings.NewReader(statement + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", statement, err, out)
	}
}

// Redis starts a server that keeps its accounts in an ACL file, or, with a flag
// --aclfile "", nowhere.
func Redis(t testing.TB, flags ...string) *Server {
	t.Helper()
	s := start(t, "redis", "redis-server", "redis-server")
	acl := filepath.Join(s.dir, "users.acl")
	s.write(acl, "user default on >"+redisPassword+" ~* &* +@all\n")
	_, port, _ := net.SplitHostPort(s.Addr)
	s.args = []string{"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", ""}
	if len(flags) == 0 {
		flags = []string{"--aclfile", acl}
	}
	s.args = append(s.args, flags...)
	s.URL = (&url.URL{Scheme: "redis", User: url.UserPassword("", redisPassword), Host: s.Addr}).String()
	s.Start()
	return s
}

// Forgetful are the flags of a Redis that forgets its accounts when it is
// restarted.
func Forgetful() []string { return []string{"--requirepass", redisPassword} }

// redisPassword is the administrator's of Redis, whose ACL file has no way to
// quote.
const redisPassword = "admin-pw"

// start prepares a server, or skips the test.
func start(t testing.TB, name, program, debian string) *Server {
	t.Helper()
	found := need(t, name, program, debian)
	dir, err := os.MkdirTemp("", "ssmlocal-"+name) // t.TempDir's path is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Addr: FreeAddr(t), t: t, dir: dir, program: found}
	t.Cleanup(func() {
		s.Stop()
		_ = os.RemoveAll(dir)
	})
	return s
}

// need returns where a program is that a server consists of, or skips the test.
func need(t testing.TB, name, program, debian string) string {
	t.Helper()
	found := find(program)
	if found == "" {
		if strings.Contains(os.Getenv("SSMLOCAL_REQUIRE"), name) {
			t.Fatalf("%s is missing: install %s", program, debian)
		}
		t.Skipf("%s is missing: install %s", program, debian)
	}
	return found
}

// FreeAddr is an address of this machine on which nobody listens.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// find looks for a program, also where Debian puts those of servers; "" if it
// is not there.
func find(program string) string {
	if found, err := exec.LookPath(program); err == nil {
		return found
	}
	places, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + program)
	places = append(places, "/usr/sbin/"+program)
	for _, place := range slices.Backward(places) {
		if _, err := os.Stat(place); err == nil {
			return place
		}
	}
	return ""
}

func (s *Server) write(file, text string) {
	s.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) command(program string, args ...string) *exec.Cmd {
	c := exec.Command(program, args...)
	c.Dir = s.dir
	// A MariaDB that starts removes others' temporary tables from a common
	// directory.
	c.Env = append(os.Environ(), "TMPDIR="+s.dir)
	runAs(c, s.as)
	return c
}

func (s *Server) run(program string, args ...string) {
	s.t.Helper()
	if out, err := s.command(find(program), args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", program, err, out)
	}
}

// Start starts the server again after Stop, and returns once it answers.
func (s *Server) Start() {
	s.t.Helper()
	s.output = new(bytes.Buffer)
	s.process = s.command(s.program, s.args...)
	s.process.Stdout, s.process.Stderr = s.output, s.output
	if err := s.process.Start(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.wait(); err != nil {
		s.Stop()
		s.t.Fatalf("%s does not answer: %v\n%s", s.program, err, s.output)
	}
}

func (s *Server) wait() error {
	a, err := instance.Parse(s.URL)
	if err != nil {
		return err
	}
	in, err := instance.Open(a)
	if err != nil {
		return err
	}
	defer in.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		if _, err = in.Version(ctx); err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

// Stop ends the server as its administrator would.
func (s *Server) Stop() { s.end(syscall.SIGINT) }

// Kill ends the server as a crash would.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

func (s *Server) end(signal syscall.Signal) {
	if s.process == nil {
		return
	}
	if strings.HasSuffix(s.program, "mariadbd") && signal == syscall.SIGINT {
		signal = syscall.SIGTERM // it ignores the other
	}
	_ = s.process.Process.Signal(signal)
	_ = s.process.Wait()
	s.process = nil
}

// Login logs in with a user and a password and asks for something, as an
// application does.
func (s *Server) Login(user, password string) error {
	a, err := instance.Parse(s.URL)
	if err != nil {
		return err
	}
	in, err := instance.Open(a)
	if err != nil {
		return err
	}
	defer in.Close()
	return in.Login(context.Background(), instance.Account{Name: user, Password: password})
}

// Accounts are the names of the accounts that the emulator has made.
func (s *Server) Accounts() []string {
	s.t.Helper()
	a, err := instance.Parse(s.URL)
	if err != nil {
		s.t.Fatal(err)
	}
	in, err := instance.Open(a)
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	names, err := in.Accounts(context.Background())
	if err != nil {
		s.t.Fatal(fmt.Errorf("the accounts of %s: %w", s.Addr, err))
	}
	slices.Sort(names)
	return names
}

// Pause stops the server where it is, so that it hangs; Continue lets it go on.
func (s *Server) Pause() { pause(s.process.Process, true) }

// Continue ends Pause.
func (s *Server) Continue() { pause(s.process.Process, false) }

// Execute runs a statement as the administrator of a MariaDB, by its socket.
func (s *Server) Execute(statement string) {
	s.t.Helper()
	if err := s.query("root", Password, statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// Query runs a statement as somebody else.
func (s *Server) Query(user, password, statement string) error {
	return s.query(user, password, statement)
}

func (s *Server) query(user, password, statement string) error {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd = "tcp", s.Addr, user, password
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	_, err = db.Exec(statement)
	return err
}

// Certificate makes a CA and a certificate for 127.0.0.1, and returns their
// files.
func Certificate(t testing.TB) (ca, cert, key string) {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		fatal(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return file
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(err)
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(err)
	until := time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC)
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: until, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &caKey.PublicKey, caKey)
	fatal(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "database"}, NotAfter: until,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, &own.PublicKey, caKey)
	fatal(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(own)
	fatal(err)
	return write("ca.pem", "CERTIFICATE", rootDER), write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "PRIVATE KEY", keyDER)
}
