package ssm

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode"
	"unicode/utf8"

	"ssmlocal/server/apierr"
)

// Quotas and sizes.
const (
	MaxSecrets     = 1000  // secrets in a region, of every type and status (1140/40529)
	MaxVersions    = 10    // versions of a custom secret at the same time (1078/38645)
	MaxValue       = 32768 // bytes of a value; 4096 until 2023-12, as older pages still say (1140/40529)
	MaxDescription = 2048  // bytes (1078/38656)
	MaxWindow      = 30    // days between DeleteSecret and the end (1078/38655)
	MaxTags        = 50    // tags of a resource, and the sizes of a tag: the tag service's rules
	maxTagKey      = 127
	maxTagValue    = 255
	maxConfig      = 4096 // bytes of an AdditionalConfig; not documented
)

// CheckName returns an error unless name can be a SecretName: 1 to 128 bytes,
// ^[A-Za-z0-9][A-Za-z0-9_-]*$ (1140/40529).
func CheckName(name string) error {
	if !isName(name, 128, "-_") {
		return apierr.BadSecretName.With()
	}
	return nil
}

// CheckVersionID returns an error unless id can be a VersionId: 1 to 64 bytes,
// ^[A-Za-z0-9][A-Za-z0-9_.-]*$ (1140/40529).
func CheckVersionID(id string) error {
	if !isName(id, 64, "-_.") {
		return apierr.BadVersionID.With()
	}
	return nil
}

// CheckKeyName returns an error unless name can be an SSHKeyName: 1 to 25
// characters, ^[A-Za-z0-9][A-Za-z0-9_]*$ (1140/60331).
func CheckKeyName(name string) error {
	if !isName(name, 25, "_") {
		return apierr.BadKeyName.With()
	}
	return nil
}

func isName(s string, most int, others string) bool {
	if len(s) == 0 || len(s) > most {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && (i == 0 || strings.IndexByte(others, s[i]) < 0) {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// CheckDescription checks the size of a description.
func CheckDescription(text string) error {
	if len(text) > MaxDescription {
		return apierr.DescriptionTooLong.With(len(text), MaxDescription)
	}
	return nil
}

// CheckValue checks a new value against the rules: one of text and binary,
// base64 for binary, 32 KB at most. A binary is measured decoded, since the
// limit speaks of the plaintext.
func CheckValue(text, binary string) error {
	if (text == "") == (binary == "") {
		return apierr.OneValue.With()
	}
	if len(text) > MaxValue {
		return apierr.ValueTooLong.With("SecretString", len(text), MaxValue)
	}
	plain, err := base64.StdEncoding.DecodeString(binary) // steps over line ends
	switch {
	case err != nil:
		return apierr.BadBase64.With("SecretBinary")
	case binary != "" && len(plain) == 0: // line ends alone
		return apierr.OneValue.With()
	case len(plain) > MaxValue:
		return apierr.ValueTooLong.With("SecretBinary", len(plain), MaxValue)
	case len(binary) > 3*MaxValue: // next to nothing but line ends
		return apierr.ValueTooLong.With("SecretBinary", len(binary), MaxValue)
	}
	return nil
}

// MaxID bounds names and ids that other products give: of instances, KMS keys,
// SecretIds. No documentation gives a bound; the known ones are far shorter.
const MaxID = 256

// IsID reports whether a text can be such an id: not empty, not long, without
// control characters, which would let two of them look like one in a list's
// name.
func IsID(id string) bool {
	return id != "" && len(id) <= MaxID && !strings.ContainsFunc(id, unicode.IsControl)
}

// CheckKmsKeyID returns an error unless a text can be a KmsKeyId; none is the
// service's own key.
func CheckKmsKeyID(id string) error {
	if id != "" && !IsID(id) {
		return apierr.InvalidParameterValue.With("KmsKeyId")
	}
	return nil
}

// CheckTags checks the tags of one resource against the tag service's rules.
func CheckTags(tags []Tag) error {
	if len(tags) > MaxTags {
		return apierr.TooManyTags.With(len(tags), MaxTags)
	}
	seen := make(map[string]bool, len(tags))
	for _, t := range tags {
		if n := utf8.RuneCountInString(t.TagKey); n == 0 || n > maxTagKey || strings.ContainsFunc(t.TagKey, unicode.IsControl) {
			return apierr.BadTag.With("TagKey")
		}
		if utf8.RuneCountInString(t.TagValue) > maxTagValue || strings.ContainsFunc(t.TagValue, unicode.IsControl) {
			return apierr.BadTag.With("TagValue")
		}
		if seen[t.TagKey] {
			return apierr.TagKeysDuplicated.With(t.TagKey)
		}
		seen[t.TagKey] = true
	}
	return nil
}

// RedisInstance returns the instance that the AdditionalConfig of a Redis
// secret names. The config is a JSON object; the vendor's Terraform provider
// sends Region, Privilege, InstanceId, ReadonlyPolicy and Remark.
func RedisInstance(config string) (id string, err error) {
	var c redisConfig
	err = json.Unmarshal([]byte(config), &c)
	if err != nil || len(config) > maxConfig || !IsID(c.InstanceId) || c.Privilege != "r" && c.Privilege != "rw" {
		return "", apierr.BadRedisConfig.With()
	}
	return c.InstanceId, nil
}

type redisConfig struct{ Privilege, InstanceId string }

// RedisPrivilege returns the privilege that the AdditionalConfig of a Redis
// secret names, r or rw.
func RedisPrivilege(config string) string {
	var c redisConfig
	_ = json.Unmarshal([]byte(config), &c) // checked when the secret was made
	return c.Privilege
}
