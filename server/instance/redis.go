package instance

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"ssmlocal/server/ssm"
)

// Redis from 6: an account is an ACL user; one that rests is off. Users are
// kept over a restart only where the server has a file for them.

type redisEngine struct {
	address string
	options []redis.DialOption
	pool    *redis.Pool
}

// The driver is redigo: go-redis, which is better known, has a method for each
// command of Redis and would make the binary 8 MB larger.
func openRedis(a Address, encryption *tls.Config) *redisEngine {
	number, _ := strconv.Atoi(a.database)
	dial := (&net.Dialer{}).DialContext
	if encryption != nil { // the driver's own handshake does not end with the context
		dial = (&tls.Dialer{Config: encryption}).DialContext
	}
	r := &redisEngine{address: a.host, options: []redis.DialOption{
		redis.DialContextFunc(dial), redis.DialReadTimeout(Patience), redis.DialWriteTimeout(Patience),
	}}
	r.pool = &redis.Pool{
		MaxIdle: mostAtOnce, IdleTimeout: time.Minute,
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			password, err := a.adminPassword() // it may be changed in its file
			if err != nil {
				return nil, err
			}
			admin := []redis.DialOption{redis.DialUsername(a.user), redis.DialPassword(password), redis.DialDatabase(number)}
			return redis.DialContext(ctx, "tcp", r.address, append(admin, r.options...)...)
		},
	}
	return r
}

func (r *redisEngine) close() { _ = r.pool.Close() }

// do sends one command as the administrator. A connection that the server has
// closed in the meantime is replaced once.
func (r *redisEngine) do(ctx context.Context, command string, args ...any) (reply any, err error) {
	for range 2 {
		c, failed := r.pool.GetContext(ctx)
		if failed != nil {
			return nil, failed
		}
		reply, err = redis.DoContext(c, ctx, command, args...)
		broken := c.Err() != nil
		_ = c.Close()
		if !broken || ctx.Err() != nil {
			break
		}
	}
	return reply, err
}

func (r *redisEngine) away(err error) bool {
	return slices.ContainsFunc(
		[]string{"LOADING", "BUSY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "ERR max number of clients", "OOM"},
		func(word string) bool { return strings.HasPrefix(err.Error(), word) },
	)
}

func (r *redisEngine) version(ctx context.Context) (string, error) {
	info, err := redis.String(r.do(ctx, "INFO", "server"))
	for line := range strings.SplitSeq(info, "\r\n") {
		if version, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return version, err
		}
	}
	return "", err
}

func (r *redisEngine) accounts(ctx context.Context) ([]string, error) {
	all, err := redis.Strings(r.do(ctx, "ACL", "USERS"))
	return slices.DeleteFunc(all, func(name string) bool { return !strings.Contains(name, ssm.AccountMark) }), err
}

func (r *redisEngine) create(ctx context.Context, a Account) error {
	rules := []string{"reset", "~*", "&*"}
	for _, u := range a.Privileges {
		some, err := redisRules(u)
		if err != nil {
			return err
		}
		rules = append(rules, some...)
	}
	return r.set(ctx, a, append(rules, passwordRules(a)...))
}

func (r *redisEngine) setPassword(ctx context.Context, a Account) error {
	// ACL SETUSER would make one that is not there, without any privileges.
	user, err := r.do(ctx, "ACL", "GETUSER", a.Name)
	switch {
	case err != nil:
		return err
	case user == nil:
		return ErrNoAccount
	}
	return r.set(ctx, a, passwordRules(a))
}

func passwordRules(a Account) []string {
	if a.Password == "" {
		return []string{"resetpass", "off"}
	}
	hash := sha256.Sum256([]byte(a.Password)) // no log of the server can have the password then
	return []string{"resetpass", "#" + hex.EncodeToString(hash[:]), "on"}
}

// set changes an account, and has the server keep it.
func (r *redisEngine) set(ctx context.Context, a Account, rules []string) error {
	args := []any{"SETUSER", a.Name}
	for _, rule := range rules {
		args = append(args, rule)
	}
	if _, err := r.do(ctx, "ACL", args...); err != nil {
		return err
	}
	return r.keep(ctx)
}

// keep has the accounts written to the server's ACL file, or where it has none
// into its configuration. A server that has neither forgets them when it is
// restarted: they are put back when they are found missing.
func (r *redisEngine) keep(ctx context.Context) error {
	_, err := r.do(ctx, "ACL", "SAVE")
	if err != nil && strings.HasPrefix(err.Error(), "ERR") {
		_, err = r.do(ctx, "CONFIG", "REWRITE")
	}
	var refused redis.Error
	if errors.As(err, &refused) && !r.away(err) {
		return nil
	}
	return err
}

func (r *redisEngine) login(ctx context.Context, a Account) error {
	c, err := redis.DialContext(ctx, "tcp", r.address, r.options...)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = redis.DoContext(c, ctx, "AUTH", a.Name, a.Password)
	return err
}

func (r *redisEngine) drop(ctx context.Context, name string) error {
	if _, err := r.do(ctx, "ACL", "DELUSER", name); err != nil {
		return err
	}
	return r.keep(ctx)
}

// redisRules are the ACL rules of privileges: r for reading, rw for all but
// administration, or Redis's own words such as +@read and -keys.
func redisRules(u ssm.PrivilegeUnit) (rules []string, err error) {
	if u.PrivilegeName != "GlobalPrivileges" {
		return nil, fmt.Errorf("there are no %s in Redis, only GlobalPrivileges", u.PrivilegeName)
	}
	for _, p := range u.Privileges {
		switch {
		case p == "r": // without @connection a client could not even PING
			rules = append(rules, "+@connection", "-@admin", "-@dangerous", "+@read")
		case p == "rw":
			rules = append(rules, "+@all", "-@admin", "-@dangerous")
		case strings.HasPrefix(p, "+") || strings.HasPrefix(p, "-"):
			rules = append(rules, p)
		default:
			return nil, fmt.Errorf("the privilege %s is none of Redis: r, rw, or words such as +@read", p)
		}
	}
	return rules, nil
}
