package main

import (
	"text/template"

	"ssmlocal/server/account"
	"ssmlocal/server/caller"
	"ssmlocal/server/ssm"
)

type envCommand struct {
	target
	Credential []string `sep:"none" default:"AKIDssmlocal:ssmlocal" placeholder:"ID:KEY" help:"Key pair to print (${default}); the first, if there are several."`
}

// Run prints the settings of each client.
func (c *envCommand) Run(t terminal) error {
	u, err := c.parse()
	if err != nil {
		return err
	}
	credential, err := account.ParseCredential(splitCredentials(c.Credential)[0])
	if err != nil {
		return usageError{err}
	}
	if c.Output == "json" {
		return printAsJSON(t.out, map[string]string{
			"TENCENTCLOUD_SECRET_ID":  credential.SecretID,
			"TENCENTCLOUD_SECRET_KEY": credential.SecretKey,
			"TENCENTCLOUD_REGION":     ssm.DefaultRegion,
			"TENCENTCLOUD_PROTOCOL":   "HTTP",
			"TENCENTCLOUD_DOMAIN":     caller.Domain(u.Host),
			"SSMLOCAL_ENDPOINT":       u.Host,
		})
	}
	return envText.Execute(t.out, map[string]string{
		"Host": u.Host, "Domain": caller.Domain(u.Host), "Region": ssm.DefaultRegion,
		"ID": caller.Word(credential.SecretID), "Key": caller.Word(credential.SecretKey),
	})
}

var envText = template.Must(template.New("env").Parse(`# Shell: what the SDKs' default credential chains read. Paste it, or eval "$(ssmlocal env)".
export TENCENTCLOUD_SECRET_ID={{.ID}}
export TENCENTCLOUD_SECRET_KEY={{.Key}}
export TENCENTCLOUD_REGION={{.Region}}

# Terraform: the provider puts the service before the domain, so the names ssm.<domain> and tag.<domain> must resolve
# (for localhost, a line "127.0.0.1 ssm.localhost tag.localhost" in the hosts file does it).
export TENCENTCLOUD_PROTOCOL=HTTP
export TENCENTCLOUD_DOMAIN={{.Domain}}

# The same port takes HTTPS, the SDKs' default protocol: ssmlocal ca --install-hint says how to trust its certificate.
# For plain HTTP, the protocol is written differently by each SDK: "HTTP" in Go, "http" in Python, "http://" in the others.
#
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
# Ruby: its SDK can't take a port in an endpoint; the emulator is the proxy, and the endpoint stays as it is.
#   http_profile.scheme = "http"; http_profile.proxy = "http://{{.Host}}"
#
# C++: the endpoint needs a dot in its name.
#   httpProfile.SetProtocol(HttpProfile::Scheme::HTTP); httpProfile.SetEndpoint("{{.Host}}");
#
# .NET
#   new HttpProfile { Protocol = "http://", Endpoint = "{{.Host}}" }
#
# tccli: has no option for plain HTTP, but takes an endpoint with its scheme.
#   tccli ssm ListSecrets --endpoint http://{{.Host}} --region {{.Region}} --secretId {{.ID}} --secretKey {{.Key}}
`))
