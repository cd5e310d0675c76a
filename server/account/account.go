// Package account knows who may call: the key pairs, and the account of each.
package account

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"ssmlocal/server/apierr"
)

// A Mode says which callers are let in, and whether their signatures are
// verified.
type Mode string

// The modes.
const (
	// Verify lets in known SecretIds with a right signature.
	Verify Mode = "verify"
	// Any also lets in an unknown SecretId, whose signature can't be verified
	// but must be well formed and fresh, and gives it an account of its own:
	// test suites that run in parallel stay apart if they use different keys.
	Any Mode = "any"
	// Off asks for no signature. If a call names a SecretId anyway, that
	// chooses the account.
	Off Mode = "off"
)

// DefaultUin is the account of a caller who names no key, and of a credential
// that names no Uin.
const DefaultUin uint64 = 100000000001

// Default is the key pair that an emulator knows if it is given no others.
var Default = Credential{SecretID: "AKIDssmlocal", SecretKey: "ssmlocal", Uin: DefaultUin}

// A Credential is an API key pair of an account.
type Credential struct {
	SecretID  string   `cbor:"1,keyasint" json:"secretId"`
	SecretKey string   `cbor:"2,keyasint" json:"secretKey"`
	Uin       uint64   `cbor:"3,keyasint" json:"uin"`                           // the account
	User      uint64   `cbor:"4,keyasint,omitempty" json:"user,omitempty"`      // the sub-account, 0 for the account itself
	Token     string   `cbor:"5,keyasint,omitempty" json:"token,omitempty"`     // of temporary keys, "" for permanent ones
	ExpiresAt int64    `cbor:"6,keyasint,omitempty" json:"expiresAt,omitempty"` // unix nanoseconds of virtual time, 0 for never
	Policies  []Policy `cbor:"7,keyasint,omitempty" json:"policies,omitempty"`  // what the caller may do; none for everything
	// Also are further policies that must allow a call: those of a session.
	Also []Policy `cbor:"8,keyasint,omitempty" json:"also,omitempty"`
	Role string   `cbor:"9,keyasint,omitempty" json:"role,omitempty"`  // whose temporary keys they are, "" for none
	Name string   `cbor:"10,keyasint,omitempty" json:"name,omitempty"` // of the role's session, or of a federated user
	// From is the SecretId that asked for the keys of a federated user, who may
	// do no more than it may.
	From string `cbor:"11,keyasint,omitempty" json:"from,omitempty"`
	// Orphan is set if the role, or the key that asked for these keys, no
	// longer exists.
	Orphan bool `cbor:"-" json:"-"`
}

// A Role is one that may be assumed.
type Role struct {
	Uin      uint64   `cbor:"1,keyasint"` // the account
	Name     string   `cbor:"2,keyasint"`
	Policies []Policy `cbor:"3,keyasint,omitempty"` // what it may do; none for everything
	// Bound roles are those of the machine on which the program runs; the
	// instance metadata lists them.
	Bound bool `cbor:"4,keyasint,omitempty"`
	// Seconds is how long the keys from the metadata live, 0 for the usual two
	// hours.
	Seconds uint64 `cbor:"5,keyasint,omitempty"`
}

// ParseCredential reads ID:KEY or ID:KEY:UIN. A key may have colons: what
// follows the last one is a Uin if it consists only of digits. The error never
// quotes any part of what may be a key.
func ParseCredential(s string) (Credential, error) {
	id, key, _ := strings.Cut(s, ":")
	c := Credential{SecretID: id, SecretKey: key, Uin: DefaultUin}
	if at := strings.LastIndexByte(key, ':'); at >= 0 && isDigits(key[at+1:]) {
		uin, err := strconv.ParseUint(key[at+1:], 10, 53)
		if err != nil || uin == 0 {
			return Credential{}, fmt.Errorf("the Uin after the last colon is out of range; it must be a number such as %d", DefaultUin)
		}
		c.SecretKey, c.Uin = key[:at], uin
	}
	switch {
	case c.SecretID == "" || c.SecretKey == "":
		return Credential{}, errors.New("a credential is ID:KEY or ID:KEY:UIN, and neither ID nor KEY may be empty")
	case len(c.SecretID) > maxID || strings.ContainsFunc(c.SecretID, unsuitable):
		return Credential{}, fmt.Errorf("the ID before the first colon has blanks, commas, slashes, = or control characters in it, or more than %d", maxID)
	}
	return c, nil
}

// maxID is the length of a SecretId, far above that of the vendor's.
const maxID = 256

// unsuitable reports whether a character can't be in a SecretId: it would end
// the SecretId in an Authorization header.
func unsuitable(c rune) bool {
	return unicode.IsSpace(c) || unicode.IsControl(c) || strings.ContainsRune(",/=", c)
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// A Caller is who a request comes from.
type Caller struct {
	Credential
	Known bool // the SecretKey is known, so the signature can be verified
}

// Expired reports whether temporary keys have expired.
func (c *Credential) Expired(now time.Time) bool {
	return c.Orphan || c.ExpiresAt != 0 && now.UnixNano() >= c.ExpiresAt
}

// A Directory finds callers by SecretId. Its mode and its own credentials are
// fixed; those of the state are not.
type Directory struct {
	// More, if not nil, finds the credentials that the emulator itself has
	// issued; nil for an unknown SecretId.
	More func(secretID string) (*Credential, error)

	mode  Mode
	own   []Credential
	known map[string]Credential
}

// NewDirectory returns a directory of these credentials, or of Default if there
// are none. Two credentials with one SecretId are an error.
func NewDirectory(mode Mode, credentials []Credential) (*Directory, error) {
	if mode == "" {
		mode = Verify
	}
	d := &Directory{mode: mode, own: credentials}
	known, err := d.With(nil)
	d.known = known
	return d, err
}

// A TwiceError says that two credentials have the same SecretId.
type TwiceError struct{ SecretID string }

// Error names the SecretId.
func (e *TwiceError) Error() string {
	return fmt.Sprintf("the SecretId %s is given twice; give each credential once", e.SecretID)
}

// With returns the credentials that are known if the state has the given ones:
// these and the directory's own. Default is known, too, unless the directory
// has own ones or the state has some for Default's account. Two credentials
// with one SecretId are an error.
func (d *Directory) With(credentials []Credential) (map[string]Credential, error) {
	all := append(d.own[:len(d.own):len(d.own)], credentials...)
	defaults := func(c Credential) bool { return c.Uin == DefaultUin || c.SecretID == Default.SecretID }
	if len(d.own) == 0 && !slices.ContainsFunc(credentials, defaults) {
		all = append(all, Default)
	}
	known := map[string]Credential{}
	for _, c := range all {
		if _, twice := known[c.SecretID]; twice {
			return nil, &TwiceError{c.SecretID}
		}
		known[c.SecretID] = c
	}
	return known, nil
}

// Use makes what With returned the known credentials. No call may be served at
// the same time.
func (d *Directory) Use(known map[string]Credential) { d.known = known }

// Anybody reports whether unknown SecretIds may call, too.
func (d *Directory) Anybody() bool { return d.mode != Verify }

// Unsigned reports whether requests need no signature.
func (d *Directory) Unsigned() bool { return d.mode == Off }

// Find returns the caller with a SecretId.
func (d *Directory) Find(secretID string) (Caller, error) {
	if c, ok := d.known[secretID]; ok {
		return Caller{c, true}, nil
	}
	if d.More != nil {
		switch c, err := d.More(secretID); {
		case err != nil:
			return Caller{}, err
		case c != nil:
			return Caller{*c, true}, nil
		}
	}
	if d.mode == Verify {
		return Caller{}, apierr.SecretIDNotFound.With()
	}
	return Caller{Credential{SecretID: secretID, Uin: ownUin(secretID)}, false}, nil
}

// Anonymous returns the caller who names no SecretId.
func (d *Directory) Anonymous() Caller {
	return Caller{Credential: Credential{Uin: DefaultUin}}
}

// First returns the key pair that a call uses which names none: the first of
// the configuration.
func (d *Directory) First() Credential {
	if len(d.own) > 0 {
		return d.own[0]
	}
	return Default
}

// FirstUin is the lowest account of those whose keys are known.
func (d *Directory) FirstUin() uint64 {
	first := uint64(math.MaxUint64)
	for _, c := range d.known {
		first = min(first, c.Uin)
	}
	return first
}

// Owns reports whether a SecretId is that of one of the directory's own
// credentials.
func (d *Directory) Owns(secretID string) bool {
	return slices.ContainsFunc(d.own, func(c Credential) bool { return c.SecretID == secretID })
}

// Known returns the credential with a SecretId that was given: by the
// configuration or by the state.
func (d *Directory) Known(secretID string) (Credential, bool) {
	c, known := d.known[secretID]
	return c, known
}

// All returns the known credentials, in any order.
func (d *Directory) All() []Credential { return slices.Collect(maps.Values(d.known)) }

// KnownIDs lists the known SecretIds.
func (d *Directory) KnownIDs() string { return strings.Join(slices.Sorted(maps.Keys(d.known)), ", ") }

// OtherKeys returns the secret keys of all credentials but one, by SecretId,
// but no more than most.
func (d *Directory) OtherKeys(but string, most int) map[string]string {
	keys := map[string]string{}
	for id, c := range d.known {
		if len(keys) == most {
			break
		}
		if id != but {
			keys[id] = c.SecretKey
		}
	}
	return keys
}

// ownUin is the account of an unknown SecretId: the same at every start, in a
// range of its own.
func ownUin(secretID string) uint64 {
	h := sha256.Sum256([]byte(secretID))
	return 200000000000 + binary.BigEndian.Uint64(h[:])%100000000000
}
