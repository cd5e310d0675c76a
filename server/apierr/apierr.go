// Package apierr is the closed set of errors that a client of the emulator can
// get: every code, and every text that goes with it, in English and in Chinese.
// An error is made where the mistake is found, as one of these kinds with its
// details; one place, package tc3, writes it to the wire in the caller's
// language.
//
// Texts of the gateway (gateway.go) are the literal ones of Tencent Cloud API
// 3.0 where these are public, marked V for seen in a real answer and D for the
// vendor's error dictionary; S marks a suggestion where the text is unknown.
// The texts of Secrets Manager's own errors (ssm.go) are not public: they begin
// with the vendor's meaning of the code (meanings.go), and continue in this
// emulator's words.
package apierr

import "fmt"

// A Lang is a language of messages, as X-TC-Language names it.
type Lang string

// The two languages of the API. Callers who name none get English (seen with
// the Node and PHP SDKs and with curl).
const (
	English Lang = "en-US"
	Chinese Lang = "zh-CN"
)

// A Kind is one way for a call to fail: a code with its text in both languages.
// The texts take the same details, in the same order, as fmt verbs.
type Kind struct {
	Code    string
	en, zh  string
	details int     // how many details the texts take
	general bool    // the text fits every case of the code
	meaning meaning // what the texts begin with on the wire
}

// An Error is a Kind that happened, with its details. Details are names,
// numbers and ids, never a secret's value.
type Error struct {
	Kind    *Kind
	details []any
}

// With returns the error of this kind with the details that its text asks for,
// in order.
func (k *Kind) With(details ...any) *Error {
	if len(details) != k.details {
		panic(fmt.Sprintf("apierr: %s takes %d details, got %d", k.Code, k.details, len(details)))
	}
	return &Error{Kind: k, details: details}
}

// Error returns the code and the English text.
func (e *Error) Error() string { return e.Kind.Code + ": " + e.Message(English) }

// Is reports whether target is an Error of the same kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind
}

// Message returns the text in a language; any language but Chinese reads
// English.
func (e *Error) Message(lang Lang) string {
	m := e.Kind.meaning
	switch {
	case lang == Chinese:
		return m.zh + e.text(e.Kind.zh)
	case m.en != "":
		return m.en + " " + e.text(e.Kind.en)
	}
	return e.text(e.Kind.en)
}

// Detail returns the English text without the vendor's meaning of the code.
func (e *Error) Detail() string { return e.text(e.Kind.en) }

func (e *Error) text(format string) string {
	if len(e.details) == 0 {
		return format
	}
	return fmt.Sprintf(format, e.details...)
}

// all has every kind in the order of declaration.
var all []*Kind

// Kinds returns every kind there is.
func Kinds() []*Kind { return all }

// kind declares a kind whose texts take the given number of details.
func kind(code string, details int, en, zh string) *Kind {
	k := &Kind{Code: code, en: en, zh: zh, details: details}
	all = append(all, k)
	return k
}
