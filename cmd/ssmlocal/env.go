package main

import (
	"text/template"

	"ssmlocal/server/account"
	"ssmlocal/server/ssm"
)

type envCommand struct {
	target
	Credential string `default:"AKIDssmlocal:ssmlocal" placeholder:"ID:KEY" help:"Key pair to print."`
}

// Run prints the settings of each client.
func (c *envCommand) Run(t terminal) error {
	u, err := c.parse()
	if err != nil {
		return err
	}
	credential, err := account.ParseCredential(c.Credential)
	if err != nil {
		return usageError{err}
	}
	return envText.Execute(t.out, map[string]string{
		"Host": u.Host, "Port": u.Port(), "ID": credential.SecretID, "Key": credential.SecretKey, "Region": ssm.DefaultRegion,
	})
}

var envText = template.Must(template.New("env").Parse(`# Shell: what the SDKs' default credential chains read. Paste it, or eval "$(ssmlocal env)".
export TENCENTCLOUD_SECRET_ID={{.ID}}
export TENCENTCLOUD_SECRET_KEY={{.Key}}
export TENCENTCLOUD_REGION={{.Region}}

# Terraform: the provider appends the service to the domain, so ssm.localhost and tag.localhost must resolve
# (a line "127.0.0.1 ssm.localhost tag.localhost" in the hosts file does it).
export TENCENTCLOUD_PROTOCOL=HTTP
export TENCENTCLOUD_DOMAIN=localhost{{with .Port}}:{{.}}{{end}}

# Go
#   p := profile.NewClientProfile()
#   p.HttpProfile.Scheme, p.HttpProfile.Endpoint = "HTTP", "{{.Host}}"
#
# Python
#   HttpProfile(protocol="http", endpoint="{{.Host}}")
#
# Node
#   profile: { httpProfile: { protocol: "http://", endpoint: "{{.Host}}" } }
#
# Java
#   httpProfile.setProtocol("http://"); httpProfile.setEndpoint("{{.Host}}");
#
# PHP
#   $httpProfile->setProtocol("http://"); $httpProfile->setEndpoint("{{.Host}}");
#
# .NET
#   new HttpProfile { Protocol = "http://", Endpoint = "{{.Host}}" }
#
# tccli: has no option for plain HTTP, but takes an endpoint with its scheme.
#   tccli ssm ListSecrets --endpoint http://{{.Host}} --region {{.Region}} --secretId {{.ID}} --secretKey {{.Key}}
`))
