package tc3

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"sync"

	"ssmlocal/server/apierr"
)

// Decode reads the action's parameters into a pointer to a struct whose fields
// are the parameters: string, bool, int64 and uint64, pointers to these for
// parameters whose absence differs from their zero value, slices of string or
// of structs, and embedded structs. The tag `tc3:"required"` marks a parameter
// that must be given. A list has MaxItems at most.
//
// The error is the gateway's. Of several mistakes, it reports the first in this
// order: syntax, an unknown parameter, a wrong type, a missing parameter.
func Decode(q *Request, into any) error {
	fields, err := q.fields()
	if err != nil {
		return err
	}
	v := reflect.ValueOf(into).Elem()
	var m mistakes
	m.object(v, planOf(v.Type()), fields, "")
	return cmp.Or(m.syntax, m.unknown, m.wrong, m.missing)
}

// fields returns the action's own parameters.
func (q *Request) fields() ([]field, error) {
	if !q.form {
		return parseJSON(q.Body)
	}
	pairs := q.pairs
	if q.headers { // not before the signature was verified
		var err error
		if pairs, err = parsePairs(q.payload()); err != nil {
			return nil, err
		}
	} else {
		pairs = slices.DeleteFunc(slices.Clone(pairs), func(p pair) bool { return slices.Contains(common, p.key) })
	}
	return parseTree(pairs), nil
}

// MaxItems is how many items a list may have. Where the documentation says
// less, the action checks that; for most lists it says nothing.
const MaxItems = 100

// plan is what is known of a struct type's parameters.
type plan struct {
	index    map[string][]int
	required []string
}

var plans sync.Map // reflect.Type → *plan

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p := &plan{index: map[string][]int{}}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous {
			continue
		}
		p.index[f.Name] = f.Index
		if f.Tag.Get("tc3") == "required" {
			p.required = append(p.required, f.Name)
		}
	}
	plans.Store(t, p)
	return p
}

// mistakes has the first mistake of each sort that decoding meets.
type mistakes struct{ syntax, unknown, wrong, missing error }

func note(first *error, err error) {
	if *first == nil {
		*first = err
	}
}

// object reads fields into the struct v. path is the struct's own path with a
// trailing dot, "" at the top.
func (m *mistakes) object(v reflect.Value, p *plan, fields []field, path string) {
	given := make([]string, 0, 8)
	for _, f := range fields {
		index, known := p.index[f.name]
		if !known {
			note(&m.unknown, apierr.UnknownParameter.With(path+f.name))
			continue
		}
		if to := v.FieldByIndex(index); !f.node.absent(to.Kind() == reflect.String) {
			given = append(given, f.name)
			m.value(to, f.node, path+f.name)
		}
	}
	for _, name := range p.required {
		if !slices.Contains(given, name) {
			note(&m.missing, apierr.MissingParameter.With(path+name))
		}
	}
}

// value reads one node into v.
func (m *mistakes) value(v reflect.Value, n node, path string) {
	ok := false
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		m.value(v.Elem(), n, path)
		return
	case reflect.String:
		var s string
		if s, ok = n.text(); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		var b bool
		if b, ok = n.boolean(); ok {
			v.SetBool(b)
		}
	case reflect.Int64, reflect.Uint64:
		ok = setInteger(v, n)
	case reflect.Slice:
		ok = m.slice(v, n, path)
	case reflect.Struct:
		var fields []field
		if fields, ok = n.fields(); ok {
			m.object(v, planOf(v.Type()), fields, path+".")
		}
	}
	if !ok {
		note(&m.wrong, apierr.WrongType.With(path))
	}
}

func setInteger(v reflect.Value, n node) bool {
	s, ok := n.integer()
	if !ok {
		return false
	}
	if v.CanUint() {
		u, err := strconv.ParseUint(s, 10, 64)
		v.SetUint(u)
		return err == nil
	}
	i, err := strconv.ParseInt(s, 10, 64)
	v.SetInt(i)
	return err == nil
}

func (m *mistakes) slice(v reflect.Value, n node, path string) bool {
	items, err := n.list(path, MaxItems)
	if err != nil {
		note(&m.syntax, err)
		return true
	}
	if items == nil {
		return false
	}
	if len(items) > MaxItems {
		note(&m.wrong, apierr.TooManyItems.With(path, MaxItems))
		return true
	}
	s := reflect.MakeSlice(v.Type(), len(items), len(items))
	for i, item := range items {
		m.value(s.Index(i), item, path+"."+strconv.Itoa(i))
	}
	v.Set(s)
	return true
}
