package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// TestTruststoreKeepsTheJVMsCertificates writes a truststore for a JVM whose
// own truststore has each of the forms that JVMs use: all its certificates are
// in the new one.
func TestTruststoreKeepsTheJVMsCertificates(t *testing.T) {
	own, emulators := newCertificate(t), newCertificate(t)
	jks := keystore.New()
	err := jks.SetTrustedCertificateEntry("root", keystore.TrustedCertificateEntry{
		CreationTime: time.Unix(0, 0), Certificate: keystore.Certificate{Type: "X509", Content: own.Raw},
	})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := jks.Store(&text, []byte(trustPassword)); err != nil {
		t.Fatal(err)
	}
	forms := map[string][]byte{"JKS": text.Bytes()}
	for name, encoder := range map[string]*pkcs12.Encoder{"PKCS #12": pkcs12.Modern, "PKCS #12 without a password": pkcs12.Passwordless} {
		password := ""
		if encoder != pkcs12.Passwordless {
			password = trustPassword
		}
		if forms[name], err = encoder.EncodeTrustStore([]*x509.Certificate{own}, password); err != nil {
			t.Fatal(err)
		}
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: emulators.Raw})
	for name, form := range forms {
		home := t.TempDir()
		security := filepath.Join(home, "lib", "security")
		if err := os.MkdirAll(security, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(security, "cacerts"), form, 0o644); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(home, "trust.p12")
		if err := writeTruststore(file, ca, home); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		written, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all, err := readTruststore(written)
		if err != nil || len(all) != 2 || !all[0].Equal(emulators) || !all[1].Equal(own) {
			t.Errorf("%s: %d certificates, %v", name, len(all), err)
		}
	}
	if err := writeTruststore(filepath.Join(t.TempDir(), "trust.p12"), ca, t.TempDir()); err == nil {
		t.Error("a home without a truststore is taken")
	}
}

func newCertificate(t *testing.T) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
