// Package instance makes and changes accounts in real databases: MySQL and
// MariaDB, PostgreSQL, Redis, and by hooks whatever else. Each engine is a file
// of its own behind one small interface; nothing else of the emulator knows an
// engine.
//
// The promise: every call ends within Patience, whatever the database does;
// only accounts with ssm.AccountMark in their name are ever touched; no error
// has a password in it.
package instance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"ssmlocal/server/ssm"
)

// The engines.
const (
	MySQL    = "mysql" // also MariaDB
	Postgres = "postgres"
	Redis    = "redis"
	Exec     = "exec" // a program: see hook.go
	HTTP     = "http" // a service: see hook.go
)

// Patience is how long one call takes at most.
const Patience = 5 * time.Second

// mostAtOnce is how many calls a database gets at the same time.
const mostAtOnce = 16

// An Account is a database account with what it shall have.
type Account struct {
	Name       string
	Password   string   // "" for an account that rests: nobody can log in with it
	Hosts      []string // from where it may log in; MySQL alone knows them
	Privileges []ssm.PrivilegeUnit
	// New is set if nobody may have an account of that name yet: Create's error
	// is ErrTaken then.
	New bool
}

// ErrNoAccount is SetPassword's error where there is no such account.
var ErrNoAccount = errors.New("the account is not there")

// ErrTaken is Create's error where a new account is there already.
var ErrTaken = errors.New("the database has an account of that name")

// ErrNotChecked is Login's error where the database doesn't let the emulator
// try: the account may log in from other hosts only.
var ErrNotChecked = errors.New("the account may not log in from here, so that its password can't be tried")

// engine is what a kind of database can do. All of it may be called at the same
// time.
type engine interface {
	version(ctx context.Context) (string, error)
	// accounts returns the names of all accounts with the mark.
	accounts(ctx context.Context) ([]string, error)
	// create makes an account unless it is there, and gives it what it shall
	// have.
	create(ctx context.Context, a Account) error
	setPassword(ctx context.Context, a Account) error
	// login opens a connection of its own as an account.
	login(ctx context.Context, a Account) error
	// drop removes an account unless it is gone.
	drop(ctx context.Context, name string) error
	// away reports whether an error says that the database can't work now, so
	// that it is worth trying again.
	away(err error) bool
	close()
}

// An Instance is a database that somebody has bound.
type Instance struct {
	Address Address

	engine engine
	busy   chan struct{} // holds a token for each call that is under way
	// granting holds a token for what gives privileges: PostgreSQL refuses to
	// change one catalog row twice at the same time.
	granting chan struct{}
}

// Open prepares to use a database. It doesn't connect yet; the error is about
// files that the address names.
func Open(a Address) (*Instance, error) {
	if _, err := a.adminPassword(); err != nil {
		return nil, err
	}
	encryption, err := a.tlsConfig()
	if err != nil {
		return nil, err
	}
	i := &Instance{Address: a, busy: make(chan struct{}, mostAtOnce), granting: make(chan struct{}, 1)}
	switch a.Engine() {
	case Exec, HTTP:
		i.engine = openHook(a, encryption)
	case MySQL:
		i.engine, err = openMySQL(a, encryption)
	case Postgres:
		i.engine, err = openPostgres(a, encryption)
	default:
		i.engine = openRedis(a, encryption)
	}
	return i, err
}

// Close ends the connections.
func (i *Instance) Close() { i.engine.close() }

// call makes one call of the engine, for as long as Patience allows. Its turn
// may take longer to come: that is not the database's fault.
func (i *Instance) call(ctx context.Context, a Account, do func(context.Context) error) error {
	return i.inTurn(ctx, i.busy, func() error {
		ctx, cancel := context.WithTimeout(ctx, Patience)
		defer cancel()
		return i.explain(do(ctx), a)
	})
}

// inTurn runs do once there is room for its token.
func (i *Instance) inTurn(ctx context.Context, tokens chan struct{}, do func() error) error {
	select {
	case tokens <- struct{}{}:
		defer func() { <-tokens }()
		return do()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Error is an error of a database.
type Error struct {
	// Away is set if the database can't work now, so that it is worth trying
	// again.
	Away bool

	text string
	err  error
}

// Error is what the driver says, without passwords.
func (e *Error) Error() string { return e.text }

// Unwrap returns the driver's error.
func (e *Error) Unwrap() error { return e.err }

// explain makes an Error of a driver's error: a statement that it quotes may
// have a password.
func (i *Instance) explain(err error, a Account) error {
	if err == nil || errors.Is(err, ErrNoAccount) || errors.Is(err, ErrTaken) || errors.Is(err, ErrNotChecked) {
		return err
	}
	text := err.Error()
	if errors.Is(err, context.DeadlineExceeded) {
		text = fmt.Sprintf("no answer from %s within %v", cmp.Or(i.Address.host, i.Address.String()), Patience)
	}
	if a.Password != "" { // a statement that the error quotes may have it; the administrator's is in none
		for _, written := range []string{quote(a.Password), a.Password} {
			text = strings.ReplaceAll(text, written, "***")
		}
	}
	return &Error{Away: isAway(err) || i.engine.away(err), text: text, err: err}
}

// isAway reports whether an error is one of the network.
func isAway(err error) bool {
	var network net.Error
	var operation *net.OpError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &network) || errors.As(err, &operation) ||
		strings.HasSuffix(err.Error(), "EOF") || strings.Contains(err.Error(), "connection refused") ||
		strings.HasSuffix(err.Error(), "database is closed") // the instance was bound anew meanwhile
}

// IsAway reports whether an error says that the database can't work now.
func IsAway(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Away
}

// Version asks the database for its version: whether it can be reached.
func (i *Instance) Version(ctx context.Context) (version string, err error) {
	err = i.call(ctx, Account{}, func(ctx context.Context) (err error) {
		version, err = i.engine.version(ctx)
		return err
	})
	return version, err
}

// Accounts returns the names of all accounts with the mark, whoever has made
// them.
func (i *Instance) Accounts(ctx context.Context) (names []string, err error) {
	err = i.call(ctx, Account{}, func(ctx context.Context) (err error) {
		names, err = i.engine.accounts(ctx)
		return err
	})
	return names, err
}

// Create makes an account unless it is there, and gives it its password and its
// privileges.
func (i *Instance) Create(ctx context.Context, a Account) error {
	if err := Touchable(a.Name); err != nil {
		return err
	}
	a.Hosts = distinct(a.Hosts)
	return i.inTurn(ctx, i.granting, func() error {
		return i.call(ctx, a, func(ctx context.Context) error { return i.engine.create(ctx, a) })
	})
}

// SetPassword changes the password of an account. The error is ErrNoAccount if
// there is none.
func (i *Instance) SetPassword(ctx context.Context, a Account) error {
	if err := Touchable(a.Name); err != nil {
		return err
	}
	a.Hosts = distinct(a.Hosts)
	return i.call(ctx, a, func(ctx context.Context) error { return i.engine.setPassword(ctx, a) })
}

// Login logs in as an account, on a connection of its own, and out again.
func (i *Instance) Login(ctx context.Context, a Account) error {
	return i.call(ctx, a, func(ctx context.Context) error { return i.engine.login(ctx, a) })
}

// Drop removes an account unless it is gone.
func (i *Instance) Drop(ctx context.Context, name string) error {
	if err := Touchable(name); err != nil {
		return err
	}
	return i.inTurn(ctx, i.granting, func() error {
		return i.call(ctx, Account{}, func(ctx context.Context) error { return i.engine.drop(ctx, name) })
	})
}

// distinct leaves out hosts that are given twice: databases ignore case in host
// names.
func distinct(hosts []string) (out []string) {
	for _, h := range hosts {
		if !slices.ContainsFunc(out, func(o string) bool { return strings.EqualFold(o, h) }) {
			out = append(out, h)
		}
	}
	return out
}

// Lists reports whether the database can say which accounts it has. A hook
// can't.
func (i *Instance) Lists() bool { return i.Address.Engine() != Exec && i.Address.Engine() != HTTP }

// Forgets reports whether the database may lose accounts when it is restarted:
// Redis without a file to keep them in.
func (i *Instance) Forgets() bool { return i.Address.Engine() == Redis }

// Touchable refuses accounts that the emulator can't have made.
func Touchable(name string) error {
	if !strings.Contains(name, ssm.AccountMark) {
		return &Error{text: fmt.Sprintf("the account %s is not one that the service makes (there is no %s in its name), so it is not touched", name, ssm.AccountMark)}
	}
	return nil
}

// CheckPrivileges refuses privileges of levels that an engine doesn't have.
// Which of them there are, the database itself knows.
func CheckPrivileges(engine string, units []ssm.PrivilegeUnit) error {
	for _, u := range units {
		var err error
		switch engine {
		case MySQL:
			_, err = mysqlGrant(u)
		case Postgres:
			_, err = postgresGrant(u)
		case Redis:
			_, err = redisRules(u)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sqlWords are the privileges of a unit as a GRANT has them.
func sqlWords(u ssm.PrivilegeUnit) ([]string, error) {
	for _, p := range u.Privileges {
		if strings.ContainsAny(p, "+-@|") || p == "r" || p == "rw" { // Redis has such
			return nil, fmt.Errorf("%s is not an SQL privilege", p)
		}
	}
	return u.Privileges, nil
}

// quote writes a text as a literal of SQL, where a backslash is a character
// like others.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// mark is the pattern of LIKE for names with the mark; # escapes.
var mark = quote("%" + strings.ReplaceAll(ssm.AccountMark, "_", "#_") + "%")
