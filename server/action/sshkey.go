package action

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"ssmlocal/server/apierr"
	"ssmlocal/server/ssm"
	"ssmlocal/store"
)

// SSH key pairs of CVM: made, read.

// CreateSSHKeyPairSecretRequest has the parameters of CreateSSHKeyPairSecret.
type CreateSSHKeyPairSecretRequest struct {
	SecretName      string `tc3:"required"`
	ProjectId       int64  `tc3:"required"` // 0 is the default project
	Description     string
	KmsKeyId        string
	Tags            []Tag
	SSHKeyName      string // at most 25 characters, generated if absent
	KmsHsmClusterId string
	EncryptType     uint64 // 0 KMS, 1 software key
}

// CreateSSHKeyPairSecretReply is the answer of CreateSSHKeyPairSecret.
type CreateSSHKeyPairSecretReply struct {
	SecretName, SSHKeyID, SSHKeyName string
	TagCode                          uint64
	TagMsg                           string
}

// 1078/42262, 1140/60331. Keys are RSA of 2048 bits, as official examples show. The pair is made before the transaction,
// where it holds up nobody else.
var createSSHKeyPairSecret = command(spec[CreateSSHKeyPairSecretRequest, CreateSSHKeyPairSecretReply]{
	Name: "CreateSSHKeyPairSecret", Rate: 20,
	Check: func(q *CreateSSHKeyPairSecretRequest) error {
		err := cmp.Or(
			ssm.CheckName(q.SecretName), ssm.CheckDescription(q.Description), checkChoice("EncryptType", q.EncryptType, 1),
			ssm.CheckTags(modelTags(q.Tags)),
		)
		if err == nil && q.SSHKeyName != "" {
			err = ssm.CheckKeyName(q.SSHKeyName)
		}
		if err == nil && q.ProjectId < 0 {
			err = apierr.InvalidParameterValue.With("ProjectId")
		}
		return err
	},
	Prepare: func(c *Call, _ *CreateSSHKeyPairSecretRequest) (err error) {
		c.keys, err = c.newKeyPair()
		return err
	},
	Do: func(c *Call, q *CreateSSHKeyPairSecretRequest) (*CreateSSHKeyPairSecretReply, error) {
		s := &ssm.Secret{
			Name: q.SecretName, Type: ssm.SSHKeyPair, Description: q.Description, KmsKeyID: q.KmsKeyId,
			SoftwareKey: q.EncryptType == 1, Tags: modelTags(q.Tags), ProjectID: q.ProjectId,
			ResourceID: c.keys.ID, ResourceName: cmp.Or(q.SSHKeyName, "ssm_"+c.random(lowercase, 8)),
		}
		if err := c.create(s); err != nil {
			return nil, err
		}
		reply := &CreateSSHKeyPairSecretReply{SecretName: s.Name, SSHKeyID: c.keys.ID, SSHKeyName: s.ResourceName, TagMsg: "ok"}
		return reply, keyPairs.Put(c.tx, secretKey(c.Owner, s.Name), c.keys)
	},
})

// newKeyPair makes a pair: the private key in PEM without a line end, the public one as OpenSSH writes it, with the key's
// id behind it.
func (c *Call) newKeyPair() (*ssm.KeyPair, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("cannot write a public key: %w", err)
	}
	id := "skey-" + c.random(lowercase, 8)
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return &ssm.KeyPair{
		ID: id, Private: strings.TrimSuffix(string(private), "\n"),
		Public: strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(public)), "\n") + " " + id,
	}, nil
}

// SSHKeyPairValueRequest has the parameters of GetSSHKeyPairValue; one of them must be given.
type SSHKeyPairValueRequest struct{ SecretName, SSHKeyId string }

// SSHKeyPairValueReply is the answer of GetSSHKeyPairValue.
type SSHKeyPairValueReply struct {
	SSHKeyID, PublicKey, PrivateKey string
	ProjectID                       int64
	SSHKeyDescription, SSHKeyName   string
}

// 1078/42261. The key can also be read while the secret is Disabled: Terraform's provider does so.
var getSSHKeyPairValue = query(spec[SSHKeyPairValueRequest, SSHKeyPairValueReply]{
	Name: "GetSSHKeyPairValue", Rate: 20, Unpaid: true,
	Check: func(q *SSHKeyPairValueRequest) error {
		switch {
		case q.SecretName != "":
			return ssm.CheckName(q.SecretName)
		case q.SSHKeyId == "":
			return apierr.SecretOrKey.With()
		}
		return nil
	},
	Do: func(c *Call, q *SSHKeyPairValueRequest) (*SSHKeyPairValueReply, error) {
		name, err := c.secretOfKey(q)
		if err != nil {
			return nil, err
		}
		s, err := c.find(ssm.GetSSHKey, name)
		if err != nil {
			return nil, err
		}
		if q.SSHKeyId != "" && q.SSHKeyId != s.ResourceID {
			return nil, apierr.SecretOrKey.With()
		}
		if err := c.useKey(s, true); err != nil {
			return nil, err
		}
		k, err := keyPairs.Get(c.tx, secretKey(c.Owner, s.Name))
		if err != nil {
			return nil, err
		}
		return &SSHKeyPairValueReply{
			SSHKeyID: k.ID, PublicKey: k.Public, PrivateKey: k.Private, ProjectID: s.ProjectID,
			SSHKeyDescription: "created by ssm", SSHKeyName: s.ResourceName,
		}, nil
	},
})

// secretOfKey returns the name of the secret that a request means.
func (c *Call) secretOfKey(q *SSHKeyPairValueRequest) (string, error) {
	if q.SecretName != "" {
		return q.SecretName, nil
	}
	list := string(scope(c.Owner)) + byResource(ssm.SSHKeyPair, q.SSHKeyId)
	_, key, found := secrets.First(c.tx, list)
	if !found {
		return "", apierr.SSHKeyNotFound.With(q.SSHKeyId)
	}
	return c.ownSecret(key), nil
}

// keyPairs holds the key pairs of secrets, under the secrets' keys.
var keyPairs = &store.Table[ssm.KeyPair]{Name: "keypairs"}
