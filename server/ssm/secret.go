// Package ssm is the model: what a secret is, which states it goes through, and what each of them allows. It is pure:
// it knows no store, no HTTP and no clock. "Now" is always an argument, and a status is derived from stored facts.
//
// Numbers in docstrings such as 1078/38656 are pages of the vendor's documentation.
package ssm

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// A Type is a SecretType: what kind of thing a secret holds (1078/38646).
type Type uint64

// The secret types.
const (
	Custom     Type = iota // whatever the user puts in
	Product                // a database account that is rotated
	SSHKeyPair             // a CVM SSH key pair
	AccessKey              // an API key of a sub-account
	Redis                  // a Redis account
	types
)

// Types returns all secret types in the order of their numbers.
func Types() []Type { return []Type{Custom, Product, SSHKeyPair, AccessKey, Redis} }

// String returns the type's number with what it stands for.
func (t Type) String() string {
	names := [types]string{"custom", "product", "SSH key pair", "API key", "Redis"}
	if t >= types {
		return strconv.FormatUint(uint64(t), 10)
	}
	return fmt.Sprintf("%d (%s)", uint64(t), names[t])
}

// ProductName is what DescribeSecret and ListSecrets call a type's product where a secret has none of its own: seen
// for custom secrets, inferred for the others.
func (t Type) ProductName() string {
	return [types]string{"default", "", "Cvm", "Cam", "Redis"}[t]
}

// A Status is a secret's state, as DescribeSecret spells it.
type Status uint8

// The statuses. Only product secrets are ever Creating or Failed.
const (
	Creating Status = iota
	Enabled
	Disabled
	PendingDelete
	Failed
	statuses
)

// Statuses returns all statuses in the order of a secret's life.
func Statuses() []Status { return []Status{Creating, Enabled, Disabled, PendingDelete, Failed} }

// String returns the status as the API spells it.
func (s Status) String() string {
	return [statuses]string{"Creating", "Enabled", "Disabled", "PendingDelete", "Failed"}[s]
}

// CurrentVersion is the VersionId that a secret's first version has if the caller names none, and always has where the
// service itself makes the value (1078/38656).
const CurrentVersion = "SSM_Current"

// An Owner is the account and the region in which a secret lives: names are unique within one owner.
type Owner struct {
	Uin    uint64 // the account, such as 100000000001
	AppID  uint64 // the account's other number, such as 1250000001
	Region string // such as ap-guangzhou
}

// DefaultKmsKeyID is the id of the service's own KMS key: one for each account and region, the same at every start.
func (o Owner) DefaultKmsKeyID() string {
	name := binary.BigEndian.AppendUint64(nil, o.Uin)
	return uuid.NewSHA1(uuid.NameSpaceOID, append(name, o.Region...)).String()
}

// ResourceID is the ResourceID of a custom secret that is created at the given moment: the account, the moment in
// nanoseconds and a suffix of three letters or digits.
func (o Owner) ResourceID(created time.Time, suffix string) string {
	return fmt.Sprintf("%d_%d_customize_%d_%s", o.AppID, o.Uin, created.UnixNano(), suffix)
}

// A Secret is the facts about one secret, all but its values. The numbers in the tags are the file format's: a field
// keeps its number for ever, and a number that is no longer used is not used again.
type Secret struct {
	Name             string `cbor:"1,keyasint"`
	Type             Type   `cbor:"2,keyasint,omitempty"`
	Description      string `cbor:"3,keyasint,omitempty"`
	CreatedAt        int64  `cbor:"4,keyasint"`           // unix nanoseconds
	DeleteAt         int64  `cbor:"5,keyasint,omitempty"` // unix nanoseconds; 0 unless a deletion is scheduled
	Disabled         bool   `cbor:"6,keyasint,omitempty"`
	KmsKeyID         string `cbor:"7,keyasint,omitempty"` // "" for the service's own key
	SoftwareKey      bool   `cbor:"8,keyasint,omitempty"` // EncryptType 1: no KMS key at all
	ProductName      string `cbor:"9,keyasint,omitempty"`
	ResourceID       string `cbor:"10,keyasint,omitempty"`
	AdditionalConfig string `cbor:"11,keyasint,omitempty"` // JSON, as the user gave it; Redis only
	Tags             []Tag  `cbor:"12,keyasint,omitempty"`
}

// A Tag is a key and a value that the user hung on a secret. A key stands once.
type Tag struct {
	TagKey   string `cbor:"1,keyasint"`
	TagValue string `cbor:"2,keyasint,omitempty"`
}

// A Version is one value of a secret; one of String and Binary is empty.
type Version struct {
	CreatedAt int64  `cbor:"1,keyasint"`           // unix nanoseconds
	String    string `cbor:"2,keyasint,omitempty"` // SecretString
	Binary    string `cbor:"3,keyasint,omitempty"` // SecretBinary: base64 text, as the user gave it
}

// Status derives the secret's state.
func (s *Secret) Status() Status {
	switch {
	case s.DeleteAt != 0:
		return PendingDelete
	case s.Disabled:
		return Disabled
	}
	return Enabled
}

// Schedule makes the secret go away after a number of days, at the same time of day. Until then it can be restored.
func (s *Secret) Schedule(now time.Time, days uint64) {
	s.DeleteAt = now.Add(time.Duration(days) * 24 * time.Hour).UnixNano()
}

// Restore takes a scheduled deletion back. The secret is Disabled afterwards (1078/38644).
func (s *Secret) Restore() { s.DeleteAt, s.Disabled = 0, true }

// KeyID is the KMS key that the secret shows: none for a software key, else the user's, else the service's own.
func (s *Secret) KeyID(o Owner) string {
	switch {
	case s.SoftwareKey:
		return ""
	case s.KmsKeyID != "":
		return s.KmsKeyID
	}
	return o.DefaultKmsKeyID()
}

// Unix returns a moment of the model as the API's numbers have it: unix seconds, 0 for none.
func Unix(nanoseconds int64) uint64 {
	if nanoseconds == 0 {
		return 0
	}
	return uint64(nanoseconds / int64(time.Second))
}
