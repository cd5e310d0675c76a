package seed

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Files with many documents, and documents in JSON.

// splitter cuts a file into its documents, so that no more than one of them is
// in memory. A line that begins with --- or ... is never part of a text: YAML
// forbids it.
type splitter struct {
	r     *bufio.Reader
	held  []byte // the beginning of the next document
	lines int    // how many have been read
	begun bool   // a document was returned
}

// next returns a document and how many lines come before it; no document at the
// end. A file without any documents has one empty document.
func newSplitter(r io.Reader) *splitter { return &splitter{r: bufio.NewReaderSize(r, 64<<10)} }

func (s *splitter) next() (text []byte, before int, err error) {
	text, before = s.held, s.lines-bytes.Count(s.held, []byte("\n"))
	s.held = nil
	preamble, marked := isPreamble(text), hasMarker(text)
	for {
		line, err := s.line()
		if err != nil && err != io.EOF {
			return nil, 0, err
		}
		if len(line) > 0 && line[len(line)-1] == '\n' {
			s.lines++
		}
		switch {
		case isMarker(line, "---") && !preamble:
			s.held, s.begun = line, true
			return text, before, nil
		case isMarker(line, "---") && marked: // a document with nothing in it
			text, before = nil, s.lines-bytes.Count(line, []byte("\n"))
		case preamble && version.Match(line): // of YAML, which makes no difference here
			line = []byte("#\n")
		case isMarker(line, "..."):
			if text = append(text, line...); preamble {
				text, marked = nil, false
				before = s.lines
				continue
			}
			s.begun = true
			return text, before, nil
		}
		text = append(text, line...)
		preamble = preamble && isPreamble(line)
		marked = marked || isMarker(line, "---")
		if err == io.EOF {
			if preamble && s.begun {
				return nil, 0, nil
			}
			s.begun = true
			return append(text, '\n')[:len(text)], before, nil // not nil
		}
	}
}

// line returns a line with its end.
func (s *splitter) line() ([]byte, error) {
	line, err := s.r.ReadBytes('\n')
	if s.lines == 0 && s.held == nil && !s.begun {
		line = bytes.TrimPrefix(line, []byte("\ufeff"))
	}
	return line, err
}

// isMarker reports whether a line begins or ends a document.
func isMarker(line []byte, marker string) bool {
	rest, is := bytes.CutPrefix(line, []byte(marker))
	return is && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// version is the line that says which version of YAML a document has.
var version = regexp.MustCompile(`^%YAML\s+1\.[0-9]\s*$`)

// hasMarker reports whether a preamble has the line that begins a document.
func hasMarker(text []byte) bool {
	for line := range bytes.Lines(text) {
		if isMarker(line, "---") {
			return true
		}
	}
	return false
}

// isPreamble reports whether a text is nothing but comments, directives and the
// beginning of a document.
func isPreamble(text []byte) bool {
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' && line[0] != '%' && string(line) != "---" && string(line) != "..." {
			return false
		}
	}
	return true
}

// odd matches what JSON allows in a text and YAML reads differently or not at
// all. It also matches any other escape, so that the one in \\ud83d is found
// first.
var odd = regexp.MustCompile(`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\.|[\x{85}\x{2028}\x{2029}\x{FEFF}\x{FFFE}\x{FFFF}]`)

// fromJSON turns a document in JSON into YAML with the same meaning, line by
// line. It returns any other text as it is.
func fromJSON(text []byte) []byte {
	begin := 0
	for line := range bytes.Lines(text) {
		if !isPreamble(line) {
			break
		}
		begin += len(line)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(text[begin:], " \t"), []byte("{")) || !json.Valid(text[begin:]) {
		return text
	}
	return slices.Concat(text[:begin], odd.ReplaceAllFunc(text[begin:], func(m []byte) []byte {
		switch {
		case len(m) == 12:
			var high, low rune
			_, _ = fmt.Sscanf(string(m), `\u%4x\u%4x`, &high, &low) // as the expression has it
			return utf8.AppendRune(nil, utf16.DecodeRune(high, low))
		case m[0] == '\\':
			return m
		}
		c, _ := utf8.DecodeRune(m)
		return fmt.Appendf(nil, `\u%04x`, c)
	}))
}

// lineEnds are characters that end a line in YAML 1.1, and for the library, but
// are like any others in YAML 1.2.
const lineEnds = "\u0085\u2028\u2029"

// protect replaces lineEnds by characters that the library leaves alone, and
// returns a function that puts them back. A blank after U+2028 or U+2029 counts
// as the indentation of the next line, as PyYAML writes it. odd is the position
// of a line end that programs read differently, -1 for none: PyYAML does not
// read U+0085 the way it writes it.
func protect(text []byte) (protected []byte, restore func(string) string, odd int) {
	if !bytes.ContainsAny(text, lineEnds) {
		return text, func(s string) string { return s }, -1
	}
	stand := map[rune]rune{}
	next := '\ue000' // for private use
	var back []string
	for _, c := range lineEnds {
		for bytes.ContainsRune(text, next) {
			next++
		}
		stand[c] = next
		back = append(back, string(next), string(c))
		next++
	}
	odd = -1
	for at, c := range string(text) {
		after := text[min(at+utf8.RuneLen(max(c, 0)), len(text)):]
		blank := len(after) > 0 && bytes.IndexByte([]byte(" \t\r\n"), after[0]) >= 0
		switch {
		case stand[c] != 0 && !blank:
			protected = utf8.AppendRune(protected, stand[c])
			continue
		case c == '\u0085' && odd < 0:
			odd = at
		}
		_, size := utf8.DecodeRune(text[at:])
		protected = append(protected, text[at:at+size]...)
	}
	return protected, strings.NewReplacer(back...).Replace, odd
}
