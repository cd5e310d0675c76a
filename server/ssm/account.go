package ssm

import (
	"fmt"
	"slices"
	"strconv"

	"ssmlocal/server/apierr"
)

// A ServiceState is the state of an account's purchase of the service, as
// GetServiceStatus numbers it.
type ServiceState uint8

// The states of the service. The zero AccountData has bought it.
const (
	Bought ServiceState = iota
	NotBought
	InArrears
	Released
)

// InvalidType is the state as GetServiceStatus numbers it: 0 not bought, 1
// normal, 2 in arrears, 3 released.
func (s ServiceState) InvalidType() int64 { return [...]int64{1, 0, 2, 3}[s] }

// String names the state as seeds and the control plane do.
func (s ServiceState) String() string { return [...]string{"normal", "none", "arrears", "released"}[s] }

// ParseServiceState reads what String writes; "" is normal.
func ParseServiceState(text string) (ServiceState, error) {
	for s := Bought; s <= Released; s++ {
		if text == s.String() || text == "" {
			return s, nil
		}
	}
	return 0, fmt.Errorf("it is %q; it must be normal, none, arrears or released", text)
}

// A KeyState is what is wrong with a KMS key.
type KeyState uint8

// The states of KMS keys; a key that an account's data does not list is good.
const (
	KeyGood KeyState = iota
	KeyDisabled
	KeyForeign // of another account
)

// String names the state as seeds and the control plane do.
func (s KeyState) String() string { return [...]string{"good", "disabled", "foreign"}[s] }

// ParseKeyState reads what String writes.
func ParseKeyState(text string) (KeyState, error) {
	for s := KeyGood; s <= KeyForeign; s++ {
		if text == s.String() {
			return s, nil
		}
	}
	return 0, fmt.Errorf("it is %q; it must be good, disabled or foreign", text)
}

// AccountData is the data of an account besides its secrets. The zero
// AccountData has bought the service, prepaid; all its KMS keys work, and it
// has no sub-accounts, whose KMS keys all work and who has no sub-accounts.
type AccountData struct {
	Service     ServiceState        `cbor:"1,keyasint,omitempty"`
	Postpaid    bool                `cbor:"2,keyasint,omitempty"`
	SecretLimit uint64              `cbor:"3,keyasint,omitempty"` // secrets in a region, 0 for the server's default
	KmsKeys     map[string]KeyState `cbor:"4,keyasint,omitempty"`
	Users       map[uint64]User     `cbor:"5,keyasint,omitempty"` // sub-accounts, by Uin
	// Isolated has the instances of cloud products on which nothing may be
	// changed now, so that secrets of theirs can't be rotated. It is not
	// documented when the real service answers RotationForbidden; this is a
	// state that could cause it.
	Isolated []string `cbor:"6,keyasint,omitempty"`
	Order    Order    `cbor:"7,keyasint,omitzero"` // by which the service was enabled, if CreateService did

	Instances []Binding `cbor:"8,keyasint,omitempty"` // real databases behind instances, by InstanceID
}

// An Order is what CreateService has ordered.
type Order struct {
	ClientToken string `cbor:"1,keyasint"`
	ID          string `cbor:"2,keyasint"`
}

// IsZero reports whether nothing was ordered.
func (o Order) IsZero() bool { return o == Order{} }

// Check refuses a client token of other characters than ! to ~, or more than 64
// of them (140/140016).
func (o Order) Check() error {
	for _, c := range []byte(o.ClientToken) {
		if c < '!' || c > '~' {
			return apierr.InvalidParameterValue.With("ClientToken")
		}
	}
	if n := len(o.ClientToken); n == 0 || n > 64 {
		return apierr.InvalidParameterValue.With("ClientToken")
	}
	return nil
}

// Enable turns the service on, postpaid, if the account has none. An order with
// the token of the previous one is a retry, and returns that one.
func (a *AccountData) Enable(o Order) (Order, error) {
	switch {
	case a.Service == NotBought || a.Service == Released:
		a.Service, a.Postpaid, a.Order = Bought, true, o
	case a.Order.ClientToken != o.ClientToken:
		return Order{}, apierr.ServiceEnabled.With()
	}
	return a.Order, nil
}

// MaxListed bounds each list of an account's data, far above what any test
// needs.
const MaxListed = 10000

// Check refuses lists that are too long.
func (a *AccountData) Check() error {
	for name, n := range map[string]int{"kmsKeys": len(a.KmsKeys), "users": len(a.Users), "isolated": len(a.Isolated), "instances": len(a.Instances)} {
		if n > MaxListed {
			return fmt.Errorf("%s: there are %d; the limit is %d", name, n, MaxListed)
		}
	}
	return nil
}

// IsZero reports whether the account has no data.
func (a *AccountData) IsZero() bool {
	return a.Service == Bought && !a.Postpaid && a.SecretLimit == 0 && len(a.KmsKeys)+len(a.Users)+len(a.Isolated)+len(a.Instances) == 0 && a.Order.IsZero()
}

// A User is a sub-account.
type User struct {
	OtherKeys int `cbor:"1,keyasint,omitempty"` // access keys that no secret holds
}

// MaxAccessKeys is how many access keys a user can have.
const MaxAccessKeys = 2

// CheckPurchase refuses an account that has not bought the service, or that has
// not paid for it.
func (a *AccountData) CheckPurchase() error {
	if a.Service != Bought {
		return apierr.NotPurchased.With()
	}
	return nil
}

// CheckKey refuses a KMS key that doesn't work. mayDeny says whether the
// action's documented codes have one for a foreign key, which not all do.
func (a *AccountData) CheckKey(id string, mayDeny bool) error {
	switch state := a.KmsKeys[id]; {
	case state == KeyForeign && mayDeny:
		return apierr.UnauthorizedKms.With(id)
	case state != KeyGood:
		return apierr.AccessKmsError.With(id)
	}
	return nil
}

// CheckRotation refuses to rotate a secret of an isolated instance.
func (a *AccountData) CheckRotation(s *Secret) error {
	if slices.Contains(a.Isolated, s.ResourceID) {
		return apierr.InstanceIsolated.With(s.Name, s.ResourceID)
	}
	return nil
}

// CheckUser refuses to make an access key for a user that does not belong to
// the account.
func (a *AccountData) CheckUser(account, target uint64) error {
	if _, ok := a.Users[target]; !ok && target != account {
		return apierr.UinNotMatch.With(strconv.FormatUint(target, 10))
	}
	return nil
}

// CheckKeys refuses to give a user more access keys than a user can have,
// counting those in secrets and the others.
func (a *AccountData) CheckKeys(target uint64, inSecrets int) error {
	if a.Users[target].OtherKeys+inSecrets > MaxAccessKeys {
		return apierr.AccessKeyOverLimit.With(strconv.FormatUint(target, 10), MaxAccessKeys)
	}
	return nil
}
