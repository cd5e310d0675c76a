package instance

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"ssmlocal/server/ssm"
)

// MySQL from 5.7 and MariaDB from 10.2: an account is a name and a host, and
// Domains are the hosts. An account that rests has a password that nobody
// knows: ACCOUNT LOCK is younger.

type mysqlEngine struct {
	config *mysql.Config
	db     *sql.DB
}

func openMySQL(a Address, encryption *tls.Config) (*mysqlEngine, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.TLS = "tcp", a.host, a.user, a.password, encryption
	c.Timeout, c.ReadTimeout, c.WriteTimeout = Patience, Patience, Patience
	c.Logger = &mysql.NopLogger{}
	c.Params = map[string]string{"sql_mode": "'NO_BACKSLASH_ESCAPES'"} // quote relies on it
	// The password may be changed in its file.
	err := c.Apply(mysql.BeforeConnect(func(_ context.Context, c *mysql.Config) (err error) {
		c.Passwd, err = a.adminPassword()
		return err
	}))
	if err != nil {
		return nil, err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	m := &mysqlEngine{config: c, db: sql.OpenDB(connector)}
	m.db.SetMaxOpenConns(mostAtOnce)
	m.db.SetMaxIdleConns(mostAtOnce)
	m.db.SetConnMaxIdleTime(time.Minute)
	return m, nil
}

func (m *mysqlEngine) close() { _ = m.db.Close() }

// The numbers of MySQL's errors.
const (
	errDenied         = 1045 // access denied, with a password
	errDeniedNoPlugin = 1698
	errHostDenied     = 1130 // this host may not connect at all
	errUserMissing    = 1396 // CREATE, ALTER or DROP USER has failed for an account
)

// mysqlAway are the errors of a server that can't work now: it has too many
// connections, ends, waits for locks, or can only be read.
var mysqlAway = []uint16{1040, 1053, 1158, 1159, 1160, 1161, 1184, 1205, 1213, 1290, 1836, 3100}

func mysqlNumber(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

func (m *mysqlEngine) away(err error) bool {
	return slices.Contains(mysqlAway, mysqlNumber(err)) || errors.Is(err, mysql.ErrInvalidConn)
}

func (m *mysqlEngine) version(ctx context.Context) (version string, err error) {
	err = m.db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	return version, err
}

func (m *mysqlEngine) accounts(ctx context.Context) ([]string, error) {
	return m.texts(ctx, "SELECT DISTINCT User FROM mysql.user WHERE User LIKE "+mark+" ESCAPE '#'")
}

// texts returns the first column of what a query finds.
func (m *mysqlEngine) texts(ctx context.Context, query string) (all []string, err error) {
	rows, err := m.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

func (m *mysqlEngine) create(ctx context.Context, a Account) error {
	users, identified := mysqlUsers(a), mysqlIdentified(a)
	statements := []string{"CREATE USER IF NOT EXISTS " + identified, "ALTER USER " + identified}
	if a.New {
		statements = []string{"CREATE USER " + identified}
	}
	for _, u := range a.Privileges {
		grant, err := mysqlGrant(u)
		if err != nil {
			return err
		}
		statements = append(statements, grant+" TO "+users)
	}
	for _, s := range statements {
		_, err := m.db.ExecContext(ctx, s)
		switch {
		case a.New && mysqlNumber(err) == errUserMissing:
			return ErrTaken
		case err != nil:
			return err
		}
	}
	return nil
}

func (m *mysqlEngine) setPassword(ctx context.Context, a Account) error {
	_, err := m.db.ExecContext(ctx, "ALTER USER "+mysqlIdentified(a))
	if mysqlNumber(err) == errUserMissing {
		return ErrNoAccount
	}
	return err
}

func (m *mysqlEngine) login(ctx context.Context, a Account) error {
	c := m.config.Clone()
	c.User, c.Params = a.Name, nil
	err := c.Apply(mysql.BeforeConnect(func(_ context.Context, c *mysql.Config) error { c.Passwd = a.Password; return nil }))
	if err != nil {
		return err
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return err
	}
	connection, err := connector.Connect(ctx)
	if err == nil {
		return connection.Close()
	}
	if n := mysqlNumber(err); n == errDenied || n == errDeniedNoPlugin || n == errHostDenied {
		here, failed := m.texts(ctx, "SELECT SUBSTRING_INDEX(USER(), '@', -1)")
		switch {
		case failed != nil:
		case !mayLogIn(a.Hosts, append(here, m.ownAddress(ctx)...)):
			return ErrNotChecked
		case m.hasAnonymous(ctx):
			return fmt.Errorf("%w (an account without a name, ''@'localhost' for one, comes before it: drop that, DROP USER ''@'localhost')", err)
		}
	}
	return err
}

// hasAnonymous reports whether the server has accounts without a name, which
// hide all others that have a wider host.
func (m *mysqlEngine) hasAnonymous(ctx context.Context) bool {
	hosts, err := m.texts(ctx, "SELECT Host FROM mysql.user WHERE User = ''")
	return err == nil && len(hosts) > 0
}

// ownAddress is the IP address from which the server is reached, none if that
// is not known. The server matches it, too, also where it knows this host by a
// name.
func (m *mysqlEngine) ownAddress(ctx context.Context) []string {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", m.config.Addr) // which sends nothing
	if err != nil {
		return nil
	}
	defer c.Close()
	host, _, err := net.SplitHostPort(c.LocalAddr().String())
	if err != nil {
		return nil
	}
	return []string{host}
}

// mayLogIn reports whether this host, by one of its names and addresses, is one
// of those that an account names: a pattern, or a network such as
// 10.0.0.0/255.0.0.0.
func mayLogIn(hosts, here []string) bool {
	return len(hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool {
		pattern := strings.NewReplacer("%", ".*", "_", ".").Replace(regexp.QuoteMeta(h))
		return slices.ContainsFunc(here, func(name string) bool {
			is, err := regexp.MatchString("(?i)^"+pattern+"$", name)
			return err == nil && is || inNetwork(h, name)
		})
	})
}

// inNetwork reports whether an address is in a network, as MySQL writes one.
func inNetwork(network, address string) bool {
	base, mask, is := strings.Cut(network, "/")
	ip, at, bits := net.ParseIP(base).To4(), net.ParseIP(address).To4(), net.ParseIP(mask).To4()
	return is && ip != nil && at != nil && bits != nil && ip.Mask(net.IPMask(bits)).Equal(at.Mask(net.IPMask(bits)))
}

func (m *mysqlEngine) drop(ctx context.Context, name string) error {
	hosts, err := m.texts(ctx, "SELECT Host FROM mysql.user WHERE User = "+quote(name))
	if err != nil || len(hosts) == 0 {
		return err
	}
	_, err = m.db.ExecContext(ctx, "DROP USER IF EXISTS "+mysqlUsers(Account{Name: name, Hosts: hosts}))
	return err
}

// mysqlUsers is the account with each of its hosts.
func mysqlUsers(a Account) string { return mysqlEach(a, "") }

// mysqlIdentified is the same, each with the password.
func mysqlIdentified(a Account) string {
	password := a.Password
	if password == "" {
		password = rand.Text() + "-aA1" // nobody knows it; all kinds of characters, for a policy
	}
	return mysqlEach(a, " IDENTIFIED BY "+quote(password))
}

func mysqlEach(a Account, behind string) string {
	hosts := a.Hosts
	if len(hosts) == 0 {
		hosts = []string{"%"}
	}
	var users []string
	for _, host := range hosts {
		users = append(users, quote(a.Name)+"@"+quote(host)+behind)
	}
	return strings.Join(users, ", ")
}

// mysqlGrant is a GRANT without the accounts.
func mysqlGrant(u ssm.PrivilegeUnit) (string, error) {
	name := func(n string) string { return "`" + strings.ReplaceAll(n, "`", "``") + "`" }
	// In a database's name, _ and % stand for any character unless they are
	// escaped.
	database := strings.NewReplacer("_", "\\_", "%", "\\%", "\\", "\\\\").Replace
	privileges, err := sqlWords(u)
	if err != nil {
		return "", err
	}
	words, on := strings.Join(privileges, ", "), ""
	switch u.PrivilegeName {
	case "GlobalPrivileges":
		on = "*.*"
	case "DatabasePrivileges":
		on = name(database(u.Database)) + ".*"
	case "TablePrivileges":
		on = name(u.Database) + "." + name(u.Table)
	case "ColumnPrivileges":
		on = name(u.Database) + "." + name(u.Table)
		words = strings.Join(privileges, " ("+name(u.Column)+"), ") + " (" + name(u.Column) + ")"
	case "ViewPrivileges":
		on = name(u.Database) + "." + name(u.View)
	case "ProcedurePrivileges":
		on = "PROCEDURE " + name(u.Database) + "." + name(u.Procedure)
	case "FunctionPrivileges":
		on = "FUNCTION " + name(u.Database) + "." + name(u.Function)
	default:
		return "", fmt.Errorf("MySQL has no %s", u.PrivilegeName)
	}
	return "GRANT " + words + " ON " + on, nil
}
