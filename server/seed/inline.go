package seed

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"go.yaml.in/yaml/v4"
)

// Inline returns a file's seed with the values in it that it takes from the
// environment or from files, so that it can be sent. A seed without any is
// returned as it is.
func Inline(name string, text []byte) ([]byte, error) {
	if !bytes.Contains(text, []byte("secretStringFrom")) {
		return text, nil
	}
	absolute, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	f := &file{name: name, split: newSplitter(bytes.NewReader(text))}
	for {
		doc, err := f.next()
		if doc == nil {
			return out.Bytes(), err
		}
		// What is wrong besides, whoever builds the state tells, all at once.
		doc.local, doc.Name = true, absolute
		b := newBuilder(Rules{}, nil)
		b.doc = doc
		if err := b.inline(&doc.tree, ""); err != nil {
			return nil, err
		}
		if b.settle() {
			var wrong *PositionError
			if errors.As(b.mistakes[0], &wrong) {
				wrong.Source = name
			}
			return nil, b.mistakes[0]
		}
		written, err := yaml.Dump(&doc.tree, yaml.WithLineWidth(-1))
		if err != nil {
			return nil, err
		}
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.Write(written)
	}
}

// inline puts values into a node and those below it.
func (b *builder) inline(n *yaml.Node, path string) error {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Value != "secretStringFrom" {
			continue
		}
		var from From
		if err := value.Load(&from); err != nil {
			return &PositionError{b.doc.Name, b.doc.before + value.Line, path + ".secretStringFrom", "give one of env and file"}
		}
		text := ""
		b.from(path+".secretStringFrom", &from, &text)
		key.Value = "secretString"
		n.Content[i+1] = textNode(text, false)
	}
	for i, child := range n.Content {
		if err := b.inline(child, step(n, i, path)); err != nil {
			return fmt.Errorf("%w", err)
		}
	}
	return nil
}
