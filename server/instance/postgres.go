package instance

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"

	"ssmlocal/server/ssm"
)

// PostgreSQL: an account is a role that may log in; one that rests may not.
// From where is pg_hba.conf's business. The password is sent as a verifier, so
// that no log of the server can have it.

type postgresEngine struct {
	address Address
	config  *pgconn.Config
	idle    chan *pgconn.PgConn
	closed  atomic.Bool
	// notGranted has what a server has said of GRANTs without effect, by
	// connection.
	notGranted sync.Map
}

func openPostgres(a Address, encryption *tls.Config) (*postgresEngine, error) {
	c, err := pgconn.ParseConfig("") // the environment has no say: all that counts is set here
	if err != nil {
		return nil, fmt.Errorf("the variables PG… of the environment can't be understood: %w", err)
	}
	host, port, _ := net.SplitHostPort(a.host)
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("the port %s is not a number", port)
	}
	c.Host, c.Port, c.User, c.Database = host, uint16(number), a.user, a.database
	if c.Database == "" {
		c.Database = "postgres"
	}
	c.TLSConfig, c.Fallbacks, c.ConnectTimeout = encryption, nil, Patience
	c.RuntimeParams = map[string]string{"standard_conforming_strings": "on", "application_name": "ssmlocal"} // quote relies on it
	return &postgresEngine{address: a, config: c, idle: make(chan *pgconn.PgConn, mostAtOnce)}, nil
}

func (p *postgresEngine) close() {
	p.closed.Store(true) // from now on connections that come back are closed, too
	p.closeIdle()
}

func (p *postgresEngine) closeIdle() {
	for {
		select {
		case c := <-p.idle:
			closeConn(c)
		default:
			return
		}
	}
}

func closeConn(c *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	_ = c.Close(ctx)
}

// with runs do on a connection to the database of the address.
func (p *postgresEngine) with(ctx context.Context, do func(*pgconn.PgConn) error) error {
	for {
		select {
		case c := <-p.idle:
			if c.IsClosed() || c.Ping(ctx) != nil { // the server may have been restarted
				closeConn(c)
				continue
			}
			return p.use(c, do)
		default:
			c, err := p.connect(ctx, p.config.Database)
			if err != nil {
				return err
			}
			return p.use(c, do)
		}
	}
}

func (p *postgresEngine) use(c *pgconn.PgConn, do func(*pgconn.PgConn) error) error {
	err := do(c)
	if !c.IsClosed() {
		select {
		case p.idle <- c:
			if p.closed.Load() {
				p.closeIdle()
			}
			return err
		default:
		}
	}
	closeConn(c)
	return err
}

// in runs do on a connection to another database.
func (p *postgresEngine) in(ctx context.Context, database string, do func(*pgconn.PgConn) error) error {
	if database == "" || database == p.config.Database {
		return p.with(ctx, do)
	}
	c, err := p.connect(ctx, database)
	if err != nil {
		return err
	}
	defer closeConn(c)
	return do(c)
}

// connect opens a connection as the administrator, whose password may be
// changed in its file.
func (p *postgresEngine) connect(ctx context.Context, database string) (*pgconn.PgConn, error) {
	config := p.config.Copy()
	config.Database = database
	var err error
	if config.Password, err = p.address.adminPassword(); err != nil {
		return nil, err
	}
	config.OnNotice = func(c *pgconn.PgConn, n *pgconn.Notice) {
		if n.Code == warnNotGranted {
			p.notGranted.Store(c, n.Message)
		}
	}
	return pgconn.ConnectConfig(ctx, config)
}

// grant runs GRANTs. What the administrator can't give is only a warning of the
// server, and an error here.
func (p *postgresEngine) grant(ctx context.Context, c *pgconn.PgConn, statements []string) error {
	p.notGranted.Delete(c)
	_, err := rows(ctx, c, strings.Join(statements, "; "))
	if text, refused := p.notGranted.LoadAndDelete(c); refused && err == nil {
		err = fmt.Errorf("the administrator can't give all of these privileges: %s", text)
	}
	return err
}

// rows runs a query and returns its first column.
func rows(ctx context.Context, c *pgconn.PgConn, query string) (all []string, err error) {
	results, err := c.Exec(ctx, query).ReadAll()
	for _, r := range results {
		for _, row := range r.Rows {
			all = append(all, string(row[0]))
		}
	}
	return all, err
}

// The codes of PostgreSQL's errors.
const (
	warnNotGranted   = "01007" // also if only some of them are not
	errRoleExists    = "42710"
	errRoleMissing   = "42704"
	errNoHBA         = "28000" // pg_hba.conf has no line that lets this host in
	errNoPrivilege   = "42501" // logged in, and may not use the database
	errInternal      = "XX000" // also "tuple concurrently updated"
	errTooManyOnRole = "53300"
)

func postgresCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// away: classes 08 connection, 40 rollback, 53 resources, 57P administrator,
// 25006 read-only.
func (p *postgresEngine) away(err error) bool {
	code := postgresCode(err)
	return code == errInternal || code == "25006" || slices.ContainsFunc([]string{"08", "40", "53", "57P"}, func(class string) bool {
		return strings.HasPrefix(code, class)
	})
}

func (p *postgresEngine) version(ctx context.Context) (version string, err error) {
	err = p.with(ctx, func(c *pgconn.PgConn) error {
		all, err := rows(ctx, c, "SHOW server_version")
		version = strings.Join(all, "")
		return err
	})
	return version, err
}

func (p *postgresEngine) accounts(ctx context.Context) (names []string, err error) {
	err = p.with(ctx, func(c *pgconn.PgConn) (err error) {
		names, err = rows(ctx, c, "SELECT rolname FROM pg_roles WHERE rolname LIKE "+mark+" ESCAPE '#'")
		return err
	})
	return names, err
}

func (p *postgresEngine) create(ctx context.Context, a Account) error {
	err := p.with(ctx, func(c *pgconn.PgConn) error {
		options, err := roleOptions(ctx, c, a)
		if err != nil {
			return err
		}
		_, err = rows(ctx, c, "CREATE ROLE "+identifier(a.Name)+options)
		if postgresCode(err) == errRoleExists && a.New {
			return ErrTaken
		}
		if postgresCode(err) == errRoleExists {
			_, err = rows(ctx, c, "ALTER ROLE "+identifier(a.Name)+options)
		}
		return err
	})
	if err != nil {
		return err
	}
	// All grants of one database in one go.
	grants := map[string][]string{}
	for _, u := range a.Privileges {
		grant, err := postgresGrant(u)
		if err != nil {
			return err
		}
		grants[u.Database] = append(grants[u.Database], strings.ReplaceAll(grant, grantee, identifier(a.Name)))
	}
	for database, statements := range grants {
		err := p.in(ctx, database, func(c *pgconn.PgConn) error {
			return p.grant(ctx, c, statements)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *postgresEngine) setPassword(ctx context.Context, a Account) error {
	err := p.with(ctx, func(c *pgconn.PgConn) error {
		options, err := roleOptions(ctx, c, a)
		if err == nil {
			_, err = rows(ctx, c, "ALTER ROLE "+identifier(a.Name)+options)
		}
		return err
	})
	if postgresCode(err) == errRoleMissing {
		return ErrNoAccount
	}
	return err
}

func (p *postgresEngine) login(ctx context.Context, a Account) error {
	config := p.config.Copy()
	config.User, config.Password = a.Name, a.Password
	c, err := pgconn.ConnectConfig(ctx, config)
	switch postgresCode(err) {
	case errNoPrivilege:
		return nil
	case errNoHBA:
		return ErrNotChecked
	}
	if err == nil {
		closeConn(c)
	}
	return err
}

// drop removes a role. What it owns in any database, tables that an application
// has made for one, goes to the administrator and is kept.
func (p *postgresEngine) drop(ctx context.Context, name string) error {
	role := identifier(name)
	return p.with(ctx, func(c *pgconn.PgConn) error {
		there, err := rows(ctx, c, "SELECT 1 FROM pg_roles WHERE rolname = "+quote(name))
		if err != nil || len(there) == 0 {
			return err
		}
		databases, err := rows(ctx, c, `SELECT DISTINCT datname FROM pg_shdepend d
			JOIN pg_roles r ON r.oid = d.refobjid JOIN pg_database b ON b.oid = d.dbid OR b.oid = d.objid
			WHERE b.datallowconn AND d.refclassid = 'pg_authid'::regclass AND rolname = `+quote(name))
		if err != nil {
			return err
		}
		_, _ = rows(ctx, c, "GRANT "+role+" TO CURRENT_USER") // needed unless it is a superuser
		for _, database := range databases {
			err := p.in(ctx, database, func(c *pgconn.PgConn) error {
				_, err := rows(ctx, c, "REASSIGN OWNED BY "+role+" TO CURRENT_USER; DROP OWNED BY "+role)
				return err
			})
			if err != nil {
				return err
			}
		}
		_, err = rows(ctx, c, "DROP ROLE IF EXISTS "+role)
		return err
	})
}

// roleOptions are those of CREATE ROLE and ALTER ROLE.
func roleOptions(ctx context.Context, c *pgconn.PgConn, a Account) (string, error) {
	if a.Password == "" {
		return " NOLOGIN PASSWORD NULL", nil
	}
	how, err := rows(ctx, c, "SHOW password_encryption")
	if err != nil {
		return "", err
	}
	verifier := md5Verifier(a)
	if slices.Contains(how, "scram-sha-256") {
		verifier = scramVerifier(a.Password)
	}
	return " LOGIN VALID UNTIL 'infinity' PASSWORD " + quote(verifier), nil
}

// md5Verifier is what servers before 14 keep, by default.
func md5Verifier(a Account) string {
	sum := md5.Sum([]byte(a.Password + a.Name))
	return "md5" + hex.EncodeToString(sum[:])
}

// scramVerifier is what the server keeps of a password (RFC 5803, PostgreSQL's
// chapter 54.3).
func scramVerifier(password string) string {
	const iterations = 4096
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails
	salted, _ := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	keyed := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(keyed(salted, "Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, encode(salt), encode(stored[:]), encode(keyed(salted, "Server Key")))
}

func identifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// grantee stands for the account in what postgresGrant returns: no statement
// can have it otherwise.
const grantee = "\x00"

// attributes are what a role has by itself, and not by being granted another
// role.
var attributes = []string{"CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS", "SUPERUSER", "INHERIT"}

// postgresGrant is the statement that gives privileges, run in the database
// that they are for.
func postgresGrant(u ssm.PrivilegeUnit) (string, error) {
	schema := u.Schema
	if schema == "" {
		schema = "public"
	}
	of := func(name string) string { return identifier(schema) + "." + identifier(name) }
	privileges, err := sqlWords(u)
	if err != nil {
		return "", err
	}
	words, on := strings.Join(privileges, ", "), ""
	switch u.PrivilegeName {
	case "GlobalPrivileges":
		var statements []string
		for _, p := range privileges {
			if slices.Contains(attributes, strings.ToUpper(p)) {
				statements = append(statements, "ALTER ROLE "+grantee+" "+strings.ToUpper(p))
			} else { // a role such as pg_read_all_data
				statements = append(statements, "GRANT "+identifier(p)+" TO "+grantee)
			}
		}
		return strings.Join(statements, "; "), nil
	case "DatabasePrivileges":
		on = "DATABASE " + identifier(u.Database)
	case "SchemaPrivileges":
		on = "SCHEMA " + identifier(schema)
	case "TablePrivileges":
		on = "TABLE " + of(u.Table)
	case "ColumnPrivileges":
		on = "TABLE " + of(u.Table)
		words = strings.Join(privileges, " ("+identifier(u.Column)+"), ") + " (" + identifier(u.Column) + ")"
	case "ViewPrivileges":
		on = "TABLE " + of(u.View)
	case "MatviewPrivileges":
		on = "TABLE " + of(u.Matview)
	case "SequencePrivileges":
		on = "SEQUENCE " + of(u.Sequence)
	case "FunctionPrivileges":
		on = "FUNCTION " + of(u.Function)
	case "ProcedurePrivileges":
		on = "PROCEDURE " + of(u.Procedure)
	case "TypePrivileges":
		on = "TYPE " + of(u.Type)
	default:
		return "", fmt.Errorf("PostgreSQL has no %s", u.PrivilegeName)
	}
	return "GRANT " + words + " ON " + on + " TO " + grantee, nil
}
