package action

import (
	"cmp"
	"slices"
	"strings"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// Product secrets: a database account that the service makes.

// CreateProductSecretRequest has the parameters of CreateProductSecret.
type CreateProductSecretRequest struct {
	SecretName        string          `tc3:"required"`
	UserNamePrefix    string          `tc3:"required"` // at most 8 characters
	ProductName       string          `tc3:"required"` // one of DescribeSupportedProducts
	InstanceID        string          `tc3:"required"`
	Domains           []string        `tc3:"required"` // hosts from which the account may connect
	PrivilegesList    []PrivilegeUnit `tc3:"required"`
	Description       string
	KmsKeyId          string
	Tags              []Tag
	RotationBeginTime string // YYYY-MM-DD hh:mm:ss, UTC+8; must be given with EnableRotation
	EnableRotation    bool
	RotationFrequency *int64 // days, 30 if absent
	KmsHsmClusterId   string
	AccountRemark     string // of the account in the database: accepted, shown nowhere
	AccountType       string // "L3", SQL Server only: accepted, shown nowhere
	EncryptType       uint64 // 0 KMS, 1 software key
}

// A PrivilegeUnit is the privileges of a database account at one level.
type PrivilegeUnit struct {
	PrivilegeName string   `tc3:"required"`
	Privileges    []string `tc3:"required"`

	Database, TableName, ColumnName, SchemaName, SequenceName, ProcedureName string
	TypeName, FunctionName, ViewName, MatviewName                            string
}

func modelPrivileges(units []PrivilegeUnit) []ssm.PrivilegeUnit {
	var out []ssm.PrivilegeUnit
	for _, u := range units {
		out = append(out, ssm.PrivilegeUnit{
			PrivilegeName: u.PrivilegeName, Privileges: u.Privileges,
			Database: u.Database, Table: u.TableName, Column: u.ColumnName, Schema: u.SchemaName,
			Sequence: u.SequenceName, Procedure: u.ProcedureName, Type: u.TypeName, Function: u.FunctionName,
			View: u.ViewName, Matview: u.MatviewName,
		})
	}
	return out
}

// CreateProductSecretReply is the answer of CreateProductSecret. FlowID is the
// task that makes the accounts.
type CreateProductSecretReply struct {
	SecretName string
	TagCode    uint64
	TagMsg     string
	FlowID     int64
}

// 1078/41519, 1140/58266. The secret is Creating until its task is done.
var createProductSecret = command(spec[CreateProductSecretRequest, CreateProductSecretReply]{
	Name: "CreateProductSecret", Rate: 20,
	Check: func(q *CreateProductSecretRequest) error {
		return cmp.Or(
			ssm.CheckName(q.SecretName), ssm.CheckPrefix(q.UserNamePrefix), checkID("ProductName", q.ProductName),
			checkID("InstanceID", q.InstanceID), ssm.CheckKmsKeyID(q.KmsKeyId), ssm.CheckDomains(q.Domains),
			ssm.CheckPrivileges(q.ProductName, modelPrivileges(q.PrivilegesList)), ssm.CheckDescription(q.Description),
			checkChoice("EncryptType", q.EncryptType, 1), checkAccountType(q.AccountType), checkRotation(q), ssm.CheckTags(modelTags(q.Tags)),
		)
	},
	Prepare: func(_ *store.DB, c *Call, q *CreateProductSecretRequest) error {
		return c.checkProduct(q.ProductName, q.InstanceID, modelPrivileges(q.PrivilegesList))
	},
	Do: func(c *Call, q *CreateProductSecretRequest) (*CreateProductSecretReply, error) {
		s := &ssm.Secret{
			Name: q.SecretName, Type: ssm.Product, Description: q.Description, KmsKeyID: q.KmsKeyId,
			SoftwareKey: q.EncryptType == 1, Tags: modelTags(q.Tags), ProductName: q.ProductName, ResourceID: q.InstanceID,
			Creation: ssm.CreationRunning, Accounts: c.newAccounts(q.UserNamePrefix), Domains: q.Domains,
			Privileges: modelPrivileges(q.PrivilegesList),
			Rotation:   ssm.Rotation{Enabled: q.EnableRotation, Begin: q.RotationBeginTime, Frequency: ssm.MinFrequency},
		}
		// Without EnableRotation any frequency is accepted, but one outside the
		// allowed range is not stored.
		if q.RotationFrequency != nil && ssm.CheckFrequency("RotationFrequency", *q.RotationFrequency) == nil {
			s.Rotation.Frequency = *q.RotationFrequency
		}
		if err := c.admit(s); err != nil {
			return nil, err
		}
		flowID, err := c.begin(ssm.CreateTask, s)
		return &CreateProductSecretReply{SecretName: s.Name, TagMsg: "ok", FlowID: flowID}, err
	},
})

// checkProduct holds a ProductName to the list, unless the instance is a real
// database: that one says by itself what it is, and which privileges it has.
func (c *Call) checkProduct(product, instanceID string, privileges []ssm.PrivilegeUnit) error {
	if c.engineOf(instanceID) == "" {
		return ssm.CheckProduct(product)
	}
	if err := c.Instances.CheckPrivileges(c.Owner.Uin, instanceID, privileges); err != nil {
		return apierr.NotOfEngine.With(instanceID, err)
	}
	return nil
}

// checkAccountType takes the one documented value (140, CreateProductSecret).
func checkAccountType(value string) error {
	if value != "" && value != "L3" {
		return apierr.InvalidParameterValue.With("AccountType")
	}
	return nil
}

func checkID(name, value string) error {
	if !ssm.IsID(value) {
		return apierr.InvalidParameterValue.With(name)
	}
	return nil
}

// checkRotation checks the policy of a new product secret; without
// EnableRotation it checks only the form of what is given.
func checkRotation(q *CreateProductSecretRequest) error {
	if q.RotationBeginTime != "" {
		if _, err := ssm.ParseTime("RotationBeginTime", q.RotationBeginTime); err != nil {
			return err
		}
	}
	switch {
	case !q.EnableRotation:
		return nil
	case q.RotationBeginTime == "":
		return apierr.BeginRequired.With()
	case q.RotationFrequency == nil:
		return nil
	}
	return ssm.CheckFrequency("RotationFrequency", *q.RotationFrequency)
}

// newAccounts names the two accounts of a product secret: official examples are
// remm_SSM_hQ4 and lif_SSM_94G.
func (t *Tx) newAccounts(prefix string) []ssm.DBAccount {
	a := ssm.DBAccount{Name: t.newUserName(prefix)}
	b := a
	for b.Name == a.Name {
		b.Name = t.newUserName(prefix)
	}
	return []ssm.DBAccount{a, b}
}

func (t *Tx) newUserName(prefix string) string {
	return prefix + ssm.AccountMark + t.random(alphanumeric, 3)
}

// accountInfos lists the accounts of a secret that have been used: first the
// current one.
func accountInfos(s *ssm.Secret) []AccountInfo {
	var infos []AccountInfo
	for _, a := range s.Accounts {
		if a.Version == "" {
			continue
		}
		info := AccountInfo{AccountName: a.Name, Host: s.Domains, Version: a.Version, RotatedTime: ssm.FormatTime(a.RotatedAt)}
		if a.Version == ssm.CurrentVersion {
			infos = slices.Insert(infos, 0, info)
		} else {
			infos = append(infos, info)
		}
	}
	return infos
}

const historyPrefix = "SSM_Rotate_"

// history returns the ids of a secret's replaced values, newest first.
func (t *Tx) history(s *ssm.Secret) (ids []string) {
	prefix := versionPrefix(t.Owner, s.Name)
	for _, key := range versions.Keys(t.tx, append(prefix, historyPrefix...)) {
		ids = append(ids, string(key[len(prefix):]))
	}
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(b, a) })
	return ids
}
