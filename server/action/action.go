// Package action has the actions of the API: one literal for each, with its
// rate, its parameters, its answer, what it checks and what it does. Everything
// else (dispatch, rates, the documents' table, the comparison with the vendor's
// specification) reads the table of these literals.
//
// Numbers such as 1078/38656 are pages of the vendor's documentation:
// tencentcloud.com/document/product/1078/38656, and
// cloud.tencent.com/document/api/1140/40529 for the Chinese site, which is
// ahead.
package action

import (
	"cmp"
	"context"
	"reflect"
	"slices"
	"time"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Service and Version are what requests for these actions name.
const (
	Service = "ssm"
	Version = "2019-09-23"
)

// A Call is a transaction with the request that it serves: who calls, and what
// applies to them.
type Call struct {
	Tx

	Generations *Generations
	Identity    Identity
	Account     ssm.AccountData
	SecretLimit uint64    // how many secrets the owner may have
	Wall        time.Time // of the call
	Tasks       Tasks
	Issue       Issuer // for actions that make temporary keys
	// Instances are the real databases behind instances; nil for none.
	Instances Instances
	// Context ends with the request, for what waits for a database.
	Context context.Context
	// Denied reports whether the caller is explicitly denied the action with a
	// resource; nil for never.
	Denied func(resource string) bool

	// Checked is set once the parameters were found to be in order.
	Checked bool
	// Changes is set once a real database is to be changed because of the call.
	Changes bool
	// Events are what has become of secrets because of the call.
	Events []Event

	dryRun bool
	login  ssm.Login    // of the account that CreateSecret's Prepare has made
	keys   *ssm.KeyPair // made by CreateSSHKeyPairSecret's Prepare

	accountOf func(uin uint64) ssm.AccountData // for what is done without a caller
}

// Tasks says how a task that begins now goes.
type Tasks interface {
	Pace() ssm.Pace
	// Fail reports whether it must fail; it is called once for each task.
	Fail() bool
}

// An Action is one row of the table.
type Action struct {
	Name    string
	Service string // ssm, or that of another set
	// Rate is the documented number of calls per second (1078/38633, and each
	// action's page).
	Rate int
	// Request and Reply are the struct types of the parameters and of the
	// answer without RequestId.
	Request, Reply reflect.Type

	// Unsigned actions may come without a signature, with an Authorization of
	// SKIP.
	Unsigned bool
	// ChangesAccount is set for actions that change Call.Account.
	ChangesAccount bool
	// Issues is set for actions that make temporary keys.
	Issues bool
	// Writes is set for actions that change the state.
	Writes bool

	unpaid     bool
	secretName []int // the field of Request that names the secret, nil if there is none
	secret     func(c *Call, request any) (string, error)
	resource   func(request any) string
	tagged     func(request any) []string
	values     [][]int // the fields of Request that are secrets' values
	check      func(request any) error
	run        func(db *store.DB, c *Call, request any) (reply any, err error)
}

// NewRequest returns a pointer to an empty struct of the action's parameters.
func (a *Action) NewRequest() any { return reflect.New(a.Request).Interface() }

// SecretName returns the secret that a request names, "" if none.
func (a *Action) SecretName(request any) string {
	if a.secretName == nil {
		return ""
	}
	return reflect.ValueOf(request).Elem().FieldByIndex(a.secretName).String()
}

// Finds reports whether a request of the action may name its secret by
// something other than its name.
func (a *Action) Finds() bool { return a.secret != nil }

// FindSecret returns the name of the secret that a request is about, "" if
// none, even if the request doesn't give the name. If there is no such secret,
// the error is the action's own.
func (a *Action) FindSecret(db *store.DB, c *Call, request any) (name string, err error) {
	if a.secret == nil {
		return a.SecretName(request), nil
	}
	err = db.View(func(tx *store.Tx) error {
		c.tx = tx
		name, err = a.secret(c, request)
		return err
	})
	return name, err
}

// Resource returns CAM's name of what a request is about, if that is not a
// secret; else "".
func (a *Action) Resource(request any) string {
	if a.resource == nil {
		return ""
	}
	return a.resource(request)
}

// Tagged returns the secrets whose tags a request of the tag service is about,
// as CAM names them. Resources that are not secrets of the caller's account are
// left out.
func (a *Action) Tagged(c *Call, request any) (resources []string) {
	if a.tagged == nil {
		return nil
	}
	for _, text := range a.tagged(request) {
		if r, err := c.parseResource(text); err == nil {
			resources = append(resources, ssm.NewOwner(c.Owner.Uin, r.region).Resource(r.name))
		}
	}
	return resources
}

// Operation is the action as CAM names it, such as ssm:GetSecretValue.
func (a *Action) Operation() string { return a.Service + ":" + a.Name }

// values are the parameters that are secrets' values, in whatever action has
// them.
var values = []string{"SecretString", "SecretBinary", "WebIdentityToken", "TokenCode", "ExternalId"}

// IsValue reports whether a parameter of that name is a secret's value.
func IsValue(parameter string) bool { return slices.Contains(values, parameter) }

// Redact puts *** in place of the values in an action's parameters, and returns
// how many bytes they had. The parameters must not be needed any more.
func Redact(a *Action, request any) (bytes int) {
	for _, index := range a.values {
		f := reflect.ValueOf(request).Elem().FieldByIndex(index)
		if n := f.Len(); n > 0 {
			bytes += n
			f.SetString("***")
		}
	}
	return bytes
}

// Check checks the parameters alone.
func (a *Action) Check(request any) error { return a.check(request) }

// Run checks the parameters and does the action in one transaction of its own.
func (a *Action) Run(db *store.DB, c *Call, request any) (reply any, err error) {
	if err := c.Account.CheckPurchase(); err != nil && !a.unpaid {
		return nil, err
	}
	if err := a.check(request); err != nil {
		return nil, err
	}
	c.Checked = true
	return a.run(db, c, request)
}

// spec is an action as its file writes it down: Q are its parameters, R is its
// answer.
type spec[Q, R any] struct {
	Name    string
	Service string // Service if ""
	Rate    int
	// Unpaid actions work for accounts that have not bought the service: their
	// documented codes lack NotPurchased.
	Unpaid bool
	// Unsigned actions may come without a signature.
	Unsigned bool
	// ChangesAccount is for actions that change Call.Account.
	ChangesAccount bool
	Check          func(*Q) error
	// Secret finds the secret of a request that need not name it.
	Secret func(*Call, *Q) (string, error)
	// Resource returns CAM's name of what a request is about, if that is not a
	// secret.
	Resource func(*Q) string
	// Tagged are the resources whose tags a request is about, as the tag
	// service names them.
	Tagged func(*Q) []string
	// Prepare does what takes time before the transaction, so that nobody has
	// to wait.
	Prepare func(*store.DB, *Call, *Q) error
	Do      func(*Call, *Q) (*R, error)
}

// query is an action that reads: bbolt would refuse a write in it.
func query[Q, R any](s spec[Q, R]) *Action { return row(s, (*store.DB).View) }

// command is an action that writes.
func command[Q, R any](s spec[Q, R]) *Action {
	a := row(s, (*store.DB).Update)
	a.Writes = true
	return a
}

func row[Q, R any](s spec[Q, R], transact func(*store.DB, func(*store.Tx) error) error) *Action {
	a := &Action{
		Name: s.Name, Service: cmp.Or(s.Service, Service), Rate: s.Rate, unpaid: s.Unpaid, Unsigned: s.Unsigned, ChangesAccount: s.ChangesAccount,
		Issues: reflect.TypeFor[R]() == reflect.TypeFor[CredentialsReply](), Request: reflect.TypeFor[Q](), Reply: reflect.TypeFor[R](),
	}
	if f, ok := a.Request.FieldByName("SecretName"); ok {
		a.secretName = f.Index
	}
	for _, name := range values {
		if f, ok := a.Request.FieldByName(name); ok {
			a.values = append(a.values, f.Index)
		}
	}
	if s.Secret != nil {
		a.secret = func(c *Call, request any) (string, error) { return s.Secret(c, request.(*Q)) }
	}
	if s.Resource != nil {
		a.resource = func(request any) string { return s.Resource(request.(*Q)) }
	}
	if s.Tagged != nil {
		a.tagged = func(request any) []string { return s.Tagged(request.(*Q)) }
	}
	a.check = func(request any) error {
		if s.Check == nil {
			return nil
		}
		return s.Check(request.(*Q))
	}
	a.run = func(db *store.DB, c *Call, request any) (any, error) {
		if s.Prepare != nil {
			if err := s.Prepare(db, c, request.(*Q)); err != nil {
				return nil, err
			}
		}
		var reply *R
		account := c.Account
		err := transact(db, func(tx *store.Tx) (err error) {
			// It may run twice: nothing of a first time may be left.
			c.tx, c.Account, c.Due, c.Changes, c.Events = tx, account, time.Time{}, false, nil
			d, ok := request.(dryRunner)
			c.dryRun = ok && d.dryRun()
			if reply, err = s.Do(c, request.(*Q)); err != nil {
				return err
			}
			if c.dryRun {
				return apierr.DryRunOperation.With() // an error: the transaction is taken back
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		return reply, nil
	}
	return a
}

// DryRunnable is embedded in the parameters of the actions whose documented
// codes list DryRunOperation. With DryRun, everything is done and rolled back,
// and the answer is that code, or the error that the call would have got.
type DryRunnable struct{ DryRun bool }

type dryRunner interface{ dryRun() bool }

func (d *DryRunnable) dryRun() bool { return d.DryRun }
