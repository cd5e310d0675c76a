package action

import (
	"cmp"
	"slices"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Values: read, added, overwritten, listed, removed.

// GetSecretValueRequest has the parameters of GetSecretValue.
type GetSecretValueRequest struct {
	SecretName string `tc3:"required"`
	// VersionId may be empty: dapr's and external-secrets' clients send that,
	// and mean SSM_Current.
	VersionId string `tc3:"required"`
	// These two ask for a value that is encrypted for the caller. They and the
	// form of the answer are undocumented, so they are refused: a client would
	// take a plain value for an encrypted one.
	EncryptionPublicKey, EncryptionAlgorithm string
}

// SecretValueReply is the answer of GetSecretValue. Both values are always
// there, the unused one is "".
type SecretValueReply struct {
	SecretName, VersionId      string
	SecretBinary, SecretString string
}

// 1078/38649, 1140/40522. A missing version is reported before a status that
// forbids reading: Terraform, when it destroys a version of a disabled secret,
// waits for ResourceNotFound.
var getSecretValue = query(spec[GetSecretValueRequest, SecretValueReply]{
	Name: "GetSecretValue", Rate: 300,
	Check: func(q *GetSecretValueRequest) error {
		if err := ssm.CheckName(q.SecretName); err != nil {
			return err
		}
		switch {
		case q.EncryptionPublicKey != "":
			return apierr.NotEncrypted.With("EncryptionPublicKey")
		case q.EncryptionAlgorithm != "":
			return apierr.NotEncrypted.With("EncryptionAlgorithm")
		case q.VersionId == "":
			return nil
		}
		return ssm.CheckVersionID(q.VersionId)
	},
	Do: func(c *Call, q *GetSecretValueRequest) (*SecretValueReply, error) {
		s, refusal := c.find(ssm.GetValue, q.SecretName)
		if s == nil {
			return nil, refusal
		}
		if s.Status() == ssm.Creating || s.Status() == ssm.Failed {
			return nil, refusal // no version to look for yet
		}
		id := cmp.Or(q.VersionId, ssm.CurrentVersion)
		v, err := c.version(s.Name, id)
		switch {
		case err != nil:
			return nil, err
		case v == nil && q.VersionId == "":
			return nil, apierr.BadVersionID.With()
		case v == nil && ssm.GetValue.ForType(s.Type) == nil:
			return nil, apierr.VersionNotFound.With(id, s.Name)
		case refusal != nil:
			return nil, refusal
		}
		if err := c.useKey(s, false); err != nil {
			return nil, err
		}
		return &SecretValueReply{SecretName: s.Name, VersionId: id, SecretBinary: v.Binary, SecretString: v.String}, nil
	},
})

// ReadValue returns a version as the store has it, whatever the secret's status
// is; nil if there is none.
func ReadValue(db *store.DB, o ssm.Owner, name, id string) (v *ssm.Version, err error) {
	err = db.View(func(tx *store.Tx) error { v, err = versions.Get(tx, versionKey(o, name, id)); return err })
	return v, err
}

// ValueRequest has the parameters of PutSecretValue and UpdateSecret.
type ValueRequest struct {
	SecretName   string `tc3:"required"`
	VersionId    string `tc3:"required"`
	SecretBinary string // base64
	SecretString string
}

func checkValue(q *ValueRequest) error {
	if err := ssm.CheckName(q.SecretName); err != nil {
		return err
	}
	if err := ssm.CheckVersionID(q.VersionId); err != nil {
		return err
	}
	return ssm.CheckValue(q.SecretString, q.SecretBinary)
}

// VersionReply is the answer of actions that only echo the secret's name and
// the version.
type VersionReply struct{ SecretName, VersionId string }

// 1078/38645, 1140/40518.
var putSecretValue = command(spec[ValueRequest, VersionReply]{
	Name: "PutSecretValue", Rate: 100,
	Check: checkValue,
	Do: func(c *Call, q *ValueRequest) (*VersionReply, error) {
		s, err := c.find(ssm.PutValue, q.SecretName)
		if err != nil {
			return nil, err
		}
		old, err := c.version(s.Name, q.VersionId)
		switch {
		case err != nil:
			return nil, err
		case old != nil:
			return nil, apierr.VersionExists.With(q.VersionId, s.Name)
		}
		if n := len(versions.Keys(c.tx, versionPrefix(c.Owner, s.Name))); n >= ssm.MaxVersions {
			return nil, apierr.TooManyVersions.With(s.Name, n)
		}
		if err := c.useKey(s, false); err != nil {
			return nil, err
		}
		v := &ssm.Version{CreatedAt: c.after(s), String: q.SecretString, Binary: q.SecretBinary}
		return &VersionReply{s.Name, q.VersionId}, c.putVersion(s.Name, q.VersionId, v)
	},
})

// 1078/38642. The version keeps its CreateTime: only its content is
// overwritten.
var updateSecret = command(spec[ValueRequest, VersionReply]{
	Name: "UpdateSecret", Rate: 50,
	Check: checkValue,
	Do: func(c *Call, q *ValueRequest) (*VersionReply, error) {
		s, v, err := c.findVersion(ssm.UpdateValue, q.SecretName, q.VersionId)
		if err != nil {
			return nil, err
		}
		if err := c.useKey(s, false); err != nil {
			return nil, err
		}
		v.String, v.Binary = q.SecretString, q.SecretBinary
		return &VersionReply{q.SecretName, q.VersionId}, c.putVersion(q.SecretName, q.VersionId, v)
	},
})

// VersionRequest has the parameters of DeleteSecretVersion.
type VersionRequest struct {
	SecretName string `tc3:"required"`
	VersionId  string `tc3:"required"`
}

// 1078/38654, 1140/40527. The last version can go too: Terraform makes a secret
// without versions that way.
var deleteSecretVersion = command(spec[VersionRequest, VersionReply]{
	Name: "DeleteSecretVersion", Rate: 50,
	Check: func(q *VersionRequest) error {
		if err := ssm.CheckName(q.SecretName); err != nil {
			return err
		}
		return ssm.CheckVersionID(q.VersionId)
	},
	Do: func(c *Call, q *VersionRequest) (*VersionReply, error) {
		if _, _, err := c.findVersion(ssm.DeleteVersion, q.SecretName, q.VersionId); err != nil {
			return nil, err
		}
		key := versionKey(c.Owner, q.SecretName, q.VersionId)
		return &VersionReply{q.SecretName, q.VersionId}, versions.Delete(c.tx, key)
	},
})

// A VersionInfo is one version in a list. CreateTime is in unix seconds.
type VersionInfo struct {
	VersionId  string
	CreateTime uint64
}

// VersionsReply is the answer of ListSecretVersionIds.
type VersionsReply struct {
	SecretName string
	Versions   []VersionInfo
}

// 1078/38647. Newest first, as a recent official example has it.
var listSecretVersionIds = query(spec[NameRequest, VersionsReply]{
	Name: "ListSecretVersionIds", Rate: 40,
	Check: checkName,
	Do: func(c *Call, q *NameRequest) (*VersionsReply, error) {
		s, err := c.find(ssm.ListVersions, q.SecretName)
		if err != nil {
			return nil, err
		}
		type made struct {
			at int64
			VersionInfo
		}
		var all []made
		prefix := versionPrefix(c.Owner, s.Name)
		err = versions.Scan(c.tx, prefix, func(key []byte, v *ssm.Version) error {
			all = append(all, made{v.CreatedAt, VersionInfo{string(key[len(prefix):]), ssm.Unix(v.CreatedAt)}})
			return nil
		})
		slices.SortStableFunc(all, func(a, b made) int { return cmp.Compare(b.at, a.at) })
		reply := &VersionsReply{SecretName: s.Name}
		for _, v := range all {
			reply.Versions = append(reply.Versions, v.VersionInfo)
		}
		return reply, err
	},
})
