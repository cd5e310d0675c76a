// Package decode reads JSON that people write. Its errors name the place of a
// mistake and the next step, in words that are the same from run to run.
package decode

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// JSON reads a text into a pointer to a struct. A field that the struct doesn't
// have is refused, and so is one that is given twice.
func JSON(text []byte, into any) error {
	if err := json.Unmarshal(text, into, json.RejectUnknownMembers(true)); err != nil {
		return explain(err, reflect.TypeOf(into).Elem())
	}
	return nil
}

// NotEmpty refuses a valid JSON text with a field whose value is an empty text,
// for example from an unset variable of a shell, which must not mean "any".
func NotEmpty(text []byte) error {
	if at := emptyText(text); at != "" {
		return fmt.Errorf("the field %s is empty; leave it out, or give a value", at)
	}
	return nil
}

// emptyText returns where in a valid JSON text the first field with an empty
// text is, "" for none.
func emptyText(text []byte) jsontext.Pointer {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		t, err := d.ReadToken()
		if err != nil {
			return ""
		}
		kind, n := d.StackIndex(d.StackDepth())
		isValue := kind != '{' || n%2 == 0
		if t.Kind() == '"' && t.String() == "" && isValue {
			return d.StackPointer()
		}
	}
}

// explain says where a text is wrong. The library's own words differ from run
// to run.
func explain(err error, want reflect.Type) error {
	var field *json.SemanticError
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &field):
		in := typeAt(want, field.JSONPointer.Parent())
		return fmt.Errorf("there is no field %s; the fields are %s", field.JSONPointer, strings.Join(fieldsOf(in), ", "))
	case errors.As(err, &field):
		where := "the body"
		if field.JSONPointer != "" {
			where = "the field " + string(field.JSONPointer)
		}
		if own := field.Err; own != nil && field.GoType != nil && field.GoType != timeType && reflect.PointerTo(field.GoType).Implements(textual) {
			return fmt.Errorf("%s: %v", where, own)
		}
		return fmt.Errorf("%s has a value of the wrong type or form; it must be %s", where, kindOf(field.GoType))
	case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
		return fmt.Errorf("the field %s is given twice", syntax.JSONPointer)
	}
	return fmt.Errorf("the body is not valid JSON; send an object such as {}")
}

var (
	textual  = reflect.TypeFor[encoding.TextUnmarshaler]()
	timeType = reflect.TypeFor[time.Time]()
)

// kindOf says what a Go type is in JSON.
func kindOf(t reflect.Type) string {
	if t == nil {
		return "something else"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == timeType {
		return "a time such as 2030-01-02T15:04:05Z"
	}
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		if names := fieldsOf(t); len(names) > 0 {
			return "an object with " + strings.Join(names, ", ")
		}
		return "an object"
	}
	return "a number"
}

// typeAt returns the type of the value at a pointer, or of the nearest value
// above it that is known.
func typeAt(t reflect.Type, at jsontext.Pointer) reflect.Type {
	for token := range at.Tokens() {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() == reflect.Map {
			t = t.Elem()
			continue
		}
		if t.Kind() != reflect.Struct {
			continue
		}
		for f := range t.Fields() {
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name == token {
				t = f.Type
				break
			}
			if inner, ok := f.Type, f.Anonymous; ok {
				if found := typeAt(inner, jsontext.Pointer("").AppendToken(token)); found != inner {
					t = found
					break
				}
			}
		}
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// fieldsOf lists the fields of an object.
func fieldsOf(t reflect.Type) (names []string) {
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = append(names, fieldsOf(f.Type)...)
		case name != "":
			names = append(names, name)
		}
	}
	return names
}
