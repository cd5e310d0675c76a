package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"text/template"

	"software.sslmate.com/src/go-pkcs12"
)

type caCommand struct {
	target
	Out         string `placeholder:"FILE" help:"Write the certificate to a file instead of standard output."`
	Truststore  string `placeholder:"FILE" help:"Write it to a truststore for Java, PKCS #12 with the password changeit."`
	JVM         string `name:"jvm" env:"JAVA_HOME" placeholder:"DIR" help:"Home of the JVM whose own certificates go into the truststore, too; by default that of java in the path."`
	InstallHint bool   `help:"Print how to make each language trust it."`
}

// certificate is what is printed with --output json.
type certificate struct {
	PEM        string `json:"pem"`
	File       string `json:"file,omitempty"`
	Truststore string `json:"truststore,omitempty"`
}

// trustPassword is the password of the truststore, which holds no secret. It is
// the same as for Java's own truststore.
const trustPassword = pkcs12.DefaultPassword

// Run prints the certificate, or how to trust it.
func (c *caCommand) Run(ctx context.Context, t terminal) error {
	if c.InstallHint {
		if c.Output == "json" {
			return usageError{errors.New("--install-hint is text for people; leave out --output json")}
		}
		return c.hint(t.out)
	}
	text, err := c.send(ctx, http.MethodGet, "ca.pem", nil, nil)
	if err != nil {
		return err
	}
	if c.Truststore != "" {
		if err := writeTruststore(c.Truststore, text, c.JVM); err != nil {
			return err
		}
	}
	if c.Out != "" {
		if err := os.WriteFile(c.Out, text, 0o644); err != nil { // public, and other users' programs read it
			return fmt.Errorf("cannot write the certificate: %w", err)
		}
	}
	switch {
	case c.Output == "json":
		return printAsJSON(t.out, certificate{string(text), c.Out, c.Truststore})
	case c.Out == "" && c.Truststore == "":
		_, err = t.out.Write(text)
	}
	return err
}

// hint prints how to trust the certificate, with paths that work in every
// directory.
func (c *caCommand) hint(out io.Writer) error {
	url := ""
	if c.URL != "" {
		url = " --url " + c.URL
	}
	u, err := c.parse()
	if err != nil {
		return err
	}
	file, err := filepath.Abs(cmp.Or(c.Out, "ca.pem"))
	if err != nil {
		return err
	}
	store, err := filepath.Abs(cmp.Or(c.Truststore, "trust.p12"))
	if err != nil {
		return err
	}
	return hintText.Execute(out, map[string]string{"URL": url, "Host": u.Host, "File": file, "Store": store, "Password": trustPassword})
}

// writeTruststore writes the emulator's certificate to a truststore, with those
// that the JVM in a home trusts by itself.
func writeTruststore(file string, text []byte, jvm string) error {
	var trusted []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("the emulator's certificate can't be read: %w", err)
		}
		trusted = append(trusted, cert)
	}
	if trusted == nil {
		return errors.New("the emulator's certificate is not in PEM")
	}
	own, err := jvmCertificates(jvm)
	if err != nil {
		return err
	}
	store, err := pkcs12.Modern.EncodeTrustStore(append(trusted, own...), trustPassword)
	if err == nil {
		err = os.WriteFile(filepath.Clean(file), store, 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot write the truststore: %w", err)
	}
	return nil
}

var hintText = template.Must(template.New("hint").Parse(`# How to make programs trust this emulator's certificates. Its CA can sign for localhost, the names of --tls-host and
# the vendor's (tencentcloudapi.com, tencentyun.com), and for no others. First write its certificate to a file:

ssmlocal ca{{.URL}} --out {{.File}}

# Go
export SSL_CERT_FILE={{.File}}

# Node
export NODE_EXTRA_CA_CERTS={{.File}}

# Python's SDK, tccli and the rotation SDK read certifi's file only; REQUESTS_CA_BUNDLE and SSL_CERT_FILE have no effect on them:
cat {{.File}} >> "$(python -m certifi)"
# or in the program: HttpProfile(certification="{{.File}}")

# Java
ssmlocal ca{{.URL}} --truststore {{.Store}}
export JAVA_TOOL_OPTIONS="-Djavax.net.ssl.trustStore={{.Store}} -Djavax.net.ssl.trustStorePassword={{.Password}}"
# The truststore replaces the JVM's own certificates, so it contains them, too; --jvm DIR says of which JVM.

# PHP: what its curl and its streams read; in the SDK, plain HTTP is the other way (ssmlocal env)
# php -d curl.cainfo={{.File}} -d openssl.cafile={{.File}} program.php

# Ruby, C++ (by libcurl) and everything else on OpenSSL
export SSL_CERT_FILE={{.File}} CURL_CA_BUNDLE={{.File}}

# .NET on Linux reads SSL_CERT_FILE, too; on Windows the user's store:
# certutil -user -addstore Root {{.File}}

# curl
curl --cacert {{.File}} https://{{.Host}}/_ssmlocal/health

# Everything on Debian and Ubuntu that uses the system's certificates
cp {{.File}} /usr/local/share/ca-certificates/ssmlocal.crt && update-ca-certificates
`))
