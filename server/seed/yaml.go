package seed

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// States are written in YAML so that every reader, of YAML 1.1 or 1.2, gets the
// same texts back, byte for byte. The library's own choices are not enough for
// that: it writes U+2028 as it is, which other readers take for a line's end or
// for none, and plain texts that PyYAML takes for times (2001-12-14 21:59:43
// -5) or refuses (=).

// tree is the node of a value, by the yaml tags of its fields.
func tree(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	switch x := v.Interface().(type) {
	case Tags:
		for _, t := range x {
			n.Content = append(n.Content, textNode(t.Key, true), textNode(t.Value, false))
		}
		return n
	case encoding.TextMarshaler:
		s, _ := x.MarshalText() // those of faults never fail
		return textNode(string(s), false)
	}
	switch v.Kind() {
	case reflect.Pointer:
		return tree(v.Elem())
	case reflect.String:
		return textNode(v.String(), false)
	case reflect.Bool:
		return plainNode("!!bool", v)
	case reflect.Float64:
		return plainNode("!!float", v)
	case reflect.Slice:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		for i := range v.Len() {
			n.Content = append(n.Content, tree(v.Index(i)))
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			n.Content = append(n.Content, textNode(k.String(), true), tree(v.MapIndex(k)))
		}
	case reflect.Struct:
		n.Content = fieldNodes(v)
	default:
		return plainNode("!!int", v)
	}
	return n
}

func fieldNodes(v reflect.Value) (nodes []*yaml.Node) {
	for i := range v.NumField() {
		name, how, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		f := v.Field(i)
		empty := f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0
		switch {
		case how == "inline":
			nodes = append(nodes, tree(f).Content...)
		case how != "omitempty" || !empty:
			nodes = append(nodes, textNode(name, true), tree(f))
		}
	}
	return nodes
}

func plainNode(tag string, v reflect.Value) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: fmt.Sprint(v)}
}

func textNode(s string, key bool) *yaml.Node {
	s = strings.ToValidUTF8(s, "\ufffd") // earlier builds let others in
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: style(s, key)}
}

// style returns plain for texts that no reader takes for anything else, literal
// for lines of plain text, and double quotes with escapes for the rest.
func style(s string, key bool) yaml.Style {
	switch {
	case isPlain(s):
		return 0
	case !key && isLines(s):
		return yaml.LiteralStyle
	}
	return yaml.DoubleQuotedStyle
}

// isPlain reports whether a text has only letters, digits and harmless signs,
// begins with a letter, but not as a float of some readers (e1), and has a
// letter or a digit after each blank and colon.
func isPlain(s string) bool {
	last := ' '
	for i, c := range s {
		switch {
		case unicode.IsLetter(c) && c < 0x10000:
		case i > 1 && '0' <= c && c <= '9', i == 1 && '0' <= c && c <= '9' && s[0]|0x20 != 'e':
		case i < 2, last == ' ', last == ':', !strings.ContainsRune(" :_-./@%+=,;()*$", c):
			return false
		}
		last = c
	}
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf":
		return false
	}
	return last != ' ' && last != ':'
}

// isLines reports whether a text is lines that can be seen as they are: no
// blank at the start or at the end of a line, no tab, and one line end at the
// end at most.
func isLines(s string) bool {
	last := '\n'
	for i, c := range s {
		switch {
		case c == '\n':
			if i == 0 || last == ' ' || last == '\n' && i == len(s)-1 {
				return false
			}
		case c == ' ' && i == 0, c >= 0x10000, c != ' ' && unicode.IsSpace(c), !unicode.IsGraphic(c), c == unicode.ReplacementChar:
			return false
		}
		last = c
	}
	return strings.Contains(s, "\n") && last != ' '
}
