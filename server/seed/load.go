package seed

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"ssmlocal/fixtures"
	"ssmlocal/server/account"
	"ssmlocal/server/fault"
	"ssmlocal/server/near"
)

// A Source is a file that a state is built from. It is read document by
// document each time a state is built: it may be large, and may have changed.
type Source struct {
	Name string // as the user knows it

	only  uint64          // not 0: the account that counts
	edit  func(*Document) // nil, or changes each document after it is read
	local bool            // it is a file of this machine's user, who may name other files and variables in it
	bytes func() (io.ReadCloser, error)
}

// A Document is one document of a file, with the positions of its parts.
type Document struct {
	Name string // of the file
	File File

	tree   yaml.Node
	local  bool // see Source
	before int  // how many lines of the file come before it
	// without has the paths of the items that are left out, see Source.Without.
	without map[string]bool
	// unreadable are the items that could not be read whole, by path.
	unreadable map[string]*torn
	shifted    bool // an item of a list could not be read at all, so paths are wrong
}

// torn is an item that could not be read whole.
type torn struct {
	fields  map[string]bool // the paths of what could not be read
	unknown bool            // there is a field that is not known
}

// A PositionError is an error in a file: where it is, and what it is. It never
// quotes a value that may be a secret.
type PositionError struct {
	Source string
	Line   int
	Field  string
	Why    string
}

// Error is file:line: field: why.
func (m *PositionError) Error() string {
	at := m.Source
	if m.Line > 0 {
		at += fmt.Sprintf(":%d", m.Line)
	}
	if m.Field != "" {
		at += ": " + m.Field
	}
	return at + ": " + m.Why
}

// Load finds a seed: the built-in one of that name, a file, or a directory with
// all of its .yaml and .yml files in the order of their names.
func Load(seed string) ([]*Source, error) {
	if text, ok := fixtures.Seed(seed); ok {
		return []*Source{Text("built-in seed "+seed, text)}, nil
	}
	info, err := os.Stat(seed)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no seed %s%s: it is no file, no directory, and the built-in ones are %s", seed, near.Hint(seed, fixtures.Seeds()), strings.Join(fixtures.Seeds(), ", "))
	case err != nil:
		return nil, fmt.Errorf("cannot read the seed: %w", err)
	case info.Mode().IsRegular():
		return []*Source{inFile(seed)}, nil
	case IsStream(info.Mode()):
		text, err := ReadStream(seed, streamStandstill)
		if err != nil {
			return nil, fmt.Errorf("cannot read the seed: %w", err)
		}
		return []*Source{Text(seed, text)}, nil
	}
	all, err := inDirectory(seed)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("the directory %s has no .yaml file to seed from", seed)
	}
	return all, err
}

// IsStream reports whether a file, such as a pipe, can be read only once.
func IsStream(mode fs.FileMode) bool { return !mode.IsRegular() && !mode.IsDir() }

// streamStandstill is how long a seed that is a pipe may bring nothing.
const streamStandstill = time.Minute

// ReadStream reads a file that may be a pipe. It gives up if nothing is written
// to that for a while: the reader of an open pipe would wait for ever.
func ReadStream(name string, standstill time.Duration) ([]byte, error) {
	type part struct {
		text []byte
		err  error
	}
	parts := make(chan part)
	given := make(chan struct{}) // closed when nobody reads any more
	defer close(given)
	go func() {
		send := func(p part) bool {
			select {
			case parts <- p:
				return p.err == nil
			case <-given:
				return false
			}
		}
		f, err := os.Open(name)
		if err != nil {
			send(part{err: err})
			return
		}
		defer f.Close()
		for going := true; going; {
			b := make([]byte, 64<<10)
			n, err := f.Read(b)
			going = send(part{b[:n], err})
		}
	}()
	var text []byte
	timer := time.NewTimer(standstill)
	defer timer.Stop()
	for {
		select {
		case p := <-parts:
			text = append(text, p.text...)
			if p.err == io.EOF {
				return text, nil
			}
			if p.err != nil {
				return nil, p.err
			}
			timer.Reset(standstill)
		case <-timer.C:
			return nil, fmt.Errorf("%s is a pipe, and nothing was written to it for %s", name, standstill)
		}
	}
}

// IsEmpty reports whether a directory has no seeds, or is not there.
func IsEmpty(directory string) (bool, error) {
	all, err := inDirectory(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return len(all) == 0, err
}

// inDirectory returns the files of a directory in the order of their names.
func inDirectory(directory string) (all []*Source, err error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("cannot read the directory of seeds: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		ending := filepath.Ext(name)
		if (ending == ".yaml" || ending == ".yml") && !strings.HasPrefix(name, ".") { // an editor's, say
			all = append(all, inFile(filepath.Join(directory, name)))
		}
	}
	return all, nil
}

// Text is a source in memory.
func Text(name string, text []byte) *Source {
	return &Source{Name: name, bytes: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}
}

// Unbound is the source without its bindings of instances to real databases.
func (s *Source) Unbound() *Source {
	unbound := *s
	unbound.edit = func(d *Document) {
		for i := range d.File.Accounts {
			d.File.Accounts[i].Instances = nil
		}
	}
	return &unbound
}

// TooLarge reports whether one of the documents of a text would take much more
// memory than its text.
func TooLarge(text []byte) bool {
	return slices.ContainsFunc(bytes.Split(text, []byte("\n---\n")), tooManyParts)
}

// Bytes is a source that can be read again and again.
func Bytes(name string, open func() (io.ReadCloser, error)) *Source {
	return &Source{Name: name, bytes: open}
}

func inFile(name string) *Source {
	return &Source{Name: name, local: true, bytes: func() (io.ReadCloser, error) {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("cannot read the seed: %w", err)
		}
		return f, nil
	}}
}

// file is a Source that is being read.
type file struct {
	io.Closer
	name  string
	split *splitter
	edit  func(*Document)
	local bool
	first *Document
}

func (s *Source) open() (*file, error) {
	r, err := s.bytes()
	if err != nil {
		return nil, err
	}
	return &file{Closer: r, name: s.Name, edit: s.edit, local: s.local, split: newSplitter(r)}, nil
}

// next returns the next document, nil after the last one. If the error is
// Mistakes, the rest of the document could be read.
func (f *file) next() (*Document, error) {
	text, before, err := f.split.next()
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", f.name, err)
	}
	if text == nil {
		return nil, nil
	}
	doc, err := parse(f.name, text, before)
	if doc == nil {
		return nil, err
	}
	doc.local = f.local
	if err == nil && f.edit != nil {
		f.edit(doc)
	}
	return doc, err
}

// Parse reads one document, YAML or JSON. A field that is not known, or that is
// given twice, is a mistake; a field that a merge (<<: *other) brings may be
// given again. With Mistakes it returns the document, too, of which the rest
// could be read.
func Parse(name string, text []byte) (*Document, error) { return parse(name, text, 0) }

func parse(name string, text []byte, before int) (*Document, error) {
	d := &Document{Name: name, before: before}
	if isComment(text) {
		return d, nil
	}
	text = fromJSON(text)
	if at := bytes.Index(text, []byte("\ufeff")); at >= 0 { // the library loses a character beside it
		return nil, d.wrong(lineAt(text, at), "", `there is a byte order mark (U+FEFF) here; write it as "\uFEFF" in double quotes`)
	}
	text, restore, odd := protect(text)
	if odd >= 0 {
		return nil, d.wrong(lineAt(text, odd), "", `there is a line end (U+0085) here that programs read differently; write it as "\N" in double quotes`)
	}
	if tooManyParts(text) {
		return nil, d.wrong(1, "", "there is too much in this document; put --- between parts of it, or leave something out")
	}
	if err := yaml.Load(text, &d.tree); err != nil {
		return nil, d.mistakeOf(text, err)
	}
	for n := range nodes(&d.tree) {
		n.Value = restore(n.Value)
	}
	if path, line := nothing(&d.tree, ""); line > 0 {
		return nil, d.wrong(line, path, "there is nothing in this place of the list; write an item, or remove the - or the comma")
	}
	twice := d.fieldsTwice()
	if err := d.tree.Load(&d.File, yaml.WithKnownFields()); err != nil {
		return d.mistakesOf(text, twice, err)
	}
	if len(twice) > 0 {
		return d.mistakesOf(text, twice, nil)
	}
	if path := notUTF8(reflect.ValueOf(d.File), ""); path != "" {
		return nil, d.mistake(path, errors.New("it is not text in UTF-8; write binary values as base64 in secretBinary"))
	}
	return d, nil
}

// How much a document may have: each part takes some hundred bytes in memory,
// even if it has one byte in the text.
const (
	manyParts  = 200_000
	mostParts  = 1_000_000
	partLength = 4 // bytes of a part, where there are many
)

// tooManyParts reports whether a document would take much more memory than its
// text.
func tooManyParts(text []byte) bool {
	n, within := 0, -1 // within is the column of the field whose value is a block of lines, -1 for none
	for line := range bytes.Lines(text) {
		indent := len(line) - len(bytes.TrimLeft(line, " "))
		if within >= 0 && (indent > within || len(bytes.TrimSpace(line)) == 0) {
			continue
		}
		within = -1
		if block.Match(line) {
			within = len(line) - len(bytes.TrimLeft(line, " -"))
		}
		if rest := bytes.TrimSpace(line); len(rest) == 0 || rest[0] == '#' {
			continue
		}
		if n += parts(line); n > mostParts {
			return true
		}
	}
	return n > manyParts && n*partLength > len(text)
}

// block is a line after which a text of several lines comes.
var block = regexp.MustCompile(`^[^#]*[:-] +[|>][0-9+-]*\s*$`)

// parts counts the parts in a line, by what separates them outside of quoted
// texts.
func parts(line []byte) (n int) {
	before := byte(',') // the last character that is no blank
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t':
			continue
		case ',', '\n', '[', '{':
			n++
		case '"', '\'':
			if bytes.IndexByte([]byte(",:[{-"), before) >= 0 {
				i += quotedLength(line[i:])
			}
		}
		before = line[min(i, len(line)-1)]
	}
	return n
}

// quotedLength is how much of a line is left of the quoted text that it begins
// with, 0 if that does not end in the line.
func quotedLength(line []byte) int {
	for i := 1; i < len(line); i++ {
		switch {
		case line[i] == '\\' && line[0] == '"':
			i++
		case line[i] == line[0]:
			return i
		}
	}
	return 0
}

// mostFields is how many fields may stand in one place, more than any has.
const mostFields = 10_000

// fieldsTwice removes fields that are given twice, or are too many, from the
// tree: the library compares each with each. It returns what is wrong.
func (d *Document) fieldsTwice() (all Mistakes) {
	tell := func(at *yaml.Node, why string) {
		if len(all) <= mostMistakes {
			path, _ := find(&d.tree, at.Line, at.Column, "", false)
			all = append(all, &PositionError{Source: d.Name, Line: d.before + at.Line, Field: path, Why: why})
		}
	}
	for n := range nodes(&d.tree) {
		if n.Kind != yaml.MappingNode {
			continue
		}
		if fields := len(n.Content) / 2; fields > mostFields {
			tell(n.Content[2*mostFields], fmt.Sprintf("there are %d fields here; the limit is %d", fields, mostFields))
			n.Content = n.Content[:2*mostFields]
		}
		seen := map[string]int{}
		for i := 0; i+1 < len(n.Content); {
			key := n.Content[i]
			if seen[key.Value]++; key.Kind == yaml.ScalarNode && seen[key.Value] > 1 {
				if seen[key.Value] == 2 {
					tell(key, "it is given twice")
				}
				n.Content = slices.Delete(n.Content, i, i+2)
				continue
			}
			i += 2
		}
	}
	return all
}

// wrong is a mistake in a line of the document.
func (d *Document) wrong(line int, field, why string) error {
	return &PositionError{Source: d.Name, Line: d.before + line, Field: field, Why: why}
}

// notUTF8 is the path of the first text that is not UTF-8, as !!binary can make
// them.
func notUTF8(v reflect.Value, path string) string {
	switch v.Kind() {
	case reflect.String:
		if !utf8.ValidString(v.String()) {
			return path
		}
	case reflect.Pointer:
		if !v.IsNil() {
			return notUTF8(v.Elem(), path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			if at := notUTF8(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); at != "" {
				return at
			}
		}
	case reflect.Map:
		for key, value := range v.Seq2() {
			if at := cmp.Or(notUTF8(key, path), notUTF8(value, path)); at != "" {
				return at
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			at := strings.TrimPrefix(path+"."+name, ".")
			if name == "" {
				at = path
			}
			if at := notUTF8(v.Field(i), at); at != "" {
				return at
			}
		}
	}
	return ""
}

// isComment reports whether a text has only comments and blank lines.
func isComment(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// nothing finds an item of a list that is null: the items after it would be
// counted wrong.
func nothing(n *yaml.Node, path string) (string, int) {
	for i, c := range n.Content {
		at := step(n, i, path)
		if n.Kind == yaml.SequenceNode && c.Tag == "!!null" {
			return at, c.Line
		}
		if where, line := nothing(c, at); line > 0 {
			return where, line
		}
	}
	return "", 0
}

// step is the path of the i-th child of a node. What is written in place of a
// secret's value is no part of it.
func step(n *yaml.Node, i int, path string) string {
	switch {
	case isValue(path):
		return path
	case n.Kind == yaml.SequenceNode:
		return fmt.Sprintf("%s[%d]", path, i)
	case n.Kind == yaml.MappingNode && i%2 == 1:
		return strings.TrimPrefix(path+"."+n.Content[i-1].Value, ".")
	}
	return path
}

// isValue reports whether a field holds a value that must not be shown.
func isValue(path string) bool {
	return slices.Contains([]string{"secretString", "secretBinary", "secretKey", "privateKey", "token", "url"}, path[strings.LastIndexByte(path, '.')+1:])
}

var (
	unknownField = regexp.MustCompile(`^field (\S+) not found in type (\S+)$`)
	wrongType    = regexp.MustCompile(`into (\S+)$`)
	quoted       = regexp.MustCompile("`[^`]*`?|\"[^\"]*\"?|'[^']*'?")
)

// mistakesOf says what the library could not read. If these are only single
// items, the document has the rest.
func (d *Document) mistakesOf(text []byte, all Mistakes, err error) (*Document, error) {
	var many *yaml.LoadErrors
	unknown := map[error]bool{}
	switch {
	case err == nil:
	case !errors.As(err, &many) || len(many.Errors) == 0:
		return nil, d.mistakeOf(text, err)
	default:
		for _, one := range many.Errors[:min(len(many.Errors), mostMistakes+1)] { // each is looked up in the whole text
			m := d.mistakeOf(text, one)
			if slices.ContainsFunc(all, func(told error) bool { return m.Field != "" && told.(*PositionError).Field == m.Field }) {
				continue
			}
			all = append(all, m)
			var at *yaml.LoadError
			unknown[m] = m.Field == "" || errors.As(one, &at) && unknownField.MatchString(at.Message)
		}
	}
	d.unreadable = map[string]*torn{}
	for _, mistake := range all {
		m := mistake.(*PositionError)
		in := itemOf(m.Field)
		if d.unreadable[in] == nil {
			d.unreadable[in] = &torn{fields: map[string]bool{}}
		}
		d.unreadable[in].fields[m.Field] = true
		d.unreadable[in].unknown = d.unreadable[in].unknown || unknown[m]
		d.shifted = d.shifted || m.Field == "" || strings.HasSuffix(m.Field, "]")
	}
	return d, all
}

// itemPath is the part of a path that leads to an item of the file: an account,
// what an account has, or a fault.
var itemPath = regexp.MustCompile(`^(accounts\[\d+\](\.[a-zA-Z]+\[\d+\])?|faults\[\d+\])`)

func itemOf(path string) string { return itemPath.FindString(path) }

// mistakeOf says where the library found a mistake, in our own words, because
// the library's can quote the file, including its values.
func (d *Document) mistakeOf(text []byte, err error) *PositionError {
	m := &PositionError{Source: d.Name, Why: "this is not YAML"}
	defer func() {
		if m.Line > 0 {
			m.Line += d.before
		}
	}()
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		return m
	}
	switch {
	case at.Stage == yaml.ReaderStage:
		m.Line, m.Why = lineAt(text, firstOdd(text)), "there is a control character here, or bytes that are not UTF-8; write binary values as base64 in secretBinary"
	case at.Stage == yaml.ResolverStage:
		m.Line, m.Why = untrue(&d.tree), "a value is not what its tag (!!int and the like) says; write it without one"
	case at.Mark.Line == 0:
	case at.Stage == yaml.ConstructorStage:
		m.Line = at.Mark.Line
		d.misconstrued(m, at)
	default:
		m.Line, m.Why = at.Mark.Line, "this is not YAML: "+quoted.ReplaceAllStringFunc(at.Message, unquoted)
	}
	return m
}

// misconstrued explains what is wrong with a text that is YAML but not a seed.
func (d *Document) misconstrued(m *PositionError, at *yaml.LoadError) {
	unknown := unknownField.FindStringSubmatch(at.Message)
	path, node := find(&d.tree, at.Mark.Line, at.Mark.Column, "", unknown == nil)
	m.Field = path
	var form fault.FormError
	switch {
	case unknown != nil && (node != nil && node.Tag == "!!null" || d.behindValue(at.Mark)):
		// {secretString: pass,word} has a field word, {secretKey: pass,word: x}
		// too: it may be half of a value.
		m.Field, m.Why = "", "there is a field here that is not known; put a value with a comma into quotes"
	case unknown != nil:
		m.Why = "there is no such field here; there are " + strings.Join(fieldsOf(unknown[2]), ", ")
	case errors.As(at, &form):
		m.Why = form.Error()
	default:
		m.Why = "the value has the wrong type or form"
		if into := wrongType.FindStringSubmatch(at.Message); into != nil {
			m.Why += "; it must be " + kindOf(into[1])
		}
	}
}

// untrue is the line of the first value that is not what its tag says, 0 if
// there is none.
func untrue(tree *yaml.Node) int {
	for n := range nodes(tree) {
		var value any
		if n.Kind == yaml.ScalarNode && n.Style&yaml.TaggedStyle != 0 && n.Load(&value) != nil {
			return n.Line
		}
	}
	return 0
}

// behindValue reports whether the field at a place comes after a value that
// must not be shown, on the same line and not in quotes.
func (d *Document) behindValue(at yaml.Mark) bool {
	for n := range nodes(&d.tree) {
		for i := 2; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if key := n.Content[i]; key.Line == at.Line && key.Column == at.Column {
				quoted := n.Content[i-1].Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
				return isValue(n.Content[i-2].Value) && n.Content[i-2].Line == at.Line && !quoted
			}
		}
	}
	return false
}

// nodes are a node and all below it.
func nodes(n *yaml.Node) iter.Seq[*yaml.Node] {
	return func(yield func(*yaml.Node) bool) { visit(n, yield) }
}

func visit(n *yaml.Node, yield func(*yaml.Node) bool) bool {
	if !yield(n) {
		return false
	}
	for _, c := range n.Content {
		if !visit(c, yield) {
			return false
		}
	}
	return true
}

// unquoted keeps only the punctuation of YAML of what a message quotes.
func unquoted(text string) string {
	if len(text) == 3 && strings.Contains(",[]{}:?-!", text[1:2]) {
		return text
	}
	return "…"
}

// lineAt is the line of a byte, from 1 on.
func lineAt(text []byte, at int) int { return 1 + bytes.Count(text[:at], []byte("\n")) }

// firstOdd returns the position of the first character that a YAML text can't
// have.
func firstOdd(text []byte) int {
	for at, c := range string(text) {
		_, size := utf8.DecodeRune(text[at:])
		if c == utf8.RuneError && size == 1 || c == 0xFFFE || c == 0xFFFF || unicode.IsControl(c) && !strings.ContainsRune("\t\r\n\u0085", c) {
			return at
		}
	}
	return 0
}

// find returns the path of the node at a place, and, for a key, its value. A
// block mapping begins where its first key does: outer says which of the two is
// meant.
func find(n *yaml.Node, line, column int, path string, outer bool) (string, *yaml.Node) {
	stands := func(n *yaml.Node) bool { return n.Line == line && n.Column == column }
	for i, c := range n.Content {
		at := step(n, i, path)
		switch {
		case !stands(c):
		case n.Kind == yaml.MappingNode && i%2 == 0:
			return step(n, i+1, path), n.Content[i+1]
		case outer || len(c.Content) == 0 || !stands(c.Content[0]):
			return at, c
		}
		if where, found := find(c, line, column, at, outer); found != nil {
			return where, found
		}
	}
	return "", nil
}

// fieldsOf lists the fields of a type, as the library names it.
func fieldsOf(name string) (fields []string) {
	for _, of := range []any{
		File{}, Clock{}, Account{}, User{}, Role{}, Credential{}, Secret{}, Version{}, DBAccount{}, AccessKey{}, Task{},
		account.Policy{}, account.Statement{}, fault.Rule{}, fault.Effect{}, fault.Error{},
	} {
		if t := reflect.TypeOf(of); t.String() == name {
			fields = yamlFields(t)
		}
	}
	return fields
}

func yamlFields(t reflect.Type) (names []string) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.Anonymous {
			names = append(names, yamlFields(f.Type)...)
		} else {
			names = append(names, name)
		}
	}
	return names
}

// kindOf says what a Go type is written as.
func kindOf(name string) string {
	switch {
	case name == "string":
		return "a text"
	case name == "bool":
		return "true or false"
	case strings.HasPrefix(name, "uint"):
		return "a whole number from 0 on"
	case strings.HasPrefix(name, "int"):
		return "a whole number"
	case strings.HasPrefix(name, "float"):
		return "a number"
	case strings.HasPrefix(name, "[]"), name == "account.Words":
		return "a list"
	}
	return "a mapping of fields to values"
}

// mistake returns a mistake at a path such as
// accounts[0].secrets[2].createTime.
func (d *Document) mistake(path string, err error) error {
	return &PositionError{Source: d.Name, Line: d.line(path), Field: path, Why: err.Error()}
}

// line is the line of the file to which a path leads, as far as it does, 0 for
// none.
func (d *Document) line(path string) int {
	if line, _ := d.follow(path); line > 0 {
		return d.before + line
	}
	return 0
}

// has reports whether something is written at a path, even if that is empty.
func (d *Document) has(path string) bool {
	_, found := d.follow(path)
	return found
}

// follow returns the line of the document to which a path leads, as far as it
// does, and whether it leads to its end.
func (d *Document) follow(path string) (line int, found bool) {
	node := &d.tree
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if node = child(node, step); node == nil {
			return line, false
		}
		line = node.Line
	}
	return line, true
}

// child is what a node has under a key or an index, nil for none.
func child(n *yaml.Node, step string) *yaml.Node {
	switch n.Kind {
	case yaml.DocumentNode:
		return child(n.Content[0], step)
	case yaml.AliasNode:
		return child(n.Alias, step)
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
	case yaml.MappingNode:
		var merged *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			switch n.Content[i].Value {
			case step:
				return n.Content[i+1]
			case "<<":
				merged = child(n.Content[i+1], step)
			}
		}
		return merged
	}
	return nil
}
