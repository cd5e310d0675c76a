package action

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// The tables, and their keys. What belongs to an account has a key that starts
// with the account: AccountKey. A secret's key is that, its region, a zero byte
// and its name; a version's key is the secret's, a zero byte and the VersionId;
// a task's key is the account's and the FlowID. Neither regions nor names
// contain a zero byte. Access keys have the SecretId as their key, see IDKey.
var (
	secrets  = &store.Table[ssm.Secret]{Name: "secrets", Index: secretEntries}
	versions = &store.Table[ssm.Version]{Name: "versions"}
	tasks    = &store.Table[ssm.Task]{Name: "tasks", Index: taskEntries, Rekey: taskRekey}
)

// Tables returns all tables, for store.Open.
func Tables() []store.Bucketer {
	return []store.Bucketer{secrets, versions, keyPairs, accessKeys, accounts, tasks, flowIDs, generations, madeAccounts}
}

// marked is the first byte of keys of a generation above 0: no account's
// number, which has at most 53 bits, starts with it.
const marked = 0xff

// AccountKey returns the beginning of all keys of an account in a generation:
// the account in 8 bytes. A generation other than 0 comes before that, as 0xff
// and the generation in 4 bytes. Generation 0 is that of a state that was never
// replaced, and of every file of format 1. All numbers are big-endian.
func AccountKey(uin uint64, generation uint32) []byte {
	return accountKey(uin, generation, 0)
}

// accountKey is AccountKey with room for more bytes.
func accountKey(uin uint64, generation uint32, room int) []byte {
	b := make([]byte, 0, 13+room)
	if generation != 0 {
		b = append(b, marked)
		b = binary.BigEndian.AppendUint32(b, generation)
	}
	return binary.BigEndian.AppendUint64(b, uin)
}

// splitKey splits a key that starts with AccountKey. For any other key the
// account is 0, which does not exist.
func splitKey(key []byte) (uin uint64, generation uint32, rest []byte) {
	if len(key) > 5 && key[0] == marked {
		generation, key = binary.BigEndian.Uint32(key[1:]), key[5:]
	}
	if len(key) < 8 {
		return 0, generation, nil
	}
	return binary.BigEndian.Uint64(key), generation, key[8:]
}

// IDKey returns the key of a record that is found by a SecretId alone: the
// SecretId and, unless the generation is 0, a zero byte, which no SecretId
// contains, and the generation.
func IDKey(secretID string, generation uint32) []byte {
	if generation == 0 {
		return []byte(secretID)
	}
	return binary.BigEndian.AppendUint32(append([]byte(secretID), 0), generation)
}

// SplitIDKey splits an IDKey.
func SplitIDKey(key []byte) (secretID string, generation uint32) {
	if at := len(key) - 5; at > 0 && key[at] == 0 {
		return string(key[:at]), binary.BigEndian.Uint32(key[at+1:])
	}
	return string(key), 0
}

// scope is what the keys of all secrets of one owner start with.
func scope(o ssm.Owner) []byte { return secretKey(o, "") }

func secretKey(o ssm.Owner, name string) []byte { return key(o, 0, name) }

func versionPrefix(o ssm.Owner, name string) []byte { return append(key(o, 1, name), 0) }

func versionKey(o ssm.Owner, name, id string) []byte {
	return append(append(key(o, 1+len(id), name), 0), id...)
}

// key is a secret's key, with room for more.
func key(o ssm.Owner, room int, name string) []byte {
	b := accountKey(o.Uin, o.Generation, len(o.Region)+1+len(name)+room)
	return append(append(append(b, o.Region...), 0), name...)
}

// splitSecretKey splits a secret's key.
func splitSecretKey(key []byte) (o ssm.Owner, name string) {
	uin, generation, rest := splitKey(key)
	region, last, _ := bytes.Cut(rest, []byte{0})
	return ssm.NewOwner(uin, string(region)).In(generation), string(last)
}

// The lists that ListSecrets reads. All are within one owner and one
// SecretType, which ListSecrets always names, and all are ordered by creation.
// There is one for each combination of status and key type, and for either or
// both of them left out, so that one list and its length answer any of these
// filters.

// byType is the list of a type's secrets with a status and a key type; nil
// stands for any.
func byType(t ssm.Type, status *ssm.Status, software *bool) string {
	name := "t" + strconv.FormatUint(uint64(t), 10)
	if status != nil {
		name += "s" + strconv.Itoa(int(*status))
	}
	if software != nil {
		name += "e" + strconv.FormatBool(*software)
	}
	return name
}

func byProduct(t ssm.Type, product string) string { return byType(t, nil, nil) + "p" + product }

func byResource(t ssm.Type, id string) string { return byType(t, nil, nil) + "r" + id }

func byTagKey(t ssm.Type, key string) string { return byType(t, nil, nil) + "k" + key }

// byTag needs a separator: tags contain no control characters.
func byTag(t ssm.Type, key, value string) string {
	return byType(t, nil, nil) + "v" + key + "\x00" + value
}

// The lists of what is due, for all owners, ordered by time: in unix
// nanoseconds for secrets to delete and tasks to end, in unix seconds for
// secrets to rotate, which can be due in the year 9999.
const (
	toDelete = "delete"
	toRotate = "rotate"
	toEnd    = "end"
)

// toChange is the list of tasks whose change of a real database may begin, by
// when it could.
const toChange = "change"

// changesOf is the list of those of one instance of an account.
func changesOf(uin uint64, instanceID string) string {
	return fmt.Sprint(toChange, uin, " ", instanceID)
}

func taskEntries(_ []byte, t *ssm.Task) []store.Entry {
	switch {
	case t.Ready:
		return []store.Entry{{List: toChange, Order: uint64(t.DueAt)}, {List: changesOf(t.Uin, t.Instance), Order: uint64(t.DueAt)}}
	case t.DueAt != 0:
		return []store.Entry{{List: toEnd, Order: uint64(t.DueAt)}}
	}
	return nil
}

// secretEntries says in which lists a secret stands.
func secretEntries(key []byte, s *ssm.Secret) []store.Entry {
	scope, status := string(key[:len(key)-len(s.Name)]), s.Status()
	names := []string{
		byType(s.Type, nil, nil), byType(s.Type, &status, nil),
		byType(s.Type, nil, &s.SoftwareKey), byType(s.Type, &status, &s.SoftwareKey),
		byResource(s.Type, s.ResourceID),
	}
	if s.ProductName != "" {
		names = append(names, byProduct(s.Type, s.ProductName))
	}
	for _, t := range s.Tags {
		names = append(names, byTagKey(s.Type, t.TagKey), byTag(s.Type, t.TagKey, t.TagValue))
	}
	at := make([]store.Entry, 0, len(names)+1)
	for _, name := range names {
		at = append(at, store.Entry{List: scope + name, Order: uint64(s.CreatedAt)})
	}
	switch {
	case s.DeleteAt != 0:
		at = append(at, store.Entry{List: toDelete, Order: uint64(s.DeleteAt)})
	case s.Rotation.NextAt != 0:
		at = append(at, store.Entry{List: toRotate, Order: uint64(s.Rotation.NextAt)})
	}
	return at
}

// useKey refuses a secret whose KMS key doesn't work: its value can be neither
// read nor written.
func (c *Call) useKey(s *ssm.Secret, mayDeny bool) error {
	if len(c.Account.KmsKeys) == 0 {
		return nil // most accounts; the default key's id costs a hash
	}
	return c.Account.CheckKey(s.KeyID(c.Owner), mayDeny)
}

// remove deletes the secret under a key, with its values.
func remove(tx *store.Tx, key []byte) error {
	for _, k := range versions.Keys(tx, append(key[:len(key):len(key)], 0)) {
		if err := versions.Delete(tx, k); err != nil {
			return err
		}
	}
	if err := keyPairs.Delete(tx, key); err != nil {
		return err
	}
	if err := dropAccessKeys(tx, key); err != nil {
		return err
	}
	return secrets.Delete(tx, key)
}
