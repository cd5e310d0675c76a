package seed

import (
	"encoding/json"
	"io"

	"go.yaml.in/yaml/v4"
)

// AsJSON returns a seed in JSON: one value for each document, which is a seed
// again. It reads the seed document by document, as it is read itself.
func AsJSON(from io.ReadCloser) io.ReadCloser {
	out, in := io.Pipe()
	go func() {
		defer from.Close()
		in.CloseWithError(writeJSON(in, from))
	}()
	return out
}

func writeJSON(to io.Writer, from io.Reader) error {
	split := newSplitter(from)
	write := json.NewEncoder(to)
	write.SetIndent("", "  ")
	write.SetEscapeHTML(false)
	for first := true; ; first = false {
		text, _, err := split.next()
		if err != nil || text == nil {
			return err
		}
		var document any
		if err := yaml.Load(text, &document); err != nil {
			return err
		}
		if !first {
			if _, err := io.WriteString(to, "---\n"); err != nil {
				return err
			}
		}
		if err := write.Encode(document); err != nil {
			return err
		}
	}
}
