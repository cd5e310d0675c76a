package action

import (
	"bytes"
	"cmp"
	"context"
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

// SSH key pairs of CVM: creating and reading them.

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

// 1078/42262, 1140/60331. Keys are RSA of 2048 bits, as official examples show.
// The pair is made before the transaction, so that nobody else has to wait.
var createSSHKeyPairSecret = command(spec[CreateSSHKeyPairSecretRequest, CreateSSHKeyPairSecretReply]{
	Name: "CreateSSHKeyPairSecret", Rate: 20,
	Check: func(q *CreateSSHKeyPairSecretRequest) error {
		err := cmp.Or(
			ssm.CheckName(q.SecretName), ssm.CheckDescription(q.Description), checkChoice("EncryptType", q.EncryptType, 1),
			ssm.CheckTags(modelTags(q.Tags)), ssm.CheckKmsKeyID(q.KmsKeyId),
		)
		if err == nil && q.SSHKeyName != "" {
			err = ssm.CheckKeyName(q.SSHKeyName)
		}
		if err == nil && q.ProjectId < 0 {
			err = apierr.InvalidParameterValue.With("ProjectId")
		}
		return err
	},
	Prepare: func(_ *store.DB, c *Call, _ *CreateSSHKeyPairSecretRequest) (err error) {
		if c.keys, err = newKeyPair(); err == nil {
			c.keys = c.keys.Named(c.newKeyID())
		}
		return err
	},
	Do: func(c *Call, q *CreateSSHKeyPairSecretRequest) (*CreateSSHKeyPairSecretReply, error) {
		for c.keyTaken(c.keys.ID) { // a random source that repeats may draw it twice
			c.keys = c.keys.Named(c.newKeyID())
		}
		s := &ssm.Secret{
			Name: q.SecretName, Type: ssm.SSHKeyPair, Description: q.Description, KmsKeyID: q.KmsKeyId,
			SoftwareKey: q.EncryptType == 1, Tags: modelTags(q.Tags), ProjectID: q.ProjectId,
			ResourceID: c.keys.ID, ResourceName: cmp.Or(q.SSHKeyName, c.newKeyName()),
		}
		if err := c.create(s); err != nil {
			return nil, err
		}
		reply := &CreateSSHKeyPairSecretReply{SecretName: s.Name, SSHKeyID: c.keys.ID, SSHKeyName: s.ResourceName, TagMsg: "ok"}
		return reply, keyPairs.Put(c.tx, secretKey(c.Owner, s.Name), c.keys)
	},
})

func (t *Tx) keyTaken(id string) bool {
	return secrets.Count(t.tx, string(scope(t.Owner))+byResource(ssm.SSHKeyPair, id)) > 0
}

func (t *Tx) newKeyID() string { return "skey-" + t.random(lowercase, 8) }

func (t *Tx) newKeyName() string { return "ssm_" + t.random(lowercase, 8) }

// newKeyPair makes a pair: the private key in PEM without a line end, the
// public one as OpenSSH writes it. It is random even if everything else
// repeats: the standard library takes no seed for RSA keys.
func newKeyPair() (*ssm.KeyPair, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("cannot make a key: %w", err)
	}
	public, err := ssh.NewPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("cannot write a public key: %w", err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return &ssm.KeyPair{
		Private: strings.TrimSuffix(string(private), "\n"), Public: strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(public)), "\n"),
	}, nil
}

// SSHKeyPairValueRequest has the parameters of GetSSHKeyPairValue; one of them
// must be given.
type SSHKeyPairValueRequest struct{ SecretName, SSHKeyId string }

// SSHKeyPairValueReply is the answer of GetSSHKeyPairValue.
type SSHKeyPairValueReply struct {
	SSHKeyID, PublicKey, PrivateKey string
	ProjectID                       int64
	SSHKeyDescription, SSHKeyName   string
}

// 1078/42261. The key can also be read while the secret is Disabled:
// Terraform's provider does so.
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
	Secret: (*Call).secretOfKey,
	Prepare: func(db *store.DB, c *Call, q *SSHKeyPairValueRequest) error {
		var key []byte
		missing := false
		err := db.View(func(tx *store.Tx) error {
			c.tx = tx
			name, err := c.secretOfKey(q)
			if err != nil {
				return err
			}
			key = secretKey(c.Owner, name)
			s, err := withoutPair(tx, key)
			missing = s != nil
			return err
		})
		if err != nil || !missing {
			return err
		}
		return makeKeyPair(db, key)
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
	if q.SecretName != "" || q.SSHKeyId == "" {
		return q.SecretName, nil
	}
	list := string(scope(c.Owner)) + byResource(ssm.SSHKeyPair, q.SSHKeyId)
	_, key, found := secrets.First(c.tx, list)
	if !found {
		return "", apierr.SSHKeyNotFound.With(q.SSHKeyId)
	}
	_, name := splitSecretKey(key)
	return name, nil
}

// keyPairs holds the key pairs of secrets, under the secrets' keys. A secret
// from a seed without a pair gets one when the pair is first read: making one
// takes longer than starting the server.
var keyPairs = &store.Table[ssm.KeyPair]{Name: "keypairs"}

// MakeKeyPairs makes the key pairs that are still missing, of one account or
// with 0 of all. Each takes 50 ms.
func MakeKeyPairs(ctx context.Context, db *store.DB, g *Generations, uin uint64) error {
	var missing [][]byte
	err := db.View(func(tx *store.Tx) error {
		for _, o := range owners(tx, g, uin) {
			err := secrets.Scan(tx, AccountKey(o.Uin, o.Generation), func(key []byte, s *ssm.Secret) error {
				if s.Type == ssm.SSHKeyPair && !keyPairs.Has(tx, key) {
					missing = append(missing, bytes.Clone(key))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, key := range missing {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = makeKeyPair(db, key)
		}
	}
	return err
}

// withoutPair returns the secret under a key if it should have a pair and has
// none yet, else nil.
func withoutPair(tx *store.Tx, key []byte) (*ssm.Secret, error) {
	s, err := secrets.Get(tx, key)
	if s == nil || s.Type != ssm.SSHKeyPair {
		return nil, err
	}
	pair, err := keyPairs.Get(tx, key)
	if pair != nil {
		return nil, err
	}
	return s, err
}

// makeKeyPair makes the pair of a secret, unless it has one by then.
func makeKeyPair(db *store.DB, key []byte) error {
	pair, err := newKeyPair()
	if err != nil {
		return err
	}
	return db.Update(func(tx *store.Tx) error {
		s, err := withoutPair(tx, key)
		if s == nil || err != nil {
			return err
		}
		return keyPairs.Put(tx, key, pair.Named(s.ResourceID))
	})
}
