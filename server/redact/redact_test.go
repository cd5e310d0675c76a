package redact

import (
	"strings"
	"testing"
)

// TestRedactedTexts has values of every kind: none of their parts may remain,
// the same value becomes the same text, and another one another.
func TestRedactedTexts(t *testing.T) {
	t.Parallel()
	x := newRedactor([]byte("a key of the test"))
	x.collected()
	for value, parts := range map[string][]string{
		"hunter2":                             {"hunter2"},
		"密码是秘密":                               {"密", "秘"},
		"!?#$%^&*()":                          {"!", "$", "("},
		`{"db":{"password":"nested-value"}}`:  {"nested", "value"},
		`{"pin":48151623,"list":["in-list"]}`: {"48151623", "in-list"},
		`["in-an-array"]`:                     {"in-an-array"},
		`{"UserName":"app","Password":"of-the-account"}`:                           {"of-the-account"},
		`{"UserName":"app","Password":"of-the-account","Also":{"a":"deep-value"}}`: {"of-the-account", "deep-value"},
		"-----BEGIN KEY-----\nMIIBOgIBAAJBAKj34\n-----END KEY-----":                {"MIIB", "AKj34"},
	} {
		text := x.value(value)
		for _, part := range parts {
			if strings.Contains(text, part) {
				t.Errorf("%s becomes %s", value, text)
			}
		}
		if x.value(value) != text || len(text) != len(value) && !strings.HasPrefix(value, "{") {
			t.Errorf("%s becomes %s, and %s", value, text, x.value(value))
		}
		if x.value(value+"1") == text+"1" {
			t.Errorf("%s and a longer value become alike", value)
		}
	}
}
