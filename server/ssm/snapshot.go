package ssm

// A SecretSnapshot is everything about one secret.
type SecretSnapshot struct {
	Region   string
	Secret   Secret
	Versions map[string]*Version // by VersionId
	KeyPair  *KeyPair            // of an SSH key secret
	Keys     []HeldKey           // of an API-key secret, oldest first
	// UserNamePrefix is the prefix for the accounts that a product secret
	// without accounts gets.
	UserNamePrefix string
}

// An AccountSnapshot is everything about one account besides its secrets.
type AccountSnapshot struct {
	Uin   uint64
	Data  AccountData
	Tasks map[int64]*Task // by FlowID
}

// A HeldKey is an access key with its SecretId.
type HeldKey struct {
	SecretID string
	AccessKeyPair
}
