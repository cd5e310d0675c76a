package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/account"
	"ssmlocal/server/servertest"
)

// TestClashesWithOthers imports one account with something that another already
// has: it is refused with the place, and nothing is changed.
func TestClashesWithOthers(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{Credentials: []account.Credential{account.Default}})
	s.Import(`
accounts:
  - uin: 1
    credentials: [{secretId: AKIDone, secretKey: k}]
    tasks: [{flowId: 7, kind: rotation, secretName: a, status: done}]
    secrets: [{secretName: key, secretType: 3, targetUin: 1, accessKeys: [{secretId: AKIDheld, secretKey: k}]}]
  - uin: 2
    secrets: [{secretName: mine, secretString: x}]
faults: [{id: x, drop: true, action: CreateSecret}]`)
	before := getState(t, s, "")
	for text, want := range map[string]string{
		"accounts: [{uin: 2, credentials: [{secretId: AKIDone, secretKey: x}]}]":                                                                                               "credentials[0].secretId: the SecretId AKIDone is taken",
		"accounts: [{uin: 2, credentials: [{secretId: AKIDheld, secretKey: x}]}]":                                                                                              "credentials[0].secretId: the SecretId AKIDheld is taken",
		"accounts: [{uin: 2, credentials: [{secretId: AKIDssmlocal, secretKey: x}]}]":                                                                                          "by the configuration",
		"accounts: [{uin: 2, secrets: [{secretName: k, secretType: 3, targetUin: 2, accessKeys: [{secretId: AKIDheld, secretKey: x}]}]}]":                                      "accessKeys[0].secretId: the SecretId AKIDheld is taken",
		"faults: [{id: x, uin: 2, drop: true}]":                                                                                                                                "faults[0].id: the fault x is taken",
		"accounts: [{uin: 2, credentials: [{secretId: a, secretKey: x}], secrets: [{secretName: k, secretType: 3, targetUin: 2, accessKeys: [{secretId: a, secretKey: x}]}]}]": "the SecretId a is given twice",
	} {
		status, body := putState(t, s, "?uin=2", text)
		if status != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s, want %s", text, status, body, want)
		}
	}
	if after := getState(t, s, ""); after != before {
		t.Error(difference(after, before))
	}
}

// TestOthersKeepTheirKeys gives one account keys; the default account's key
// still works.
func TestOthersKeepTheirKeys(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	if status, body := putState(t, s, "?uin=5", "accounts: [{uin: 5, credentials: [{secretId: AKIDfive, secretKey: k}]}]"); status != http.StatusOK {
		t.Fatal(body)
	}
	for _, who := range []account.Credential{account.Default, {SecretID: "AKIDfive", SecretKey: "k"}} {
		if err := s.CallIn("ap-guangzhou", who, "GetRegions", nil, nil); err != nil {
			t.Errorf("%s: %v", who.SecretID, err)
		}
	}
	s.Import("accounts: [{uin: 100000000001, credentials: [{secretId: AKIDnew, secretKey: k}]}]")
	if err := s.CallIn("ap-guangzhou", account.Default, "GetRegions", nil, nil); err == nil {
		t.Error("the default pair is known beside another of its account")
	}
}

// TestOneSecretIDForTwo imports two accounts at once that claim one SecretId:
// one of them gets it.
func TestOneSecretIDForTwo(t *testing.T) {
	t.Parallel()
	for range 10 {
		s := servertest.New(t, server.Config{})
		var statuses [2]int
		var both sync.WaitGroup
		for i := range statuses {
			both.Go(func() {
				statuses[i], _ = putState(t, s, fmt.Sprintf("?uin=%d", 5+i), fmt.Sprintf("accounts: [{uin: %d, credentials: [{secretId: AKIDsame, secretKey: x}]}]", 5+i))
			})
		}
		both.Wait()
		if slices.Sort(statuses[:]); statuses != [2]int{http.StatusOK, http.StatusBadRequest} {
			t.Errorf("%v", statuses)
		}
	}
}

// TestKeysOfSeeds reads an SSH key that a seed does not give: it is the same
// for all who ask at once, in an export, and after a restart.
func TestKeysOfSeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := servertest.New(t, server.Config{Data: dir, Seeds: []string{"demo"}})
	type pair struct{ SSHKeyID, PublicKey, PrivateKey string }
	read := func(params string) (p pair) {
		if err := s.Call("GetSSHKeyPairValue", json.RawMessage(params), &p); err != nil {
			t.Error(err)
		}
		return p
	}
	name := regexp.MustCompile(`secretName: (\S+)\n\s+secretType: 2`).FindStringSubmatch(getState(t, s, ""))
	if name == nil {
		t.Fatal("the seed has no SSH key")
	}
	s.Reset() // the export has made the key; now it is not
	pairs := make([]pair, 4)
	var readers sync.WaitGroup
	for i := range pairs {
		readers.Go(func() { pairs[i] = read(`{"SecretName":"` + name[1] + `"}`) })
	}
	readers.Wait()
	for _, p := range pairs {
		if p != pairs[0] || !strings.HasPrefix(p.PrivateKey, "-----BEGIN RSA PRIVATE KEY-----") || !strings.HasSuffix(p.PublicKey, " "+p.SSHKeyID) {
			t.Errorf("%s and %s", p.PublicKey, pairs[0].PublicKey)
		}
	}
	if !strings.Contains(getState(t, s, ""), pairs[0].PublicKey) {
		t.Error("the export has another key")
	}
	s.Stop()
	s = servertest.New(t, server.Config{Data: dir})
	if p := read(`{"SSHKeyId":"` + pairs[0].SSHKeyID + `"}`); p != pairs[0] {
		t.Errorf("after a restart the key is %s, was %s", p.PublicKey, pairs[0].PublicKey)
	}
}

// TestAccessKeysSign rotates an API key: the secret's key can sign calls, the
// previous key works until the next rotation, and all of them end with the
// secret.
func TestAccessKeysSign(t *testing.T) {
	s := servertest.New(t, server.Config{})
	post := func(method, path, body string) {
		t.Helper()
		r, _ := http.NewRequest(method, s.URL+"/_ssmlocal"+path, strings.NewReader(body))
		if answer, text := send(t, r); answer.StatusCode != 200 {
			t.Fatal(text)
		}
	}
	post("POST", "/accesskeysecrets", `{"secretName":"key","targetUin":100000000101}`)
	post("PUT", "/accounts", `{"uin":100000000001,"users":{"100000000101":{}}}`)
	var keys []account.Credential
	for i := range 3 {
		if i > 0 {
			must(t, s.Call("RotateProductSecret", object{"SecretName": "key"}, nil))
		}
		var k struct{ SecretId, SecretKey string }
		must(t, json.Unmarshal([]byte(value(t, s, "key", "SSM_Current")), &k))
		keys = append(keys, account.Credential{SecretID: k.SecretId, SecretKey: k.SecretKey})
	}
	expect := func(k account.Credential, code string) {
		t.Helper()
		err := s.CallIn("ap-guangzhou", k, "DescribeSecret", object{"SecretName": "key"}, nil)
		var failure *servertest.Error
		if errors.As(err, &failure); failure == nil && (err != nil || code != "") || failure != nil && failure.Code != code {
			t.Errorf("%s: %v, want %q", k.SecretID, err, code)
		}
	}
	expect(keys[0], "AuthFailure.SecretIdNotFound")
	expect(keys[1], "")
	expect(keys[2], "")
	expect(account.Credential{SecretID: keys[2].SecretID, SecretKey: keys[1].SecretKey}, "AuthFailure.SignatureFailure")
	must(t, s.Call("DisableSecret", object{"SecretName": "key"}, nil))
	must(t, s.Call("DeleteSecret", object{"SecretName": "key"}, nil))
	expect(keys[1], "AuthFailure.SecretIdNotFound")
	expect(keys[2], "AuthFailure.SecretIdNotFound")
}
