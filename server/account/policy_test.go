package account

import (
	"strings"
	"testing"
)

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
		"any service":                     {[]Policy{allow(read, "qcs:::ap-guangzhou:uin/100000000001:secret/*")}, read, secret("ap-guangzhou", "db"), true},
		"tags of what is denied whole":    {[]Policy{allow("*", "*"), deny("ssm:*", secret("ap-guangzhou", "db"))}, "tag:ModifyResourceTags", secret("ap-guangzhou", "db"), false},
		"tags of what is not to be read":  {[]Policy{allow("*", "*"), deny(read, secret("ap-guangzhou", "db"))}, "tag:ModifyResourceTags", secret("ap-guangzhou", "db"), true},
		"making any secret":               {[]Policy{allow("ssm:CreateSecret", "qcs::ssm:::secret/*")}, "ssm:CreateSecret", "qcs::ssm:ap-guangzhou:uin/100000000001:secret/*", true},
		"making one secret, said too few": {[]Policy{allow("ssm:CreateSecret", secret("ap-guangzhou", "db"))}, "ssm:CreateSecret", "qcs::ssm:ap-guangzhou:uin/100000000001:secret/*", false},
	} {
		caller := Caller{Credential: Credential{Uin: uin, Policies: c.policies}}
		if got := caller.May(c.operation, c.resource); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestStatementWithoutEffectIsRefused checks statements that no call can match.
func TestStatementWithoutEffectIsRefused(t *testing.T) {
	operations, regions := []string{"ssm:GetSecretValue", "ssm:ListSecrets", "sts:AssumeRole", "tag:GetResources"}, []string{"ap-guangzhou"}
	const db = "qcs::ssm:ap-guangzhou:uin/1:secret/creatorUin/1/db"
	for _, c := range []struct{ action, resource, hint string }{
		{"*", "*", ""}, {"ssm:*", db, ""}, {"ssm:Get*", "qcs::ssm:*:uin/*:secret/*", ""}, {"name/ssm:ListSecrets", "qcs::ssm:::*", ""},
		{"cvm:*", "*", ""}, {"cvm:RunInstances", "qcs::cvm:gz:uin/1:instance/*", ""}, {"ssm:GetSecretValue", "qcs::ssm::uin/1:secret/creatorUin/1/d*", ""},
		{"sts:AssumeRole", "qcs::cam::uin/1:roleName/app", ""}, {"ssm:GetSecretValue", "qcs:::ap-guangzhou:uin/1:secret/creatorUin/1/*", ""},
		{"ssm:GetSecretValue", "qcs::ssm:ap-*:uin/1:sec*", ""},

		{"ssm:getsecretvalue", "*", "write ssm:GetSecretValue"}, {"SSM:GetSecretValue", "*", "write ssm:GetSecretValue"}, {"SSM:*", "*", "write ssm"},
		{"GetSecretValue", "*", "SERVICE:ACTION"}, {"ssm:Nothing*", "*", "there are ssm:"}, {" ssm:GetSecretValue", "*", "SERVICE:ACTION"}, {"CVM:*", "*", "lower case"},
		{"*", "qcs::SSM:ap-guangzhou:uin/1:secret/creatorUin/1/db", "lower case"}, {"*", "qcs::ssm:AP-Guangzhou:uin/1:secret/*", "ap-guangzhou"},
		{"*", "qcs::ssm:ap-guangzhou:1:secret/creatorUin/1/db", "uin/1"}, {"*", "qcs::ssm:ap-guangzhou:Uin/1:secret/*", "uin/<uin>"},
		{"*", "qcs::ssm:ap-guangzhou:uin/1:secret/db", "creatorUin/<uin>"}, {"*", "qcs::ssm:ap-guangzhou:uin/1:secret/creatorUin/db", "there can be no secret"},
		{"*", "qcs::ssm:ap-guangzhou:uin/1:Secret/*", "there can be no secret"}, {"*", "qcs::ssm:ap-guangzhou:uin/1:secret/creatorUin/1/d.b", "there can be no secret"},
		{"*", "qcs::ssm:ap-guangzhou:uin/1:", "names no resource"}, {"*", " " + db, "not of the form"}, {"*", "db", "not of the form"},
	} {
		p := Policy{"2.0", []Statement{{"deny", Words{c.action}, Words{c.resource}}}}
		err := p.Check(operations, regions)
		if (err == nil) != (c.hint == "") || err != nil && !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s on %s: %v, want %q", c.action, c.resource, err, c.hint)
		}
	}
}
