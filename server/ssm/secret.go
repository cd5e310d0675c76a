// Package ssm is the model: what a secret is, which states it goes through, and
// what each of them allows. It is pure: it knows no store, no HTTP and no
// clock. "Now" is always an argument, and a status is derived from stored
// facts.
//
// Numbers in docstrings such as 1078/38656 are pages of the vendor's
// documentation.
package ssm

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
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

// String returns the type's number with its name.
func (t Type) String() string {
	names := [types]string{"custom", "product", "SSH key pair", "API key", "Redis"}
	if t >= types {
		return strconv.FormatUint(uint64(t), 10)
	}
	return fmt.Sprintf("%d (%s)", uint64(t), names[t])
}

// ProductName is what DescribeSecret and ListSecrets call a type's product
// where a secret has none of its own: seen for custom secrets, inferred for the
// others.
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

// CurrentVersion is the VersionId that a secret's first version has if the
// caller names none, and always has where the service itself makes the value
// (1078/38656).
const CurrentVersion = "SSM_Current"

// An Owner is the account and the region in which a secret lives: names are
// unique within one owner.
type Owner struct {
	Uin    uint64 // the account, such as 100000000001
	AppID  uint64 // the account's other number, such as 1250000001
	Region string // such as ap-guangzhou

	// Generation distinguishes the states that an account has had: an import or
	// a reset is written beside the present state, under the next number.
	Generation uint32
}

// In returns the owner in one of its generations.
func (o Owner) In(generation uint32) Owner {
	o.Generation = generation
	return o
}

// NewOwner returns the owner for an account and a region.
func NewOwner(uin uint64, region string) Owner {
	return Owner{Uin: uin, AppID: 1250000000 + uin%50000000, Region: region}
}

// Resource is a secret as CAM and the tag service name it (598/57154).
func (o Owner) Resource(secretName string) string {
	return fmt.Sprintf("qcs::ssm:%s:uin/%d:secret/creatorUin/%[2]d/%s", o.Region, o.Uin, secretName)
}

// AnyResource returns CAM's name of any secret, which is what CreateSecret is
// about.
func (o Owner) AnyResource() string {
	return fmt.Sprintf("qcs::ssm:%s:uin/%d:secret/*", o.Region, o.Uin)
}

// DefaultKmsKeyID is the id of the service's own KMS key: one for each account
// and region, the same at every start.
func (o Owner) DefaultKmsKeyID() string {
	name := binary.BigEndian.AppendUint64(nil, o.Uin)
	return uuid.NewSHA1(uuid.NameSpaceOID, append(name, o.Region...)).String()
}

// ResourceID is the ResourceID of a custom secret that is created at the given
// moment: the account, the moment in nanoseconds and a suffix of three letters
// or digits.
func (o Owner) ResourceID(created time.Time, suffix string) string {
	return fmt.Sprintf("%d_%d_customize_%d_%s", o.AppID, o.Uin, created.UnixNano(), suffix)
}

// A Secret has the facts about one secret, except its values. The numbers in
// the tags are the file format's: a field keeps its number for ever, and a
// number that is no longer used is not used again.
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
	ResourceName     string `cbor:"13,keyasint,omitempty"` // an SSH key's name
	ProjectID        int64  `cbor:"14,keyasint,omitempty"` // an SSH key's project

	Creation Creation    `cbor:"15,keyasint,omitempty"`
	FlowID   int64       `cbor:"16,keyasint,omitempty"` // the task that runs, 0 for none
	Rotation Rotation    `cbor:"17,keyasint,omitempty"`
	Accounts []DBAccount `cbor:"18,keyasint,omitempty"` // the two of a product secret
	Domains  []string    `cbor:"19,keyasint,omitempty"` // from where the accounts may connect

	TargetUin uint64 `cbor:"20,keyasint,omitempty"` // whose access key it is

	Privileges []PrivilegeUnit `cbor:"21,keyasint,omitempty"` // of the accounts of a product secret
}

// A Creation is how far the making of a secret has come; most are made at once.
type Creation uint8

// The stages of a creation.
const (
	CreationDone Creation = iota
	CreationRunning
	CreationFailed
)

// A Tag is a key and a value that the user attached to a secret. Each key
// occurs once.
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

// An AccessKeyPair is an access key that a secret of the type API key holds, or
// held before its last rotation.
type AccessKeyPair struct {
	SecretKey  string `cbor:"1,keyasint"`
	Uin        uint64 `cbor:"2,keyasint"` // the account
	TargetUin  uint64 `cbor:"3,keyasint"` // the user
	Region     string `cbor:"4,keyasint"`
	SecretName string `cbor:"5,keyasint"`
	Number     uint64 `cbor:"6,keyasint"` // keys are numbered in the order in which they were made
}

// A KeyPair is an SSH key pair of CVM, the value of a secret of that type.
type KeyPair struct {
	ID      string `cbor:"1,keyasint"` // SSHKeyID
	Public  string `cbor:"2,keyasint"` // ssh-rsa …, as in authorized_keys
	Private string `cbor:"3,keyasint"` // PEM, PKCS #1
}

// Named returns the pair with an id, which also follows the public key.
func (k *KeyPair) Named(id string) *KeyPair {
	return &KeyPair{ID: id, Public: strings.TrimSuffix(k.Public, " "+k.ID) + " " + id, Private: k.Private}
}

// Status derives the secret's state.
func (s *Secret) Status() Status {
	switch {
	case s.DeleteAt != 0:
		return PendingDelete
	case s.Creation == CreationRunning:
		return Creating
	case s.Creation == CreationFailed:
		return Failed
	case s.Disabled:
		return Disabled
	}
	return Enabled
}

// Schedule schedules the deletion of the secret after a number of days, at the
// same time of day. Until then it can be restored.
func (s *Secret) Schedule(now time.Time, days uint64) {
	s.DeleteAt = now.Add(time.Duration(days) * 24 * time.Hour).UnixNano()
}

// Restore takes a scheduled deletion back. The secret is Disabled afterwards
// (1078/38644).
func (s *Secret) Restore() { s.DeleteAt, s.Disabled = 0, true }

// KeyID is the KMS key that the secret shows: none for a software key, else the
// user's, else the service's own.
func (s *Secret) KeyID(o Owner) string {
	switch {
	case s.SoftwareKey:
		return ""
	case s.KmsKeyID != "":
		return s.KmsKeyID
	}
	return o.DefaultKmsKeyID()
}

// Current returns the account that is in use now, nil for a secret without
// accounts or before its first value.
func (s *Secret) Current() *DBAccount {
	for i := range s.Accounts {
		if s.Accounts[i].Version == CurrentVersion {
			return &s.Accounts[i]
		}
	}
	return nil
}

// Swap makes the account that is not in use the current one, at a time. The one
// that was current gets the id under which its value is archived. Swap returns
// the current account. The first swap makes the first account the current one.
func (s *Secret) Swap(archived string, at time.Time) *DBAccount {
	next := s.Next()
	if old := s.Current(); old != nil {
		old.Version = archived
	}
	next.Version, next.RotatedAt = CurrentVersion, at.UnixNano()
	return next
}

// Unix returns a moment of the model as the API's numbers are: in unix seconds,
// 0 for none.
func Unix(nanoseconds int64) uint64 {
	if nanoseconds == 0 {
		return 0
	}
	return uint64(nanoseconds / int64(time.Second))
}
