// Package seed is the one format in which a whole state is written down: seeds
// that a server starts with, snapshots that it exports, and what it imports. A
// File is read with the position of every mistake. A State is what files say at
// a moment. It is checked against the rules of the model, so that a seed can't
// make anything that a client could not have made.
//
// The format is described for editors by fixtures/seed.schema.json.
package seed

import (
	"maps"
	"slices"

	"go.yaml.in/yaml/v4"

	"ssmlocal/server/account"
	"ssmlocal/server/fault"
	"ssmlocal/server/ssm"
)

// A File is one document. Times are written as 2030-01-02T15:04:05Z, or
// relative to the virtual time at which the file is applied: now, now-30d,
// now+72h.
type File struct {
	Clock    *Clock       `yaml:"clock,omitempty"`
	Accounts []Account    `yaml:"accounts,omitempty"`
	Faults   []fault.Rule `yaml:"faults,omitempty"`
}

// A Clock sets the virtual clock: to a moment, or ahead of wall time by an
// offset such as 72h.
type Clock struct {
	Now    string `yaml:"now,omitempty"`
	Offset string `yaml:"offset,omitempty"`
	Frozen bool   `yaml:"frozen,omitempty"`
}

// An Account is everything about one account.
type Account struct {
	Uin         uint64            `yaml:"uin"`               // the default account if absent
	Service     string            `yaml:"service,omitempty"` // normal, none, arrears or released
	Postpaid    bool              `yaml:"postpaid,omitempty"`
	Order       *Order            `yaml:"order,omitempty"`       // by which CreateService has enabled it
	SecretLimit uint64            `yaml:"secretLimit,omitempty"` // secrets in a region; 0 is the server's own
	KmsKeys     map[string]string `yaml:"kmsKeys,omitempty"`     // good, disabled or foreign, by KmsKeyId
	Isolated    []string          `yaml:"isolated,omitempty"`    // InstanceIDs whose secrets can't be rotated
	Instances   []Instance        `yaml:"instances,omitempty"`   // that are bound to real databases
	Users       []User            `yaml:"users,omitempty"`
	Roles       []Role            `yaml:"roles,omitempty"` // without any, every role can be assumed and may do everything
	Credentials []Credential      `yaml:"credentials,omitempty"`
	Secrets     []Secret          `yaml:"secrets,omitempty"`
	Tasks       []Task            `yaml:"tasks,omitempty"`
}

// An Order is what CreateService has ordered: the same token again is a retry
// of it.
type Order struct {
	ClientToken string `yaml:"clientToken"`
	OrderID     string `yaml:"orderId"`
}

// An Instance is bound to a real database.
type Instance struct {
	InstanceID string `yaml:"instanceId"`
	URL        string `yaml:"url"` // mysql://, postgres:// or redis://, with the user who may make accounts
}

// A User is a sub-account.
type User struct {
	Uin       uint64 `yaml:"uin"`
	OtherKeys int    `yaml:"otherKeys,omitempty"` // access keys that no secret holds
}

// A Role is one that AssumeRole and the instance metadata make temporary keys
// for.
type Role struct {
	RoleName string           `yaml:"roleName"`
	Policies []account.Policy `yaml:"policies,omitempty"`
	Bound    bool             `yaml:"bound,omitempty"` // to the instance, whose metadata lists it
	// DurationSeconds is how long the keys from the metadata live; 7200 if
	// absent.
	DurationSeconds uint64 `yaml:"durationSeconds,omitempty"`
}

// A Credential is a key pair that may call.
type Credential struct {
	SecretID   string           `yaml:"secretId"`
	SecretKey  string           `yaml:"secretKey"`
	User       uint64           `yaml:"user,omitempty"`  // the sub-account whose key it is
	Token      string           `yaml:"token,omitempty"` // of temporary keys
	ExpireTime string           `yaml:"expireTime,omitempty"`
	Policies   []account.Policy `yaml:"policies,omitempty"` // CAM, version 2.0 or 3.0; without any, everything is allowed
}

// A Secret is one secret with its values. The fields are the API's.
type Secret struct {
	SecretName     string `yaml:"secretName"`
	Region         string `yaml:"region,omitempty"`     // ap-guangzhou if absent
	SecretType     uint64 `yaml:"secretType,omitempty"` // 0 custom, 1 product, 2 SSH key pair, 3 API key, 4 Redis
	Status         string `yaml:"status,omitempty"`     // Enabled if absent
	CreationFailed bool   `yaml:"creationFailed,omitempty"`
	CreateTime     string `yaml:"createTime,omitempty"` // now if absent
	DeleteTime     string `yaml:"deleteTime,omitempty"` // of a secret that is PendingDelete; in 30 days if absent
	Description    string `yaml:"description,omitempty"`
	KmsKeyID       string `yaml:"kmsKeyId,omitempty"`
	EncryptType    uint64 `yaml:"encryptType,omitempty"` // 0 KMS, 1 software key
	Tags           Tags   `yaml:"tags,omitempty"`

	SecretString string    `yaml:"secretString,omitempty"` // short for one version, SSM_Current
	SecretBinary string    `yaml:"secretBinary,omitempty"` // likewise, base64
	Versions     []Version `yaml:"versions,omitempty"`

	// SecretStringFrom is where the value is, for a seed that others may see.
	SecretStringFrom *From `yaml:"secretStringFrom,omitempty"`

	// Products and Redis.
	ProductName       string      `yaml:"productName,omitempty"`
	ResourceID        string      `yaml:"resourceId,omitempty"` // a product's instance; of other types drawn if absent
	UserNamePrefix    string      `yaml:"userNamePrefix,omitempty"`
	Domains           []string    `yaml:"domains,omitempty"` // % if absent
	DatabaseAccounts  []DBAccount `yaml:"databaseAccounts,omitempty"`
	Privileges        []Privilege `yaml:"privileges,omitempty"` // of the accounts in a real database
	EnableRotation    bool        `yaml:"enableRotation,omitempty"`
	RotationFrequency int64       `yaml:"rotationFrequency,omitempty"` // days
	RotationBeginTime string      `yaml:"rotationBeginTime,omitempty"` // also YYYY-MM-DD hh:mm:ss, UTC+8, as the API has it
	LatestRotateTime  string      `yaml:"latestRotateTime,omitempty"`
	FlowID            int64       `yaml:"flowId,omitempty"` // the task that runs
	AdditionalConfig  string      `yaml:"additionalConfig,omitempty"`

	// SSH key pairs; what is absent is drawn.
	ProjectID  int64  `yaml:"projectId,omitempty"`
	SSHKeyID   string `yaml:"sshKeyId,omitempty"`
	SSHKeyName string `yaml:"sshKeyName,omitempty"`
	PublicKey  string `yaml:"publicKey,omitempty"`
	PrivateKey string `yaml:"privateKey,omitempty"`

	// API keys.
	TargetUin  uint64      `yaml:"targetUin,omitempty"`
	AccessKeys []AccessKey `yaml:"accessKeys,omitempty"` // oldest first; drawn if absent
}

// Tags are written as a mapping whose order is kept.
type Tags []Tag

// A Tag is a key with its value.
type Tag struct{ Key, Value string }

// UnmarshalYAML reads a mapping of texts.
func (t *Tags) UnmarshalYAML(n *yaml.Node) error {
	var plain map[string]string
	if err := n.Load(&plain); err != nil {
		return err
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if value, ok := plain[key]; ok {
			*t = append(*t, Tag{key, value})
			delete(plain, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(plain)) { // what a merge brings
		*t = append(*t, Tag{key, plain[key]})
	}
	return nil
}

// A Version is one value of a secret.
type Version struct {
	VersionID    string `yaml:"versionId"`
	CreateTime   string `yaml:"createTime,omitempty"` // the secret's if absent
	SecretString string `yaml:"secretString,omitempty"`
	SecretBinary string `yaml:"secretBinary,omitempty"`

	SecretStringFrom *From `yaml:"secretStringFrom,omitempty"`
}

// From is where a value is: in a variable of the environment, or in a file,
// whose name is relative to the seed's directory. The last line end of a file
// does not belong to the value.
type From struct {
	Env  string `yaml:"env,omitempty"`
	File string `yaml:"file,omitempty"`
}

// A DBAccount is one of the two accounts of a product secret.
type DBAccount struct {
	AccountName string `yaml:"accountName"`
	Version     string `yaml:"version,omitempty"` // SSM_Current, or the history version that has it; absent before its first use
	RotatedTime string `yaml:"rotatedTime,omitempty"`
}

// A Privilege is what a product secret's accounts may do at one level, as
// CreateProductSecret has it.
type Privilege = ssm.PrivilegeUnit

// An AccessKey is a key pair that an API-key secret holds.
type AccessKey struct {
	SecretID  string `yaml:"secretId"`
	SecretKey string `yaml:"secretKey"`
}

// A Task is what DescribeAsyncRequestInfo reports on.
type Task struct {
	FlowID     int64  `yaml:"flowId"`
	Kind       string `yaml:"kind"`             // creation, rotation or deletion
	Status     string `yaml:"status,omitempty"` // running (if absent), done or failed
	Region     string `yaml:"region,omitempty"`
	SecretName string `yaml:"secretName"`
	BeginTime  string `yaml:"beginTime,omitempty"` // now if absent
	DueTime    string `yaml:"dueTime,omitempty"`   // when a running task ends
	Polls      int    `yaml:"polls,omitempty"`     // or after how many polls
	Fails      bool   `yaml:"fails,omitempty"`
}

// Of returns what files say about one account, and the faults for that account
// alone.
func Of(uin uint64, sources []*Source) (own []*Source) {
	for _, s := range sources {
		part := *s
		part.only = uin
		own = append(own, &part)
	}
	return own
}
