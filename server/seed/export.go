package seed

import (
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"ssmlocal/server/account"
	"ssmlocal/server/clock"
	"ssmlocal/server/fault"
	"ssmlocal/server/ssm"
)

// A Writer writes a state as documents from which the state can be built again.
// They are sorted and leave out defaults, so that two states differ in few
// lines. Times are absolute. A small state is one document. No document has
// many more than perDocument secrets or rules, so that neither the writer nor a
// reader has the whole state in memory.
type Writer struct {
	out     io.Writer
	written int // documents
	file    File
	items   int // secrets and rules in file
	faults  []fault.Rule

	rest map[uint64]*Account // accounts with keys and roles that are not written yet
}

// perDocument is how many secrets and rules a document has at most.
const perDocument = 2000

// NewWriter begins a state with everything besides the accounts, and with the
// keys and roles of the accounts, which can be in any order.
func NewWriter(out io.Writer, c clock.State, credentials []account.Credential, roles []account.Role, faults []fault.Rule) *Writer {
	w := &Writer{out: out, file: File{Clock: describeClock(c)}, faults: faults, rest: map[uint64]*Account{}}
	of := func(uin uint64) *Account {
		if w.rest[uin] == nil {
			w.rest[uin] = &Account{Uin: uin}
		}
		return w.rest[uin]
	}
	for _, r := range roles {
		of(r.Uin).Roles = append(of(r.Uin).Roles, Role{r.Name, r.Policies, r.Bound, r.Seconds})
	}
	for _, c := range credentials {
		of(c.Uin).Credentials = append(of(c.Uin).Credentials, describeCredential(c))
	}
	for _, a := range w.rest {
		slices.SortFunc(a.Roles, func(a, b Role) int { return strings.Compare(a.RoleName, b.RoleName) })
		slices.SortFunc(a.Credentials, func(a, b Credential) int { return strings.Compare(a.SecretID, b.SecretID) })
	}
	return w
}

// Account begins an account. Accounts come by number.
func (w *Writer) Account(a *ssm.AccountSnapshot) error {
	w.restBefore(a.Uin)
	out := Account{Uin: a.Uin}
	if with := w.rest[a.Uin]; with != nil {
		out = *with
		delete(w.rest, a.Uin)
	}
	describeAccount(&out, a)
	w.file.Accounts = append(w.file.Accounts, out)
	return nil
}

// restBefore writes those accounts before the given one that have nothing but
// keys and roles.
func (w *Writer) restBefore(uin uint64) {
	for _, other := range slices.Sorted(maps.Keys(w.rest)) {
		if other < uin {
			w.file.Accounts = append(w.file.Accounts, *w.rest[other])
			delete(w.rest, other)
		}
	}
}

// Secret adds a secret to the last account.
func (w *Writer) Secret(uin uint64, h *ssm.SecretSnapshot) error {
	if w.items >= perDocument {
		if err := w.write(); err != nil {
			return err
		}
		w.file.Accounts = []Account{{Uin: uin}}
	}
	w.items++
	last := &w.file.Accounts[len(w.file.Accounts)-1]
	last.Secrets = append(last.Secrets, describeSecret(h))
	return nil
}

// Close ends the state.
func (w *Writer) Close() error {
	w.restBefore(math.MaxUint64)
	for _, r := range w.faults {
		if w.items >= perDocument {
			if err := w.write(); err != nil {
				return err
			}
		}
		w.items++
		w.file.Faults = append(w.file.Faults, r)
	}
	if w.written > 0 && w.items == 0 && w.file.Accounts == nil {
		return nil
	}
	return w.write()
}

// write writes the document that is ready.
func (w *Writer) write() error {
	w.file.Accounts = slices.DeleteFunc(w.file.Accounts, func(a Account) bool {
		return reflect.DeepEqual(a, Account{Uin: a.Uin}) // there is nothing to it
	})
	n := tree(reflect.ValueOf(w.file))
	text := []byte("{}\n")
	if len(n.Content) > 0 {
		var err error
		if text, err = yaml.Dump(n, yaml.WithLineWidth(-1), yaml.WithCompactSeqIndent(false)); err != nil {
			return err
		}
	}
	if w.written++; w.written > 1 {
		text = append([]byte("---\n"), text...)
	}
	w.file, w.items = File{}, 0
	_, err := w.out.Write(text)
	return err
}

func describeClock(c clock.State) *Clock {
	switch {
	case c.Frozen:
		return &Clock{Now: time.Unix(0, c.At).UTC().Format(time.RFC3339Nano), Frozen: true}
	case c.Offset != 0:
		return &Clock{Offset: time.Duration(c.Offset).String()}
	}
	return nil
}

// moment writes a time that is given in nanoseconds, "" for none.
func moment(nanoseconds int64) string {
	if nanoseconds == 0 {
		return ""
	}
	return time.Unix(0, nanoseconds).UTC().Format(time.RFC3339Nano)
}

func describeCredential(c account.Credential) Credential {
	return Credential{
		SecretID: c.SecretID, SecretKey: c.SecretKey, User: c.User, Token: c.Token, ExpireTime: moment(c.ExpiresAt), Policies: c.Policies,
	}
}

func describeAccount(a *Account, e *ssm.AccountSnapshot) {
	d := e.Data
	a.Postpaid, a.SecretLimit, a.Isolated = d.Postpaid, d.SecretLimit, slices.Sorted(slices.Values(d.Isolated))
	for _, in := range d.Instances {
		a.Instances = append(a.Instances, Instance{in.InstanceID, in.URL})
	}
	if !d.Order.IsZero() {
		a.Order = &Order{d.Order.ClientToken, d.Order.ID}
	}
	if d.Service != ssm.Bought {
		a.Service = d.Service.String()
	}
	for id, state := range d.KmsKeys {
		if a.KmsKeys == nil {
			a.KmsKeys = map[string]string{}
		}
		a.KmsKeys[id] = state.String()
	}
	for _, uin := range slices.Sorted(maps.Keys(d.Users)) {
		a.Users = append(a.Users, User{uin, d.Users[uin].OtherKeys})
	}
	for _, id := range slices.Sorted(maps.Keys(e.Tasks)) {
		t := e.Tasks[id]
		out := Task{
			FlowID: id, Kind: t.Kind.String(), Region: region(t.Region), SecretName: t.SecretName, BeginTime: moment(t.BeganAt),
			DueTime: moment(t.DueAt), Polls: t.Polls, Fails: t.Fails,
		}
		if t.Status != ssm.TaskRunning {
			out.Status = taskStatuses[t.Status]
		}
		a.Tasks = append(a.Tasks, out)
	}
}

// region leaves out the default.
func region(r string) string {
	if r == ssm.DefaultRegion {
		return ""
	}
	return r
}

func describeSecret(h *ssm.SecretSnapshot) Secret {
	s := &h.Secret
	out := Secret{
		SecretName: s.Name, Region: region(h.Region), SecretType: uint64(s.Type), CreateTime: moment(s.CreatedAt), DeleteTime: moment(s.DeleteAt),
		Description: s.Description, KmsKeyID: s.KmsKeyID, AdditionalConfig: s.AdditionalConfig, FlowID: s.FlowID,
		CreationFailed: s.DeleteAt != 0 && s.Creation == ssm.CreationFailed, TargetUin: s.TargetUin,
	}
	if s.Status() != ssm.Enabled {
		out.Status = s.Status().String()
	}
	if s.SoftwareKey {
		out.EncryptType = 1
	}
	for _, t := range s.Tags {
		out.Tags = append(out.Tags, Tag{t.TagKey, t.TagValue})
	}
	describeVersions(&out, h)
	out.LatestRotateTime = moment(s.Rotation.LastAt)
	switch s.Type {
	case ssm.Custom, ssm.AccessKey:
		out.ResourceID = s.ResourceID
	case ssm.Product:
		describeProduct(&out, s)
	case ssm.SSHKeyPair:
		out.ProjectID, out.SSHKeyID, out.SSHKeyName = s.ProjectID, s.ResourceID, s.ResourceName
		if h.KeyPair != nil {
			out.PublicKey, out.PrivateKey = h.KeyPair.Public, h.KeyPair.Private
		}
	}
	for _, k := range h.Keys {
		out.AccessKeys = append(out.AccessKeys, AccessKey{k.SecretID, k.SecretKey})
	}
	return out
}

func describeVersions(out *Secret, h *ssm.SecretSnapshot) {
	for _, id := range slices.Sorted(maps.Keys(h.Versions)) {
		v := h.Versions[id]
		created := moment(v.CreatedAt)
		if v.CreatedAt == h.Secret.CreatedAt {
			created = ""
		}
		out.Versions = append(out.Versions, Version{VersionID: id, CreateTime: created, SecretString: v.String, SecretBinary: v.Binary})
	}
	if v := out.Versions; len(v) == 1 && v[0].VersionID == ssm.CurrentVersion && v[0].CreateTime == "" {
		out.SecretString, out.SecretBinary, out.Versions = v[0].SecretString, v[0].SecretBinary, nil
	}
}

func describeProduct(out *Secret, s *ssm.Secret) {
	out.ProductName, out.ResourceID = s.ProductName, s.ResourceID
	if !slices.Equal(s.Domains, []string{"%"}) {
		out.Domains = s.Domains
	}
	out.EnableRotation, out.RotationBeginTime = s.Rotation.Enabled, s.Rotation.Begin
	if s.Rotation.Frequency != ssm.MinFrequency {
		out.RotationFrequency = s.Rotation.Frequency
	}
	out.Privileges = s.Privileges
	for _, a := range s.Accounts {
		out.DatabaseAccounts = append(out.DatabaseAccounts, DBAccount{a.Name, a.Version, moment(a.RotatedAt)})
	}
}
