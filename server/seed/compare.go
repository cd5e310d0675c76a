package seed

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"ssmlocal/server/ssm"
)

// Two states compared: what comes, what goes, and which fields change. Values
// are compared, and never shown.

// A Thing is a secret of a state, or something else that has a name in it.
type Thing struct {
	// Kind is secret, account, credential, role, fault or clock.
	Kind   string `json:"kind"`
	Uin    uint64 `json:"uin,omitzero"`
	Region string `json:"region,omitempty"`
	// Name is the SecretName, the SecretId, the name of the role or the id of
	// the fault; accounts and the clock have none.
	Name string `json:"name,omitempty"`
}

// Changes is what one state has otherwise than another.
type Changes struct {
	Added     []Thing  `json:"added"`
	Removed   []Thing  `json:"removed"`
	Changed   []Change `json:"changed"`
	Unchanged int      `json:"unchanged"`
}

// A Change is a thing that both states have, with the fields that differ, as
// seeds name them.
type Change struct {
	Thing
	Fields []string `json:"fields"`
}

// A Sheet has the fields of all things of a state, hashed, so that it is small
// and holds no value.
type Sheet map[Thing]fieldHashes

// fieldHashes are hashes of fields that have a value, by their names.
type fieldHashes map[string]uint64

// Marks of a secret: its time of creation is the moment at which its seed was
// read, as the seed most likely gives none; its times are relative to that
// moment, so that they differ each time.
const (
	createdNow    = "created now"
	relativeTimes = "relative times"
)

// times are the fields that relative times change.
var times = map[string]bool{
	"createTime": true, "deleteTime": true, "versionTimes": true, "latestRotateTime": true, "rotationBeginTime": true, "databaseAccounts": true,
}

var hashSeed = maphash.MakeSeed()

// drawn are the fields of a secret that get a value of their own where a seed
// gives none: absent, they differ from nothing.
var drawn = map[string]bool{
	"createTime": true, "deleteTime": true, "resourceId": true, "kmsKeyId": true, "databaseAccounts": true, "accessKeys": true,
	"sshKeyId": true, "publicKey": true, "privateKey": true, "rotationBeginTime": true, "latestRotateTime": true, "versionTimes": true,
}

// Summarize reads a state into a sheet. The error is that of Build.
func Summarize(ctx context.Context, sources []*Source, r Rules) (Sheet, *State, error) {
	s := Sheet{}
	b := newBuilder(r, nil)
	b.handOn = func(now time.Time, uin uint64, h *ssm.SecretSnapshot) error {
		d := describeSecret(h)
		fields := hashSecret(&d)
		if h.Secret.CreatedAt == now.UnixNano() {
			fields[createdNow] = 1
		}
		if b.relative {
			fields[relativeTimes] = 1
		}
		s[Thing{"secret", uin, h.Region, h.Secret.Name}] = fields
		return nil
	}
	state, err := b.build(ctx, sources)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range state.Accounts {
		var out Account
		if describeAccount(&out, a); !reflect.ValueOf(out).IsZero() {
			s[Thing{Kind: "account", Uin: a.Uin}] = hashFields(out)
		}
	}
	for _, c := range state.Credentials {
		s[Thing{Kind: "credential", Uin: c.Uin, Name: c.SecretID}] = hashFields(describeCredential(c))
	}
	for _, role := range state.Roles {
		s[Thing{Kind: "role", Uin: role.Uin, Name: role.Name}] = hashFields(Role{role.Name, role.Policies, role.Bound, role.Seconds})
	}
	for i, f := range state.Faults {
		s[Thing{Kind: "fault", Uin: f.Uin, Name: cmp.Or(f.ID, fmt.Sprint("#", i+1))}] = fieldHashes{"rule": hash(f)}
	}
	if c := describeClock(state.Clock); c != nil && r.Uin == 0 {
		s[Thing{Kind: "clock"}] = hashFields(*c)
	}
	return s, state, nil
}

// hash hashes a value.
func hash(v any) uint64 {
	text, err := json.Marshal(v)
	if err != nil { // no type of a seed has such a value
		panic(err)
	}
	return maphash.Bytes(hashSeed, text)
}

// hashFields hashes each field that has a value.
func hashFields(of any) fieldHashes {
	v := reflect.ValueOf(of)
	all := fieldHashes{}
	for i := range v.NumField() {
		if f := v.Field(i); !f.IsZero() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			all[name] = hash(f.Interface())
		}
	}
	return all
}

// hashSecret hashes a secret's fields. However a seed writes the versions, they
// are one field with their values, and one with their times.
func hashSecret(s *Secret) fieldHashes {
	versions := s.Versions
	if len(versions) == 0 && s.SecretString+s.SecretBinary != "" {
		versions = []Version{{VersionID: ssm.CurrentVersion, SecretString: s.SecretString, SecretBinary: s.SecretBinary}}
	}
	short := *s
	short.Versions, short.SecretString, short.SecretBinary = nil, "", ""
	all := hashFields(short)
	values, created := map[string]string{}, []string{}
	for _, v := range versions {
		values[v.VersionID] = v.SecretString + "\x00" + v.SecretBinary
		if v.CreateTime != "" {
			created = append(created, v.VersionID+v.CreateTime)
		}
	}
	if len(values) > 0 {
		all["versions"] = hash(values)
	}
	if len(created) > 0 {
		all["versionTimes"] = hash(created)
	}
	return all
}

// Compare says how the state after differs from the one before.
func Compare(before, after Sheet) Changes {
	c := Changes{Added: []Thing{}, Removed: []Thing{}, Changed: []Change{}}
	for _, t := range slices.SortedFunc(maps.Keys(after), compareThings) {
		old, known := before[t]
		if !known {
			c.Added = append(c.Added, t)
			continue
		}
		if fields := differ(old, after[t], t.Kind == "secret"); len(fields) > 0 {
			c.Changed = append(c.Changed, Change{t, fields})
		} else {
			c.Unchanged++
		}
	}
	for _, t := range slices.SortedFunc(maps.Keys(before), compareThings) {
		if _, stays := after[t]; !stays {
			c.Removed = append(c.Removed, t)
		}
	}
	return c
}

// differ returns the names of the fields that differ.
func differ(old, new fieldHashes, secret bool) (fields []string) {
	now, relative := new[createdNow] != 0, new[relativeTimes] != 0
	for name, h := range new {
		mark := name == createdNow || name == relativeTimes
		if old[name] != h && !mark && !(now && name == "createTime") && !(relative && times[name]) {
			fields = append(fields, name)
		}
	}
	for name := range old {
		if _, given := new[name]; !given && name != createdNow && name != relativeTimes && !(secret && drawn[name]) {
			fields = append(fields, name)
		}
	}
	slices.Sort(fields)
	return slices.Compact(fields)
}

func compareThings(a, b Thing) int {
	return cmp.Or(-cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Uin, b.Uin), cmp.Compare(a.Region, b.Region), cmp.Compare(a.Name, b.Name))
}
