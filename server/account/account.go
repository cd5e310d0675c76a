// Package account knows who may call: the key pairs, and the account behind each.
package account

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"ssmlocal/server/apierr"
)

// A Mode says how far a caller must prove who it is.
type Mode string

// The modes.
const (
	// Verify lets in known SecretIds with a right signature.
	Verify Mode = "verify"
	// Any also lets in an unknown SecretId, whose signature can't be verified but must be well formed and fresh, and
	// gives it an account of its own: test suites that run in parallel isolate themselves by their keys.
	Any Mode = "any"
	// Off asks for no signature. A SecretId that is named all the same chooses the account.
	Off Mode = "off"
)

// DefaultUin is the account of a caller who names no key, and of a credential that names no Uin.
const DefaultUin = 100000000001

// Default is the key pair that every emulator knows unless it is given others.
var Default = Credential{SecretID: "AKIDssmlocal", SecretKey: "ssmlocal", Uin: DefaultUin}

// A Credential is an API key pair of an account.
type Credential struct {
	SecretID, SecretKey string
	Token               string // of temporary keys, "" for permanent ones
	Uin                 uint64 // the account
}

// ParseCredential reads ID:KEY or ID:KEY:UIN. The error never quotes the key.
func ParseCredential(s string) (Credential, error) {
	parts := strings.Split(s, ":")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" {
		return Credential{}, fmt.Errorf("a credential is ID:KEY or ID:KEY:UIN, none of them empty")
	}
	c := Credential{SecretID: parts[0], SecretKey: parts[1], Uin: DefaultUin}
	if len(parts) == 3 {
		uin, err := strconv.ParseUint(parts[2], 10, 53)
		if err != nil || uin == 0 {
			return Credential{}, fmt.Errorf("the Uin of the credential %s is %q, it must be a number such as %d", c.SecretID, parts[2], DefaultUin)
		}
		c.Uin = uin
	}
	return c, nil
}

// A Caller is who a request comes from.
type Caller struct {
	Credential
	Known bool // the SecretKey is known, so the signature can be verified
}

// AppID is the account's other number.
func (c Caller) AppID() uint64 { return 1250000000 + c.Uin%50000000 }

// A Directory finds callers by SecretId.
type Directory struct {
	// More, if not nil, finds the credentials that the emulator itself has handed out; nil for an unknown SecretId.
	More func(secretID string) (*Credential, error)

	mode  Mode
	known map[string]Credential
}

// NewDirectory returns a directory of these credentials, or of Default if there are none. Two credentials with one
// SecretId are an error.
func NewDirectory(mode Mode, credentials []Credential) (*Directory, error) {
	if mode == "" {
		mode = Verify
	}
	if len(credentials) == 0 {
		credentials = []Credential{Default}
	}
	d := &Directory{mode: mode, known: map[string]Credential{}}
	for _, c := range credentials {
		if _, twice := d.known[c.SecretID]; twice {
			return nil, fmt.Errorf("the SecretId %s is given twice; give each credential once", c.SecretID)
		}
		d.known[c.SecretID] = c
	}
	return d, nil
}

// Unsigned tells whether requests need no signature.
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

// KnownIDs lists the known SecretIds.
func (d *Directory) KnownIDs() string { return strings.Join(slices.Sorted(maps.Keys(d.known)), ", ") }

// OtherKeys returns the secret keys of all credentials but one, by SecretId.
func (d *Directory) OtherKeys(but string) map[string]string {
	keys := map[string]string{}
	for id, c := range d.known {
		if id != but {
			keys[id] = c.SecretKey
		}
	}
	return keys
}

// ownUin is the account of an unknown SecretId: the same at every start, in a range of its own.
func ownUin(secretID string) uint64 {
	h := sha256.Sum256([]byte(secretID))
	return 200000000000 + binary.BigEndian.Uint64(h[:])%100000000000
}
