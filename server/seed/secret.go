package seed

import (
	"cmp"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"ssmlocal/server/ssm"
)

// Secrets, checked against the rules of their type.

func (b *builder) secret(path string, s *Secret, e *ssm.AccountSnapshot) *ssm.SecretSnapshot {
	b.from(path+".secretStringFrom", s.SecretStringFrom, &s.SecretString)
	for i := range s.Versions {
		b.from(fmt.Sprintf("%s.versions[%d].secretStringFrom", path, i), s.Versions[i].SecretStringFrom, &s.Versions[i].SecretString)
	}
	s.SecretStringFrom = nil
	if !b.want(s.SecretType <= uint64(ssm.Redis), path+".secretType", "it must be 0 to 4") {
		return nil
	}
	t := ssm.Type(s.SecretType)
	b.check(path+".secretName", ssm.CheckName(s.SecretName))
	b.fields(path, s, t)
	created := b.past(path+".createTime", s.CreateTime, b.state.Now)
	h := &ssm.SecretSnapshot{Region: b.region(path, s.Region), Versions: map[string]*ssm.Version{}, UserNamePrefix: s.UserNamePrefix, Secret: ssm.Secret{
		Name: s.SecretName, Type: t, Description: s.Description, CreatedAt: created.UnixNano(), KmsKeyID: s.KmsKeyID,
		SoftwareKey: s.EncryptType == 1, AdditionalConfig: s.AdditionalConfig, ResourceID: s.ResourceID,
		ProjectID: s.ProjectID, ResourceName: s.SSHKeyName, TargetUin: s.TargetUin, FlowID: s.FlowID,
	}}
	b.once(path+".secretName", "the secret "+s.SecretName, fmt.Sprint(e.Uin, h.Region))
	b.check(path+".description", ssm.CheckDescription(s.Description))
	b.check(path+".kmsKeyId", ssm.CheckKmsKeyID(s.KmsKeyID))
	b.want(s.ResourceID == "" || ssm.IsID(s.ResourceID), path+".resourceId", "it can have %d bytes at most, and no control characters", ssm.MaxID)
	b.want(s.EncryptType <= 1, path+".encryptType", "it must be 0 or 1")
	for _, tag := range s.Tags {
		h.Secret.Tags = append(h.Secret.Tags, ssm.Tag{TagKey: tag.Key, TagValue: tag.Value})
	}
	b.check(path+".tags", ssm.CheckTags(h.Secret.Tags))
	b.status(path, s, h)
	b.versions(path, s, h)
	switch t {
	case ssm.Product:
		b.product(path, s, h, e)
	case ssm.SSHKeyPair:
		b.sshKey(path, s, h)
	case ssm.AccessKey:
		b.accessKey(path, s, h, e)
	case ssm.Redis:
		_, err := ssm.RedisInstance(s.AdditionalConfig)
		b.check(path+".additionalConfig", err)
	}
	if s.LatestRotateTime != "" {
		h.Secret.Rotation.LastAt = b.past(path+".latestRotateTime", s.LatestRotateTime, time.Time{}).UnixNano()
		b.agree(h.Secret.Rotation.LastAt >= h.Secret.CreatedAt, path+".latestRotateTime", on{"createTime", "latestRotateTime"}, "it can't lie before createTime")
	}
	if s.FlowID != 0 {
		b.flow(path, e, h)
	}
	return h
}

// fields refuses fields that the type of a secret doesn't have.
func (b *builder) fields(path string, s *Secret, t ssm.Type) {
	for _, f := range []struct {
		name  string
		given bool
		types []ssm.Type
	}{
		{"secretString", s.SecretString != "", []ssm.Type{ssm.Custom, ssm.Product, ssm.AccessKey, ssm.Redis}},
		{"secretBinary", s.SecretBinary != "", []ssm.Type{ssm.Custom}},
		{"versions", len(s.Versions) > 0, []ssm.Type{ssm.Custom, ssm.Product, ssm.AccessKey, ssm.Redis}},
		{"creationFailed", s.CreationFailed, []ssm.Type{ssm.Product}},
		{"productName", s.ProductName != "", []ssm.Type{ssm.Product}},
		{"resourceId", s.ResourceID != "", []ssm.Type{ssm.Custom, ssm.Product, ssm.AccessKey}},
		{"userNamePrefix", s.UserNamePrefix != "", []ssm.Type{ssm.Product}},
		{"domains", len(s.Domains) > 0, []ssm.Type{ssm.Product}},
		{"databaseAccounts", len(s.DatabaseAccounts) > 0, []ssm.Type{ssm.Product}},
		{"enableRotation", s.EnableRotation, []ssm.Type{ssm.Product}},
		{"rotationFrequency", s.RotationFrequency != 0, []ssm.Type{ssm.Product}},
		{"rotationBeginTime", s.RotationBeginTime != "", []ssm.Type{ssm.Product}},
		{"latestRotateTime", s.LatestRotateTime != "", []ssm.Type{ssm.Product, ssm.AccessKey}},
		{"privileges", len(s.Privileges) > 0, []ssm.Type{ssm.Product}},
		{"flowId", s.FlowID != 0, []ssm.Type{ssm.Product, ssm.Redis}},
		{"additionalConfig", s.AdditionalConfig != "", []ssm.Type{ssm.Redis}},
		{"projectId", s.ProjectID != 0, []ssm.Type{ssm.SSHKeyPair}},
		{"sshKeyId", s.SSHKeyID != "", []ssm.Type{ssm.SSHKeyPair}},
		{"sshKeyName", s.SSHKeyName != "", []ssm.Type{ssm.SSHKeyPair}},
		{"publicKey", s.PublicKey != "", []ssm.Type{ssm.SSHKeyPair}},
		{"privateKey", s.PrivateKey != "", []ssm.Type{ssm.SSHKeyPair}},
		{"targetUin", s.TargetUin != 0, []ssm.Type{ssm.AccessKey}},
		{"accessKeys", len(s.AccessKeys) > 0, []ssm.Type{ssm.AccessKey}},
	} {
		b.want(!f.given || slices.Contains(f.types, t) || b.typeUnread(path), path+"."+f.name, "a secret of the type %s has none", t)
	}
}

// typeUnread reports whether a secret may have another type than it seems.
func (b *builder) typeUnread(path string) bool {
	torn := b.doc.unreadable[path]
	return torn != nil && (torn.fields[path+".secretType"] || torn.unknown && !b.doc.has(path+".secretType"))
}

func (b *builder) status(path string, s *Secret, h *ssm.SecretSnapshot) {
	at := path + ".status"
	text := cmp.Or(s.Status, ssm.Enabled.String())
	i := slices.IndexFunc(ssm.Statuses(), func(st ssm.Status) bool { return st.String() == text })
	if !b.want(i >= 0, at, "it is %q; it must be Enabled, Disabled, PendingDelete, Creating or Failed", text) {
		return
	}
	x := &h.Secret
	switch ssm.Statuses()[i] {
	case ssm.Creating:
		x.Creation = ssm.CreationRunning
		b.agree(x.Type == ssm.Product, at, on{"secretType", "status"}, "only product secrets are ever Creating")
	case ssm.Failed:
		x.Creation = ssm.CreationFailed
		b.agree(x.Type == ssm.Product, at, on{"secretType", "status"}, "only product secrets ever fail to be made")
	case ssm.Disabled:
		x.Disabled = true
	case ssm.PendingDelete:
		b.agree(x.Type != ssm.SSHKeyPair, at, on{"secretType", "status"}, "an SSH key secret is deleted at once")
		latest := b.state.Now.Add(ssm.MaxWindow * 24 * time.Hour)
		deletion := b.time(path+".deleteTime", s.DeleteTime, latest)
		b.agree(deletion.UnixNano() > x.CreatedAt && !deletion.After(latest), path+".deleteTime", on{"createTime", "deleteTime"}, "it must lie after createTime and at most %d days ahead", ssm.MaxWindow)
		x.DeleteAt, x.Disabled = deletion.UnixNano(), !s.CreationFailed
		if s.CreationFailed {
			x.Creation = ssm.CreationFailed
		}
	}
	b.agree(s.DeleteTime == "" || x.DeleteAt != 0, path+".deleteTime", on{"status", "deleteTime"}, "only a secret whose status is PendingDelete has one")
	b.agree(!s.CreationFailed || x.DeleteAt != 0, path+".creationFailed", on{"status", "creationFailed"}, "it is for the status PendingDelete; else the status is Failed")
}

var historyID = regexp.MustCompile(`^SSM_Rotate_\d{14}$`)

// largestFrom is how much of a file is read for a value, in bytes: more than
// any value may have.
const largestFrom = 1 << 20

// from reads a value from where it is. Only the seeds of the command line may
// name places of this machine: whoever sends a seed could read them otherwise.
func (b *builder) from(path string, from *From, value *string) {
	if from == nil {
		return
	}
	switch {
	case !b.want(b.doc.local, path, "values from the environment or a file are read for --seed, and by ssmlocal import, not for a seed that is sent"):
	case !b.agree((from.Env == "") != (from.File == ""), path, on{"env", "file"}, "give one of env and file"):
	case !b.agree(*value == "", path, on{"secretString", "secretStringFrom"}, "give the value or where it is, not both"):
	case from.Env != "":
		text, is := os.LookupEnv(from.Env)
		b.want(is && text != "", path+".env", "the variable %s is not set, or is empty", from.Env)
		b.want(utf8.ValidString(text), path+".env", "the variable %s is not text in UTF-8; write a binary value as base64 in secretBinary", from.Env)
		*value = text
	default:
		name := from.File
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(b.doc.Name), name)
		}
		info, err := os.Stat(name) // an open pipe would wait for whoever writes to it
		if !b.check(path+".file", err) || !b.want(info.Mode().IsRegular(), path+".file", "%s is no file, but a pipe, a device or a directory; a reset reads the value again", name) {
			return
		}
		f, err := os.Open(name)
		if err != nil {
			b.check(path+".file", err)
			return
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, largestFrom))
		b.check(path+".file", err)
		*value = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		b.want(*value != "", path+".file", "%s is empty", name)
		b.want(utf8.ValidString(*value), path+".file", "%s is not text in UTF-8; write a binary value as base64 in secretBinary", name)
	}
}

func (b *builder) versions(path string, s *Secret, h *ssm.SecretSnapshot) {
	given, short := s.Versions, ""
	for field, value := range map[string]string{".secretString": s.SecretString, ".secretBinary": s.SecretBinary} {
		b.want(value != "" || !b.doc.has(path+field), path+field, "it is empty; a secret without versions has none of it")
	}
	if s.SecretString != "" || s.SecretBinary != "" {
		if !b.agree(len(given) == 0, path+".versions", on{"versions", "secretString", "secretBinary"}, "give the value here or beside the secret's name, not in both places") {
			return
		}
		given = []Version{{VersionID: ssm.CurrentVersion, SecretString: s.SecretString, SecretBinary: s.SecretBinary}}
		if short = path + ".secretString"; s.SecretString == "" {
			short = path + ".secretBinary"
		}
	}
	b.agree(len(given) == 0 || h.Secret.Creation == ssm.CreationDone, path+".versions", on{"status", "versions", "secretString", "secretBinary"}, "a secret that has not been made yet has no value")
	most := ssm.MaxVersions
	if h.Secret.Type != ssm.Custom {
		most = ssm.MaxHistory + 1
	}
	b.want(len(given) <= most, path+".versions", "there are %d; the limit is %d", len(given), most)
	for i, v := range given {
		at := cmp.Or(short, fmt.Sprintf("%s.versions[%d]", path, i))
		b.check(at+".versionId", ssm.CheckVersionID(v.VersionID))
		b.agree(h.Versions[v.VersionID] == nil, at+".versionId", on{"versionId", "versions"}, "it is given twice")
		if h.Secret.Type != ssm.Custom {
			history := historyID.MatchString(v.VersionID) && h.Secret.Type != ssm.Redis
			b.agree(v.VersionID == ssm.CurrentVersion || history, at+".versionId", on{"secretType", "versionId"}, "a value that the service makes is SSM_Current, or SSM_Rotate_ and a time where it was replaced")
			b.agree(v.SecretBinary == "", at+".secretBinary", on{"secretType", "secretBinary"}, "a value that the service makes is a text")
		}
		b.agreed(at, on{"secretString", "secretBinary", "secretStringFrom"}, ssm.CheckValue(v.SecretString, v.SecretBinary))
		if h.Secret.Type == ssm.Product || h.Secret.Type == ssm.Redis {
			var pair struct{ UserName, Password string }
			err := json.Unmarshal([]byte(v.SecretString), &pair)
			b.agree(err == nil && pair.UserName != "" && pair.Password != "" && len(pair.UserName) <= longestUser, at, on{"secretType", "secretString"}, `the value of a database account is {"UserName":…,"Password":…}`)
		}
		created := b.past(at+".createTime", v.CreateTime, time.Unix(0, h.Secret.CreatedAt))
		b.agree(created.UnixNano() >= h.Secret.CreatedAt, at+".createTime", on{"createTime"}, "it can't lie before the secret's")
		h.Versions[v.VersionID] = &ssm.Version{CreatedAt: created.UnixNano(), String: v.SecretString, Binary: v.SecretBinary}
	}
}

func (b *builder) product(path string, s *Secret, h *ssm.SecretSnapshot, e *ssm.AccountSnapshot) {
	x := &h.Secret
	x.ProductName, x.Domains = s.ProductName, s.Domains
	if len(x.Domains) == 0 {
		x.Domains = []string{"%"}
	}
	b.productName(path+".productName", s, e)
	if len(s.Privileges) > 0 {
		b.check(path+".privileges", ssm.CheckPrivileges(s.ProductName, s.Privileges))
		x.Privileges = s.Privileges
	}
	b.want(s.ResourceID != "", path+".resourceId", "it must be there: the instance of the database, such as cdb-n4j3y33j")
	b.check(path+".domains", ssm.CheckDomains(x.Domains))
	if s.UserNamePrefix != "" {
		b.check(path+".userNamePrefix", ssm.CheckPrefix(s.UserNamePrefix))
	}
	x.Rotation = ssm.Rotation{Enabled: s.EnableRotation, Frequency: cmp.Or(s.RotationFrequency, ssm.MinFrequency), Begin: s.RotationBeginTime}
	b.check(path+".rotationFrequency", ssm.CheckFrequency("RotationFrequency", x.Rotation.Frequency))
	if _, err := ssm.ParseTime("RotationBeginTime", x.Rotation.Begin); err != nil && (x.Rotation.Begin != "" || x.Rotation.Enabled) {
		begin := b.time(path+".rotationBeginTime", s.RotationBeginTime, time.Unix(0, x.CreatedAt))
		_, err := time.Parse(time.RFC3339, s.RotationBeginTime)
		b.want(err != nil || begin.Nanosecond() == 0, path+".rotationBeginTime", "it is a time in whole seconds; leave the fraction out")
		x.Rotation.Begin = ssm.FormatTime(begin.UnixNano())
	}
	b.databaseAccounts(path+".databaseAccounts", s.DatabaseAccounts, x, e)
}

// productName holds a ProductName to the list, once every file is read: a bound
// instance may have any.
func (b *builder) productName(path string, s *Secret, e *ssm.AccountSnapshot) {
	err, at, id := ssm.CheckProduct(s.ProductName), b.at(path), s.ResourceID
	if err == nil || s.ProductName != "" && len(s.Privileges) > 0 { // it was made while the instance was bound
		return
	}
	if s.ProductName == "" {
		b.check(path, err)
		return
	}
	if !b.want(ssm.IsID(s.ProductName), path, "it must have 1 to %d bytes, and no control characters", ssm.MaxID) {
		return
	}
	b.afterwards(func() {
		if !b.isBound(e, id) {
			b.checkAt(at, err)
		}
	})
}

// isBound reports whether an instance is bound, by the files or the
// configuration.
func (b *builder) isBound(e *ssm.AccountSnapshot, id string) bool {
	return b.rules.Bound != nil && b.rules.Bound(e.Uin, id) ||
		slices.ContainsFunc(e.Data.Instances, func(in ssm.Binding) bool { return in.InstanceID == id })
}

// onceOnInstance refuses accounts of a bound instance that two secrets name: a
// rotation of one would lock out the other. Where nothing is bound, names are
// drawn alike now and then.
func (b *builder) onceOnInstance(path string, accounts []DBAccount, id string, e *ssm.AccountSnapshot) {
	at := b.at(path)
	b.afterwards(func() {
		if !b.isBound(e, id) {
			return
		}
		for _, a := range accounts {
			key := fmt.Sprint("account\x00", e.Uin, "\x00", id, "\x00", a.AccountName)
			b.agreeWith("instances", !b.taken[key], at, "the account %s of the instance %s is given twice", a.AccountName, id)
			b.taken[key] = true
		}
	})
}

// longestUser is the length of a user's name in MySQL.
const longestUser = 32

func (b *builder) databaseAccounts(path string, accounts []DBAccount, x *ssm.Secret, e *ssm.AccountSnapshot) {
	if len(accounts) == 0 {
		return
	}
	b.agree(len(accounts) == 2 && accounts[0].AccountName != accounts[1].AccountName, path, on{"databaseAccounts", "accountName"}, "a product secret has two accounts with names of their own")
	current := 0
	for i, a := range accounts {
		at := fmt.Sprintf("%s[%d]", path, i)
		b.want(a.AccountName != "" && len(a.AccountName) <= longestUser, at+".accountName", "it must have 1 to %d characters", longestUser)
		b.want(a.Version == "" || a.Version == ssm.CurrentVersion || historyID.MatchString(a.Version), at+".version", "it must be SSM_Current, SSM_Rotate_ and a time, or absent")
		if a.Version == ssm.CurrentVersion {
			current++
		}
		out := ssm.DBAccount{Name: a.AccountName, Version: a.Version}
		if a.RotatedTime != "" {
			out.RotatedAt = b.past(at+".rotatedTime", a.RotatedTime, time.Time{}).UnixNano()
		}
		b.agree((a.Version == "") == (a.RotatedTime == ""), at+".rotatedTime", on{"version", "rotatedTime"}, "an account that has been used has a version and a rotatedTime")
		x.Accounts = append(x.Accounts, out)
	}
	b.onceOnInstance(path, accounts, x.ResourceID, e)
	b.agree(current == 1 || x.Creation != ssm.CreationDone && current == 0, path, on{"version", "status"}, "one of them has the version SSM_Current")
}

func (b *builder) sshKey(path string, s *Secret, h *ssm.SecretSnapshot) {
	h.Secret.ResourceID = s.SSHKeyID
	b.want(s.ProjectID >= 0, path+".projectId", "it can't be less than 0")
	if s.SSHKeyName != "" {
		b.check(path+".sshKeyName", ssm.CheckKeyName(s.SSHKeyName))
	}
	b.want(s.SSHKeyID == "" || keyID.MatchString(s.SSHKeyID), path+".sshKeyId", "it must be skey- and 8 letters or digits")
	if s.SSHKeyID != "" {
		b.once(path+".sshKeyId", "the key "+s.SSHKeyID, h.Region)
	}
	if s.PrivateKey == "" && s.PublicKey == "" {
		return
	}
	block, _ := pem.Decode([]byte(s.PrivateKey))
	ok := block != nil
	if ok {
		_, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		ok = err == nil
	}
	b.want(ok, path+".privateKey", "it must be an RSA key in PEM, -----BEGIN RSA PRIVATE KEY-----")
	b.agree(strings.HasPrefix(s.PublicKey, "ssh-rsa "), path+".publicKey", on{"privateKey", "publicKey"}, "it must be there with privateKey, as ssh-rsa and the key")
	b.agree(s.SSHKeyID != "", path+".sshKeyId", on{"sshKeyId"}, "it must be there with privateKey")
	h.KeyPair = &ssm.KeyPair{ID: s.SSHKeyID, Public: s.PublicKey, Private: s.PrivateKey}
}

var keyID = regexp.MustCompile(`^skey-[a-z0-9]{8}$`)

func (b *builder) accessKey(path string, s *Secret, h *ssm.SecretSnapshot, e *ssm.AccountSnapshot) {
	b.want(s.TargetUin > 0 && s.TargetUin <= LargestUin, path+".targetUin", "it must be there: the user whose key it is")
	b.want(len(s.AccessKeys) <= ssm.MaxAccessKeys, path+".accessKeys", "a user has at most %d keys", ssm.MaxAccessKeys)
	keys := s.AccessKeys
	var chosen struct{ SecretId, SecretKey string }
	if v := h.Versions[ssm.CurrentVersion]; v != nil {
		err := json.Unmarshal([]byte(v.String), &chosen)
		b.agree(err == nil && chosen.SecretId != "" && chosen.SecretKey != "", path+".versions", on{"versions", "secretString"}, `the value of an API key is {"SecretId":…,"SecretKey":…}`)
		if len(keys) == 0 {
			keys = []AccessKey{{chosen.SecretId, chosen.SecretKey}}
		}
		last := keys[len(keys)-1]
		b.agree(last.SecretID == chosen.SecretId && last.SecretKey == chosen.SecretKey, path+".accessKeys", on{"versions", "secretString", "accessKeys", "secretId", "secretKey"}, "the last one is not that of the value SSM_Current")
	}
	for i, k := range keys {
		at := fmt.Sprintf("%s.accessKeys[%d]", path, i)
		if !b.agree(k.SecretID != "" && k.SecretKey != "", at, on{"versions", "secretString", "accessKeys", "secretId", "secretKey"}, "secretId and secretKey must be there") {
			continue
		}
		b.want(ssm.IsID(k.SecretID), at+".secretId", "it can have %d bytes at most, and no control characters", ssm.MaxID)
		b.free(at+".secretId", "the SecretId", k.SecretID, b.rules.IDTaken)
		h.Keys = append(h.Keys, ssm.HeldKey{SecretID: k.SecretID, AccessKeyPair: ssm.AccessKeyPair{
			SecretKey: k.SecretKey, Uin: e.Uin, TargetUin: s.TargetUin, Region: h.Region, SecretName: s.SecretName,
		}})
	}
}
