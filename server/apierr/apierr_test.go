package apierr

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

var verb = regexp.MustCompile(`%[a-z]`)

// TestKinds checks the form of every kind: texts in both languages with the
// same details, and no kind twice.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	code := regexp.MustCompile(`^[A-Z][A-Za-z0-9]+(\.[A-Z][A-Za-z]+)?$`)
	for _, k := range Kinds() {
		if !code.MatchString(k.Code) {
			t.Errorf("%q is no code", k.Code)
		}
		if seen[k.Code+k.en] {
			t.Errorf("%s stands twice: %s", k.Code, k.en)
		}
		seen[k.Code+k.en] = true
		en, zh := verb.FindAllString(k.en, -1), verb.FindAllString(k.zh, -1)
		if fmt.Sprint(en) != fmt.Sprint(zh) || len(en) != k.details {
			t.Errorf("%s: details %v and %v, declared %d", k.Code, en, zh, k.details)
		}
		cam := k == Unauthorized || k == GatewayUnauthorized
		if !cam && !strings.HasSuffix(k.en, ".") || !cam && !strings.HasSuffix(strings.TrimSpace(k.zh), "。") {
			t.Errorf("%s: a text is no sentence: %q, %q", k.Code, k.en, k.zh)
		}
	}
}

func TestMessages(t *testing.T) {
	e := RequestLimitExceeded.With(7, 5)
	if got, want := e.Message(English), "Your current request times equals to `7` in a second, which exceeds the frequency limit `5` for a second. Please reduce the frequency of calls."; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got, want := e.Message(Chinese), "您当前每秒请求 `7` 次，超过了每秒频率上限 `5`，请稍后重试。"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := e.Message("fr-FR"); got != e.Message(English) {
		t.Errorf("another language reads %s", got)
	}
	if !errors.Is(fmt.Errorf("x: %w", e), RequestLimitExceeded.With(0, 0)) || errors.Is(e, InternalError.With()) {
		t.Error("errors.Is does not go by kind")
	}
}

// TestProvoked makes an error of every code alone: its text names no case that
// did not happen.
func TestProvoked(t *testing.T) {
	for _, code := range Codes() {
		e, ok := Provoked(code)
		if !ok || e.Kind.Code != code {
			if code != Unauthorized.Code && code != GatewayUnauthorized.Code {
				t.Errorf("%s can't be provoked", code)
			}
			continue
		}
		for _, k := range Kinds() {
			if k.Code == code && k.details > 0 && !e.Kind.general {
				t.Errorf("%s has a case with details and no general text", code)
			}
		}
	}
	if _, ok := Provoked("NoSuchCode"); ok {
		t.Error("a code that is not there can be provoked")
	}
	if got := Custom("A.B", "50% of it").Message(Chinese); got != "50% of it" {
		t.Errorf("a text of one's own reads %s", got)
	}
}

// TestMessagesBeginWithTheMeaning looks at each code whose meaning is public:
// every refusal with it begins with that meaning, in both languages, and then
// says what is wrong.
func TestMessagesBeginWithTheMeaning(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		m, public := meanings[k.Code]
		if k.general || k.meaning == (meaning{}) || !public {
			continue
		}
		seen[k.Code] = true
		e := &Error{Kind: k}
		if en := e.Message(English); !strings.HasPrefix(en, m.en) || en == m.en || e.Detail() == "" {
			t.Errorf("%s: %s", k.Code, en)
		}
		if zh := e.Message(Chinese); !strings.HasPrefix(zh, m.zh) || zh == m.zh {
			t.Errorf("%s: %s", k.Code, zh)
		}
	}
	if len(seen) < 15 {
		t.Errorf("only %d codes have a text of their own", len(seen))
	}
}
