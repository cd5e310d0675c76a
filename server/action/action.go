// Package action is what the service does: one literal for each action of the API, with its rate, its parameters, its
// answer, what it checks and what it does. Everything else (dispatch, rates, the README's table, the comparison with
// the vendor's specification) reads the table of these literals.
//
// Numbers such as 1078/38656 are pages of the vendor's documentation: tencentcloud.com/document/product/1078/38656,
// and cloud.tencent.com/document/api/1140/40529 for the Chinese site, which is ahead.
package action

import (
	"io"
	"reflect"
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

// A Call is what an action knows of the request that it serves, besides its parameters.
type Call struct {
	Owner       ssm.Owner
	Now         time.Time // virtual time, one for the whole call
	Random      io.Reader // seeded; safe for concurrent use
	SecretLimit uint64    // how many secrets the owner may have
	Account     ssm.AccountData

	Tasks Tasks

	// Due is set by an action that made something due at a later time: the earliest such.
	Due time.Time

	tx     *store.Tx
	dryRun bool
	keys   *ssm.KeyPair // made by CreateSSHKeyPairSecret's Prepare

	accountOf func(uin uint64) ssm.AccountData // for what is done without a caller
}

// Tasks says how a task that begins now goes.
type Tasks interface {
	Pace() ssm.Pace
	// Fail tells whether it shall fail; it is asked once for each task.
	Fail() bool
}

// due notes that something is due at a time.
func (c *Call) due(at time.Time) {
	if c.Due.IsZero() || at.Before(c.Due) {
		c.Due = at
	}
}

// An Action is one row of the table.
type Action struct {
	Name string
	// Rate is the documented number of calls a second (1078/38633, and each action's page).
	Rate int
	// Request and Reply are the struct types of the parameters and of the answer without RequestId.
	Request, Reply reflect.Type

	unpaid     bool
	secretName []int // the field of Request that names the secret, nil if there is none
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

// Run checks the parameters and does the action in one transaction of its own.
func (a *Action) Run(db *store.DB, c *Call, request any) (reply any, err error) {
	if err := c.Account.CheckPurchase(); err != nil && !a.unpaid {
		return nil, err
	}
	if err := a.check(request); err != nil {
		return nil, err
	}
	return a.run(db, c, request)
}

// spec is an action as its file writes it down: Q are its parameters, R is its answer.
type spec[Q, R any] struct {
	Name string
	Rate int
	// Unpaid actions work for accounts that have not bought the service: their documented codes lack NotPurchased.
	Unpaid bool
	Check  func(*Q) error
	// Prepare does what takes time before the transaction, where it holds up nobody.
	Prepare func(*Call, *Q) error
	Do      func(*Call, *Q) (*R, error)
}

// query is an action that reads: bbolt would refuse a write in it.
func query[Q, R any](s spec[Q, R]) *Action { return row(s, (*store.DB).View) }

// command is an action that writes.
func command[Q, R any](s spec[Q, R]) *Action { return row(s, (*store.DB).Update) }

func row[Q, R any](s spec[Q, R], transact func(*store.DB, func(*store.Tx) error) error) *Action {
	a := &Action{
		Name: s.Name, Rate: s.Rate, unpaid: s.Unpaid,
		Request: reflect.TypeFor[Q](), Reply: reflect.TypeFor[R](),
	}
	if f, ok := a.Request.FieldByName("SecretName"); ok {
		a.secretName = f.Index
	}
	a.check = func(request any) error {
		if s.Check == nil {
			return nil
		}
		return s.Check(request.(*Q))
	}
	a.run = func(db *store.DB, c *Call, request any) (any, error) {
		if s.Prepare != nil {
			if err := s.Prepare(c, request.(*Q)); err != nil {
				return nil, err
			}
		}
		var reply *R
		err := transact(db, func(tx *store.Tx) (err error) {
			c.tx = tx
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

// DryRunnable is embedded in the parameters of the actions whose documented codes list DryRunOperation. With it, everything
// is done and taken back, and the answer is that code, or the error that would have come.
type DryRunnable struct{ DryRun bool }

type dryRunner interface{ dryRun() bool }

func (d *DryRunnable) dryRun() bool { return d.DryRun }

// All returns the table: every action of the API's version, in alphabetical order.
func All() []*Action {
	return []*Action{
		createProductSecret, createSSHKeyPairSecret, createSecret, deleteSecret, deleteSecretVersion,
		describeAsyncRequestInfo, describeRotationDetail, describeRotationHistory, describeSecret,
		describeSupportedProducts, disableSecret, enableSecret, getRegions, getSSHKeyPairValue, getSecretValue,
		getServiceStatus, listSecretVersionIds, listSecrets, putSecretValue, restoreSecret, rotateProductSecret,
		updateDescription, updateRotationStatus, updateSecret,
	}
}
