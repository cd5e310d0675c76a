package instance

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// An Address says where a database is and how to log in there as its
// administrator.
type Address struct {
	scheme   string // mysql, postgres, redis or rediss
	host     string // host:port
	user     string
	password string
	// passwordFile is a file with the password, for a secret of a compose
	// stack.
	passwordFile string
	database     string // PostgreSQL's, to begin with; Redis's number
	hook         string // of exec and http: the program's path, or the service's URL
	tls          string // "", true or skip-verify
	ca           string // file with the certificate of the database's CA, in PEM
}

// engineOf maps the schemes of addresses to the engines.
var engineOf = map[string]string{
	"mysql": MySQL, "mariadb": MySQL, "postgres": Postgres, "postgresql": Postgres, "redis": Redis, "rediss": Redis,
	"exec": Exec, "http": HTTP, "https": HTTP,
}

var portOf = map[string]string{MySQL: "3306", Postgres: "5432", Redis: "6379"}

// sslmodes are PostgreSQL's own words for tls.
var sslmodes = map[string]string{"disable": "false", "require": "skip-verify", "verify-ca": "true", "verify-full": "true"}

// Parse reads an address such as
//
//	mysql://root:password@127.0.0.1:3306/
//	postgres://postgres@db/postgres?passwordFile=/run/secrets/db&tls=true&ca=/etc/ca.pem
//	redis://:password@redis:6379
//
// The parameters are passwordFile, tls (true, skip-verify or false), ca, and
// for PostgreSQL sslmode. The error never has the password in it.
func Parse(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil { // its error has parts of the text, which may be the password
		return Address{}, errors.New("it can't be read as mysql://USER:PASSWORD@HOST:PORT/; special characters of the password are written as %XX, @ as %40 for one")
	}
	a := Address{scheme: u.Scheme, host: u.Host, user: u.User.Username()}
	a.password, _ = u.User.Password()
	engine := a.Engine()
	switch {
	case engine == "":
		return a, errors.New("it must begin with mysql://, postgres://, redis://, rediss://, exec:// or http://")
	case engine == Exec:
		return a.program(u)
	case engine == HTTP:
		return a.service(u)
	case u.Hostname() == "":
		return a, fmt.Errorf("it has no host: write it as %s://USER:PASSWORD@HOST:PORT/", u.Scheme)
	case a.user == "" && engine != Redis:
		return a, fmt.Errorf("it has no user: write it as %s://USER:PASSWORD@HOST:PORT/, with a user who may make accounts", u.Scheme)
	case u.Fragment != "":
		return a, errors.New("it has a #; in a password that is written as %23")
	}
	port := cmp.Or(u.Port(), portOf[engine])
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strings.Contains(u.Hostname(), ":") != strings.Contains(u.Host, "[") {
		return a, errors.New("the host must be such as db:3306 or [::1]:3306, with a port from 1 to 65535")
	}
	a.host, a.database = net.JoinHostPort(u.Hostname(), port), strings.Trim(u.Path, "/")
	switch _, err := strconv.ParseUint(a.database, 10, 16); {
	case a.database == "":
	case engine == MySQL:
		return a, errors.New("it names a database; accounts belong to the whole server, so leave it out")
	case engine == Redis && err != nil:
		return a, errors.New("the database after the host must be a number, such as /0")
	}
	if err := a.parameters(u.RawQuery); err != nil {
		return a, err
	}
	if a.scheme == "rediss" && a.tls == "" {
		a.tls = "true"
	}
	if a.ca != "" && a.tls != "true" {
		return a, errors.New("ca goes with tls=true; without it no certificate is checked")
	}
	return a, nil
}

// parameters reads the URL's query.
func (a *Address) parameters(query string) error {
	const known = "passwordFile, tls, ca and, for PostgreSQL, sslmode"
	given, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the parameters after the ? can't be read; known are " + known)
	}
	for name, values := range given {
		value := values[0]
		if len(values) > 1 || value == "" {
			return fmt.Errorf("%s is given without a value, or twice", name)
		}
		switch {
		case name == "passwordFile":
			a.passwordFile = value
		case name == "ca":
			a.ca = value
		case name == "tls" && slices.Contains([]string{"true", "skip-verify", "false"}, value):
			a.tls = value
		case name == "tls":
			return fmt.Errorf("tls is %q; it must be true, skip-verify or false", value)
		case name == "sslmode" && a.Engine() == Postgres && sslmodes[value] != "":
			a.tls = sslmodes[value]
		case name == "sslmode" && a.Engine() == Postgres:
			return fmt.Errorf("sslmode is %q; it must be disable, require, verify-ca or verify-full", value)
		default:
			return fmt.Errorf("there is no parameter %s; there are %s", name, known)
		}
	}
	if a.password != "" && a.passwordFile != "" {
		return errors.New("it has a password and a passwordFile; give one of them")
	}
	return nil
}

// Engine is which kind of database it is: MySQL, Postgres or Redis; "" for none
// of them.
func (a Address) Engine() string { return engineOf[a.scheme] }

// program reads the address of a program.
func (a Address) program(u *url.URL) (Address, error) {
	if u.Host != "" || !strings.HasPrefix(u.Path, "/") || u.RawQuery != "" || u.User != nil {
		return a, errors.New("a program is written as exec:///path/to/program, without arguments")
	}
	a.hook = u.Path
	return a, nil
}

// service reads the address of a service.
func (a Address) service(u *url.URL) (Address, error) {
	if u.Hostname() == "" || u.Fragment != "" {
		return a, errors.New("a service is written as http://HOST:PORT/path")
	}
	a.user, a.password = "", "" // they are in the URL that is called
	a.hook = u.String()
	return a, nil
}

// PasswordFile is the file that holds the administrator's password, "" for none.
func (a Address) PasswordFile() string { return a.passwordFile }

// IsServer reports whether an address, as String writes it, is of the same
// server, whoever logs in there and however the connection is encrypted. What
// was noted without an address counts as the same.
func (a Address) IsServer(at string) bool {
	if at == "" || at == a.String() {
		return true
	}
	other, err := Parse(at)
	return err == nil && a.hook == "" && other.hook == "" && other.Engine() == a.Engine() && other.host == a.host
}

// IsProgram reports whether it is a program on this machine: whoever binds one
// can run anything.
func (a Address) IsProgram() bool { return a.Engine() == Exec }

// String is the address without its password.
func (a Address) String() string {
	if a.hook != "" {
		u := url.URL{Scheme: a.scheme, Path: a.hook}
		if parsed, err := url.Parse(a.hook); err == nil && a.Engine() == HTTP {
			u = *parsed
			u.User, u.RawQuery = nil, "" // they may have a password
		}
		return u.String()
	}
	u := url.URL{Scheme: a.scheme, Host: a.host, Path: "/" + a.database}
	if a.user != "" {
		u.User = url.User(a.user)
	}
	query := url.Values{}
	for name, value := range map[string]string{"passwordFile": a.passwordFile, "tls": a.tls, "ca": a.ca} {
		if value != "" {
			query.Set(name, value)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// adminPassword is the administrator's password, out of the file if there is
// one. Line ends behind it, which editors leave, are no part of it.
func (a Address) adminPassword() (string, error) {
	if a.passwordFile == "" {
		return a.password, nil
	}
	f, err := os.Open(a.passwordFile)
	if errors.Is(err, fs.ErrPermission) { // a container's user is seldom the file's owner
		return "", fmt.Errorf("passwordFile: %w for the user with id %d, as whom the emulator runs", err, os.Getuid())
	}
	if err != nil {
		return "", fmt.Errorf("passwordFile: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return "", fmt.Errorf("passwordFile: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// tlsConfig is how connections are encrypted, nil for not at all.
func (a Address) tlsConfig() (*tls.Config, error) {
	if a.tls == "" || a.tls == "false" {
		return nil, nil
	}
	host, _, _ := net.SplitHostPort(a.host)
	c := &tls.Config{ServerName: host, InsecureSkipVerify: a.tls == "skip-verify"}
	if a.ca == "" {
		return c, nil
	}
	text, err := os.ReadFile(a.ca)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("ca: %s has no certificate in PEM", a.ca)
	}
	return c, nil
}
