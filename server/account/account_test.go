package account

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"ssmlocal/server/apierr"
)

func TestParseCredential(t *testing.T) {
	for text, want := range map[string]Credential{
		"AKIDa:key":              {SecretID: "AKIDa", SecretKey: "key", Uin: DefaultUin},
		"AKIDa:key:100000000002": {SecretID: "AKIDa", SecretKey: "key", Uin: 100000000002},
		"AKIDa:k:e,y":            {SecretID: "AKIDa", SecretKey: "k:e,y", Uin: DefaultUin},
		"AKIDa:k:e:2":            {SecretID: "AKIDa", SecretKey: "k:e", Uin: 2},
		"AKIDa:key:-1":           {SecretID: "AKIDa", SecretKey: "key:-1", Uin: DefaultUin},
	} {
		if got, err := ParseCredential(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "AKIDa", "AKIDa:", ":hushhush", "AKIDa:hushhush:0", "hushhush :x", "hush,hush:x", "AKIDa:hushhush:99999999999999999999", "hushhush", "AKIDa::5"} {
		_, err := ParseCredential(text)
		if err == nil {
			t.Errorf("%q was accepted", text)
		} else if strings.Contains(err.Error(), "hushhush") {
			t.Errorf("the error gives the key away: %v", err)
		}
	}
}

func TestFind(t *testing.T) {
	mine := Credential{SecretID: "AKIDmine", SecretKey: "k", Uin: 7}
	for mode, lets := range map[Mode]bool{Verify: false, "": false, Any: true, Off: true} {
		d, err := NewDirectory(mode, []Credential{mine})
		if err != nil {
			t.Fatal(err)
		}
		if c, err := d.Find("AKIDmine"); err != nil || !c.Known || !reflect.DeepEqual(c.Credential, mine) {
			t.Errorf("%q: the known key gives %+v, %v", mode, c, err)
		}
		c, err := d.Find("AKIDother")
		if lets != (err == nil) || !lets && !errors.Is(err, apierr.SecretIDNotFound.With()) {
			t.Errorf("%q: an unknown key gives %+v, %v", mode, c, err)
		}
		if _, err := d.Find(Default.SecretID); lets != (err == nil) {
			t.Errorf("%q: the default key beside a given one: %v", mode, err)
		}
	}
}

func TestUnknownKeysHaveTheirOwnAccount(t *testing.T) {
	d, _ := NewDirectory(Any, nil)
	a, _ := d.Find("suite-a")
	again, _ := d.Find("suite-a")
	b, _ := d.Find("suite-b")
	if a.Uin != again.Uin || a.Uin == b.Uin || a.Uin == DefaultUin || a.Known {
		t.Errorf("%d, %d, %d", a.Uin, again.Uin, b.Uin)
	}
}

func TestDefaultAccount(t *testing.T) {
	d, _ := NewDirectory("", nil)
	c, err := d.Find("AKIDssmlocal")
	if err != nil || c.SecretKey != "ssmlocal" || c.Uin != 100000000001 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := NewDirectory("", []Credential{Default, Default}); err == nil {
		t.Error("one SecretId was accepted twice")
	}
}
