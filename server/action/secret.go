package action

import (
	"errors"
	"fmt"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Secrets themselves: creating and describing them, and changing the
// description.

// CreateSecretRequest has the parameters of CreateSecret.
type CreateSecretRequest struct {
	SecretName       string `tc3:"required"`
	VersionId        string // SSM_Current if absent, and always for the types whose value the service makes
	Description      string
	KmsKeyId         string
	SecretType       uint64 // 0 custom, 4 Redis
	SecretBinary     string // base64
	SecretString     string
	AdditionalConfig string // JSON, Redis only
	Tags             []Tag
	KmsHsmClusterId  string // where a new default key would be made: accepted, without effect
	EncryptType      uint64 // 0 KMS, 1 software key
}

// A Tag is what a new secret is tagged with.
type Tag struct {
	TagKey   string `tc3:"required"`
	TagValue string `tc3:"required"`
}

func modelTags(tags []Tag) []ssm.Tag {
	var out []ssm.Tag
	for _, t := range tags {
		out = append(out, ssm.Tag(t))
	}
	return out
}

// CreateSecretReply is the answer of CreateSecret. TagCode is 0 and TagMsg "ok"
// also where no tag was given.
type CreateSecretReply struct {
	SecretName, VersionId string
	TagCode               uint64
	TagMsg                string
}

// 1078/38656, 1140/40529.
var createSecret = command(spec[CreateSecretRequest, CreateSecretReply]{
	Name: "CreateSecret", Rate: 100,
	Check: func(q *CreateSecretRequest) error {
		if err := ssm.CheckName(q.SecretName); err != nil {
			return err
		}
		if q.VersionId == "" {
			q.VersionId = ssm.CurrentVersion
		}
		if err := ssm.CheckVersionID(q.VersionId); err != nil {
			return err
		}
		if err := ssm.CheckDescription(q.Description); err != nil {
			return err
		}
		if err := checkChoice("EncryptType", q.EncryptType, 1); err != nil {
			return err
		}
		if err := ssm.CheckKmsKeyID(q.KmsKeyId); err != nil {
			return err
		}
		if err := checkContent(q); err != nil {
			return err
		}
		return ssm.CheckTags(modelTags(q.Tags))
	},
	Prepare: func(db *store.DB, c *Call, q *CreateSecretRequest) error {
		if ssm.Type(q.SecretType) != ssm.Redis {
			return nil
		}
		return c.makeRedisAccount(db, q.SecretName, q.AdditionalConfig, q.KmsKeyId, q.EncryptType == 1)
	},
	Do: func(c *Call, q *CreateSecretRequest) (*CreateSecretReply, error) {
		s := &ssm.Secret{
			Name: q.SecretName, Type: ssm.Type(q.SecretType), Description: q.Description, KmsKeyID: q.KmsKeyId,
			SoftwareKey: q.EncryptType == 1, AdditionalConfig: q.AdditionalConfig, Tags: modelTags(q.Tags),
		}
		if s.Type == ssm.Redis {
			s.ResourceID, _ = ssm.RedisInstance(q.AdditionalConfig) // checked
		}
		if err := c.create(s); err != nil {
			return nil, err
		}
		v := &ssm.Version{CreatedAt: s.CreatedAt, String: q.SecretString, Binary: q.SecretBinary}
		if s.Type == ssm.Redis {
			login, err := c.redisLogin(s)
			if err != nil {
				return nil, err
			}
			q.VersionId, v.String = ssm.CurrentVersion, accountValue(login.UserName, login.Password)
		}
		if err := c.putVersion(s.Name, q.VersionId, v); err != nil {
			return nil, err
		}
		return &CreateSecretReply{SecretName: s.Name, VersionId: q.VersionId, TagMsg: "ok"}, nil
	},
})

// redisLogin is the login of a new Redis secret: that of the account which was
// made, where the instance is bound.
func (c *Call) redisLogin(s *ssm.Secret) (ssm.Login, error) {
	switch {
	case c.engineOf(s.ResourceID) == "":
		return ssm.Login{UserName: c.newUserName("redis"), Password: c.newPassword()}, nil
	case c.login.IsZero(): // a secret of that name was there, and is gone since
		return c.login, apierr.InternalError.With()
	}
	made, err := IsMade(c.tx, c.Owner.Uin, s.ResourceID, c.login.UserName)
	if made == nil {
		return c.login, errors.Join(err, apierr.InternalError.With())
	}
	made.Drop, made.Unfinished = false, false
	c.Events = append(c.Events, c.event("creation", s.Name))
	return c.login, PutMade(c.tx, c.Owner.Uin, s.ResourceID, c.login.UserName, made)
}

// checkContent checks that a new secret has what its type needs, and nothing
// that its type can't have.
func checkContent(q *CreateSecretRequest) error {
	switch t := ssm.Type(q.SecretType); t {
	case ssm.Custom:
		if q.AdditionalConfig != "" {
			return apierr.NotForType.With("AdditionalConfig", t)
		}
		return ssm.CheckValue(q.SecretString, q.SecretBinary)
	case ssm.Redis:
		if q.SecretString != "" || q.SecretBinary != "" {
			return apierr.NotForType.With("SecretString", t)
		}
		_, err := ssm.RedisInstance(q.AdditionalConfig)
		return err
	}
	return apierr.BadChoice.With("SecretType", "0, 4")
}

// checkChoice checks a parameter that is a number up to most.
func checkChoice(name string, value, most uint64) error {
	if value > most {
		return apierr.BadChoice.With(name, fmt.Sprintf("0-%d", most))
	}
	return nil
}

// create stores a new secret, if its name is free and the quota allows it.
func (c *Call) create(s *ssm.Secret) error {
	if err := c.admit(s); err != nil {
		return err
	}
	return c.put(s)
}

// admit checks that the name of a new secret is free and that the quota allows
// it, and fills in its time and id.
func (c *Call) admit(s *ssm.Secret) error {
	// CreateSecret's codes lack the one for a foreign key, those of the other
	// two have it.
	if err := c.useKey(s, s.Type == ssm.Product || s.Type == ssm.SSHKeyPair); err != nil {
		return err
	}
	switch old, err := secrets.Get(c.tx, secretKey(c.Owner, s.Name)); {
	case err != nil:
		return err
	case old != nil:
		return ssm.Create.Refuse(old)
	case c.held() >= c.SecretLimit:
		return apierr.TooManySecrets.With(c.SecretLimit)
	}
	s.CreatedAt = c.Now.UnixNano()
	if s.ResourceID == "" {
		s.ResourceID = c.Owner.ResourceID(c.Now, c.random(lowercase, 3))
	}
	return nil
}

const (
	lowercase    = "abcdefghijklmnopqrstuvwxyz0123456789"
	alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + lowercase
	// dsnSafe is what passwords are made of: the rotation SDKs put them into a
	// DSN.
	dsnSafe = alphanumeric + "_-"
)

// newPassword draws the password of an account.
func (t *Tx) newPassword() string { return t.random(dsnSafe, 24) }

// accountValue returns the value for an account in the form that secrets of
// cloud products have: the rotation SDKs read exactly these keys.
func accountValue(user, password string) string {
	return fmt.Sprintf(`{"UserName":%q,"Password":%q}`, user, password)
}

// NameRequest has the one parameter of the actions that need only a secret's
// name.
type NameRequest struct {
	SecretName string `tc3:"required"`
}

func checkName(q *NameRequest) error { return ssm.CheckName(q.SecretName) }

// NameReply is the answer of actions that only echo the secret's name.
type NameReply struct{ SecretName string }

// An AccountInfo is one database account of a product secret.
type AccountInfo struct {
	AccountName string
	Host        []string
	Version     string // SSM_Current, or the history version that has it
	RotatedTime string // YYYY-MM-DD hh:mm:ss, UTC+8
}

// DescribeSecretReply is the answer of DescribeSecret. Times are unix seconds.
type DescribeSecretReply struct {
	SecretName            string
	Description           string
	KmsKeyId              string
	CreateUin             uint64
	Status                string
	DeleteTime            uint64 // 0 unless a deletion is scheduled
	CreateTime            uint64
	SecretType            int64
	ProductName           string
	ResourceID            string
	RotationStatus        bool
	RotationFrequency     int64
	ResourceName          string
	ProjectID             int64
	AssociatedInstanceIDs []string
	TargetUin             uint64
	AdditionalConfig      string
	EncryptType           uint64
	EncryptSwitching      bool
	CreateUinString       string
	TargetUinString       string
	AccountInfoList       []AccountInfo `json:",omitempty"`
	NextRotationTime      string        `json:",omitempty"`
}

// 1078/38653, 1140/40526.
var describeSecret = query(spec[NameRequest, DescribeSecretReply]{
	Name: "DescribeSecret", Rate: 40,
	Check: checkName,
	Do: func(c *Call, q *NameRequest) (*DescribeSecretReply, error) {
		s, err := c.find(ssm.Describe, q.SecretName)
		if err != nil {
			return nil, err
		}
		m := c.metadata(s)
		return &DescribeSecretReply{
			SecretName: m.SecretName, Description: m.Description, KmsKeyId: m.KmsKeyId,
			CreateUin: m.CreateUin, CreateUinString: m.CreateUinString,
			Status: m.Status, DeleteTime: m.DeleteTime, CreateTime: m.CreateTime,
			SecretType: m.SecretType, ProductName: m.ProductName, ResourceID: m.ResourceID,
			TargetUin: m.TargetUin, TargetUinString: m.TargetUinString,
			AdditionalConfig: s.AdditionalConfig, EncryptType: m.EncryptType,
			RotationStatus: s.Rotation.Enabled, RotationFrequency: m.RotationFrequency,
			ResourceName: m.ResourceName, ProjectID: m.ProjectID,
			AccountInfoList: accountInfos(s), NextRotationTime: s.Rotation.Next(),
		}, nil
	},
})

// UpdateDescriptionRequest has the parameters of UpdateDescription. The
// description may be empty.
type UpdateDescriptionRequest struct {
	SecretName  string `tc3:"required"`
	Description string `tc3:"required"`
}

// 1078/38643, 1140/40516.
var updateDescription = command(spec[UpdateDescriptionRequest, NameReply]{
	Name: "UpdateDescription", Rate: 20,
	Check: func(q *UpdateDescriptionRequest) error {
		if err := ssm.CheckName(q.SecretName); err != nil {
			return err
		}
		return ssm.CheckDescription(q.Description)
	},
	Do: func(c *Call, q *UpdateDescriptionRequest) (*NameReply, error) {
		s, err := c.change(ssm.UpdateDescription, q.SecretName, func(s *ssm.Secret) { s.Description = q.Description })
		if err != nil {
			return nil, err
		}
		return &NameReply{s.Name}, nil
	},
})
