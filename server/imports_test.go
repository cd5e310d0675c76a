package server_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport says which packages of this module each package may import; tests
// may import any.
var mayImport = map[string][]string{
	"cmd/ssmlocal": {"fixtures", "server", "server/account", "server/action", "server/backend", "server/binding", "server/caller", "server/capsule", "server/control", "server/demo", "server/fault", "server/near", "server/seed", "server/ssm"},
	"server": {
		"server/account", "server/apierr", "server/backend", "server/caller", "server/capsule", "server/clock", "server/console", "server/seed", "server/control", "server/demo", "server/gateway", "server/journal", "server/listen", "server/redact", "server/ssm", "server/tc3", "server/turn",
	},
	"server/control": {
		"fixtures", "server/account", "server/action", "server/apierr", "server/backend", "server/binding", "server/caller", "server/capsule", "server/clock", "server/demo", "server/decode", "server/fault", "server/gateway", "server/journal", "server/limit", "server/near",
		"server/redact", "server/seed", "server/ssm", "server/tc3",
	},
	"server/gateway": {
		"server/account", "server/action", "server/apierr", "server/backend", "server/fault", "server/journal", "server/limit", "server/listen", "server/near", "server/ssm", "server/tc3", "server/turn",
	},
	"server/listen": {"server/clock"},
	"server/backend": {
		"fixtures", "server/account", "server/action", "server/apierr", "server/binding", "server/clock", "server/decode", "server/fault", "server/scheduler", "server/seed", "server/ssm", "server/turn",
		"store",
	},
	"server/binding":               {"server/action", "server/apierr", "server/clock", "server/instance", "server/ssm", "store"},
	"server/instance":              {"server/ssm"},
	"server/instance/instancetest": {"server/instance"},
	"server/caller":                {"server/near", "server/tc3"},
	"server/demo":                  {"fixtures", "server/caller"},
	"server/console":               {},
	"server/capsule":               {"server/account", "server/caller", "server/clock", "server/decode", "server/tc3", "server/turn"},
	"server/redact":                {"fixtures", "server/account", "server/action", "server/apierr", "server/capsule", "server/fault", "server/near", "server/seed", "server/ssm", "server/tc3"},
	"server/decode":                {},
	"server/action":                {"server/apierr", "server/ssm", "store"},
	"server/account":               {"server/apierr"},
	"server/fault":                 {"server/near"},
	"server/near":                  {},
	"server/journal":               {},
	"server/limit":                 {"server/apierr"},
	"server/seed":                  {"fixtures", "server/account", "server/apierr", "server/clock", "server/fault", "server/near", "server/ssm"},
	"server/ssm":                   {"server/apierr"},
	"server/tc3":                   {"server/apierr"},
	"server/apierr":                {},
	"server/clock":                 {},
	"server/scheduler":             {"server/clock"},
	"server/turn":                  {},
	"server/servertest":            {"server", "server/account", "server/action", "server/clock", "server/fault", "server/journal", "server/seed", "server/tc3"},
	"store":                        {},
	"store/storetest":              {"store"},
	"fixtures":                     {},
	"fixtures/load":                {"server/account", "server/servertest"},
}

// TestImports checks that every package imports only what the list says, and
// that only package clock reads the time.
func TestImports(t *testing.T) {
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		if strings.Contains(file, "node_modules") || strings.Contains(filepath.ToSlash(file), "fixtures/clients/") {
			return nil
		}
		folder := path.Dir(strings.TrimPrefix(filepath.ToSlash(file), "../"))
		allowed, known := mayImport[folder]
		if !known {
			t.Errorf("%s: the folder is not in the list", file)
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "time.Now(") && !slices.Contains([]string{"server/clock", "server/servertest", "fixtures/load"}, folder) {
			t.Errorf("%s reads the clock, which only server/clock may", file)
		}
		for _, i := range f.Imports {
			name, _ := strconv.Unquote(i.Path.Value)
			if name == "net/http" && folder == "server/backend" {
				t.Errorf("%s imports net/http: the backend is the service without HTTP", file)
			}
			if own, ok := strings.CutPrefix(name, "ssmlocal/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, which its package may not", file, own)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
