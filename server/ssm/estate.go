package ssm

// A Holding is all there is to one secret.
type Holding struct {
	Region   string
	Secret   Secret
	Versions map[string]*Version // by VersionId
	KeyPair  *KeyPair            // of an SSH key secret
	Keys     []HeldKey           // of an API-key secret, oldest first
	// UserNamePrefix is that of the accounts that a product secret without any gets.
	UserNamePrefix string
}

// An Estate is all there is to one account.
type Estate struct {
	Uin     uint64
	Data    AccountData
	Secrets []*Holding
	Tasks   map[int64]*Task // by FlowID
}

// A HeldKey is an access key with its SecretId.
type HeldKey struct {
	SecretID string
	AccessKeyPair
}
