package main

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// jvmCertificates returns the certificates that the JVM in a home directory
// trusts by itself. A truststore that a program is given replaces them, so it
// must contain them, too. Without a home it takes the JVM of java in the path;
// without Java there are none.
func jvmCertificates(home string) ([]*x509.Certificate, error) {
	given := home != ""
	if !given {
		java, err := exec.LookPath("java")
		if err == nil {
			java, err = filepath.EvalSymlinks(java)
		}
		if err != nil {
			return nil, nil
		}
		home = filepath.Dir(filepath.Dir(java))
	}
	file := filepath.Join(home, "lib", "security", "cacerts")
	if _, err := os.Stat(file); err != nil { // Java 8 with a JDK around it
		file = cmp.Or(existing(filepath.Join(home, "jre", "lib", "security", "cacerts")), file)
	}
	text, err := os.ReadFile(file)
	if err != nil && !given {
		return nil, nil
	}
	var certificates []*x509.Certificate
	if err == nil {
		certificates, err = readTruststore(text)
	}
	if err != nil {
		return nil, fmt.Errorf(
			"cannot read the JVM's own certificates from %s: %w; --jvm names the home of another one", file, err)
	}
	return certificates, nil
}

// existing returns a file's name, "" if there is no such file.
func existing(file string) string {
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}

// readTruststore reads the certificates of a truststore in either form that
// JVMs have: JKS, or PKCS #12 with or without a password.
func readTruststore(text []byte) (all []*x509.Certificate, err error) {
	if !bytes.HasPrefix(text, []byte{0xfe, 0xed, 0xfe, 0xed}) {
		if all, err = pkcs12.DecodeTrustStore(text, trustPassword); err != nil {
			all, err = pkcs12.DecodeTrustStore(text, "")
		}
		return all, err
	}
	store := keystore.New()
	if err := store.Load(bytes.NewReader(text), []byte(trustPassword)); err != nil {
		return nil, err
	}
	for _, alias := range store.Aliases() {
		entry, err := store.GetTrustedCertificateEntry(alias)
		if err != nil {
			continue // a key, which a truststore need not have
		}
		if certificate, err := x509.ParseCertificate(entry.Certificate.Content); err == nil {
			all = append(all, certificate)
		}
	}
	return all, nil
}
