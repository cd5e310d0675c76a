package account

import "testing"

func TestMay(t *testing.T) {
	const uin = 100000000001
	secret := func(region, name string) string {
		return "qcs::ssm:" + region + ":uin/100000000001:secret/creatorUin/100000000001/" + name
	}
	allow := func(action, resource string) Policy {
		return Policy{"2.0", []Statement{{"allow", Words{action}, Words{resource}}}}
	}
	deny := func(action, resource string) Policy {
		return Policy{"2.0", []Statement{{"deny", Words{action}, Words{resource}}}}
	}
	read := "ssm:GetSecretValue"
	for name, c := range map[string]struct {
		policies            []Policy
		operation, resource string
		want                bool
	}{
		"no policies":                     {nil, read, secret("ap-guangzhou", "db"), true},
		"everything":                      {[]Policy{allow("*", "*")}, read, secret("ap-guangzhou", "db"), true},
		"the action":                      {[]Policy{allow(read, "*")}, read, secret("ap-guangzhou", "db"), true},
		"another action":                  {[]Policy{allow("ssm:ListSecrets", "*")}, read, secret("ap-guangzhou", "db"), false},
		"actions by pattern":              {[]Policy{allow("ssm:Get*", "*")}, read, secret("ap-guangzhou", "db"), true},
		"actions by another pattern":      {[]Policy{allow("ssm:List*", "*")}, read, secret("ap-guangzhou", "db"), false},
		"the old form":                    {[]Policy{allow("name/ssm:GetSecretValue", "*")}, read, secret("ap-guangzhou", "db"), true},
		"the secret":                      {[]Policy{allow(read, secret("ap-guangzhou", "db"))}, read, secret("ap-guangzhou", "db"), true},
		"another secret":                  {[]Policy{allow(read, secret("ap-guangzhou", "db"))}, read, secret("ap-guangzhou", "db2"), false},
		"secrets by pattern":              {[]Policy{allow(read, secret("ap-guangzhou", "db*"))}, read, secret("ap-guangzhou", "db2"), true},
		"a pattern in the middle":         {[]Policy{allow(read, secret("ap-guangzhou", "a*-b*c"))}, read, secret("ap-guangzhou", "ax-by-bzc"), true},
		"a pattern that overlaps":         {[]Policy{allow(read, secret("ap-guangzhou", "ab*ba"))}, read, secret("ap-guangzhou", "aba"), false},
		"another region":                  {[]Policy{allow(read, secret("ap-beijing", "db"))}, read, secret("ap-guangzhou", "db"), false},
		"any region":                      {[]Policy{allow(read, "qcs::ssm::uin/100000000001:secret/*")}, read, secret("ap-guangzhou", "db"), true},
		"own account left out":            {[]Policy{allow(read, "qcs::ssm:ap-guangzhou::secret/*")}, read, secret("ap-guangzhou", "db"), true},
		"another account":                 {[]Policy{allow(read, "qcs::ssm:ap-guangzhou:uin/5:secret/*")}, read, secret("ap-guangzhou", "db"), false},
		"another service":                 {[]Policy{allow(read, "qcs::kms:ap-guangzhou::secret/*")}, read, secret("ap-guangzhou", "db"), false},
		"an operation":                    {[]Policy{allow("ssm:*", "*")}, "ssm:ListSecrets", "*", true},
		"an operation by a resource":      {[]Policy{allow("ssm:*", "qcs::ssm:::secret/*")}, "ssm:ListSecrets", "*", false},
		"deny wins":                       {[]Policy{allow("ssm:*", "*"), deny(read, secret("ap-guangzhou", "db"))}, read, secret("ap-guangzhou", "db"), false},
		"deny of something else":          {[]Policy{allow("ssm:*", "*"), deny(read, secret("ap-guangzhou", "x"))}, read, secret("ap-guangzhou", "db"), true},
		"deny before allow":               {[]Policy{deny("*", "*"), allow("*", "*")}, read, secret("ap-guangzhou", "db"), false},
		"deny alone allows nothing":       {[]Policy{deny("ssm:ListSecrets", "*")}, read, secret("ap-guangzhou", "db"), false},
		"making any secret":               {[]Policy{allow("ssm:CreateSecret", "qcs::ssm:::secret/*")}, "ssm:CreateSecret", "qcs::ssm:ap-guangzhou:uin/100000000001:secret/*", true},
		"making one secret, said too few": {[]Policy{allow("ssm:CreateSecret", secret("ap-guangzhou", "db"))}, "ssm:CreateSecret", "qcs::ssm:ap-guangzhou:uin/100000000001:secret/*", false},
	} {
		caller := Caller{Credential: Credential{Uin: uin, Policies: c.policies}}
		if got := caller.May(c.operation, c.resource); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
