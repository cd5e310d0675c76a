package action

// SSH key pairs. Not built yet: their parameters are checked, then they answer UnsupportedOperation.

// CreateSSHKeyPairSecretRequest has the parameters of CreateSSHKeyPairSecret.
type CreateSSHKeyPairSecretRequest struct {
	SecretName      string `tc3:"required"`
	ProjectId       int64  `tc3:"required"` // 0 is the default project
	Description     string
	KmsKeyId        string
	Tags            []Tag
	SSHKeyName      string
	KmsHsmClusterId string
	EncryptType     uint64
}

// CreateSSHKeyPairSecretReply is the answer of CreateSSHKeyPairSecret.
type CreateSSHKeyPairSecretReply struct {
	SecretName, SSHKeyID, SSHKeyName string
	TagCode                          uint64
	TagMsg                           string
}

// 1078/42262, 1140/60331.
var createSSHKeyPairSecret = command(spec[CreateSSHKeyPairSecretRequest, CreateSSHKeyPairSecretReply]{
	Name: "CreateSSHKeyPairSecret", Rate: 20,
})

// SSHKeyPairValueRequest has the parameters of GetSSHKeyPairValue; one of them must be given.
type SSHKeyPairValueRequest struct{ SecretName, SSHKeyId string }

// SSHKeyPairValueReply is the answer of GetSSHKeyPairValue.
type SSHKeyPairValueReply struct {
	SSHKeyID, PublicKey, PrivateKey string
	ProjectID                       int64
	SSHKeyDescription, SSHKeyName   string
}

// 1078/42261.
var getSSHKeyPairValue = query(spec[SSHKeyPairValueRequest, SSHKeyPairValueReply]{Name: "GetSSHKeyPairValue", Rate: 20})
