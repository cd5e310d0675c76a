package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ssmlocal/fixtures"
)

// A clientRecord is what one client wrote down in a run of TestOfficialClients.
type clientRecord struct {
	Client, SDK, Version string
	Credentials          []string
	Unmodified           bool
	Runs                 []struct {
		Scheme, Signature, Method string
		Actions                   map[string]returned
	}
}

// returned is what came back from an action: fields that had a value, and
// codes.
type returned struct {
	Fields []string `json:"fields"`
	Codes  []string `json:"codes"`
}

// A proof is a record, without what all its runs have in common.
type proof struct {
	Client      string              `json:"client"`
	SDK         string              `json:"sdk"`
	Version     string              `json:"version"`
	Runs        []string            `json:"runs"` // scheme, signature and method
	Credentials []string            `json:"credentials"`
	Unmodified  bool                `json:"unmodified"` // without an endpoint option, through the proxy
	Actions     map[string]returned `json:"actions"`    // in any of the runs
}

func (r *clientRecord) proof() proof {
	p := proof{r.Client, r.SDK, r.Version, nil, slices.Sorted(slices.Values(r.Credentials)), r.Unmodified, map[string]returned{}}
	for _, run := range r.Runs {
		p.Runs = append(p.Runs, strings.Join([]string{run.Scheme, run.Signature, run.Method}, " "))
		for name, seen := range run.Actions {
			nested := func(field string) bool { return strings.Contains(field, ".") }
			all := p.Actions[name]
			all.Fields = union(all.Fields, slices.DeleteFunc(seen.Fields, nested))
			all.Codes = union(all.Codes, seen.Codes)
			p.Actions[name] = all
		}
	}
	slices.Sort(p.Runs)
	return p
}

func union(a, b []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat([]string{}, a, b))))
}

// keepRecord compares what a client proved with what the page of all of them is
// made from; -update writes it.
func keepRecord(t *testing.T, name, record string) {
	t.Helper()
	text, err := os.ReadFile(record)
	if err != nil && !strings.Contains(os.Getenv("SSMLOCAL_REQUIRE"), name) {
		t.Skipf("the client recorded nothing, as something that it needs is missing: %v", err)
	}
	if err != nil {
		t.Fatalf("the client recorded nothing: %v", err)
	}
	var r clientRecord
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(r.proof(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("../../fixtures/clients", name+".json")
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || string(got)+"\n" != string(want) {
		t.Errorf("the client proved something else than %s has: run this test with -update and look at the difference (%v)", file, err)
	}
}

// TestClientsPage keeps the page of what was proven with which client current;
// -update writes it. The records beside it are written and compared by
// TestOfficialClients, which CI runs with every client.
func TestClientsPage(t *testing.T) {
	files, err := filepath.Glob("../../fixtures/clients/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no records: %v", err)
	}
	var records []proof
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r proof
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		records = append(records, r)
	}
	generated(t, "fixtures/clients/README.md", "proven", clientsPage(t, records))
}

func clientsPage(t *testing.T, records []proof) string {
	t.Helper()
	api, err := fixtures.Facts()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("A test writes this part from the records of the programs in `fixtures/clients`. CI runs them against the emulator, with each client as its vendor publishes it. Not tested, because Maven Central had neither: tencentcloud-sdk-java-ssm (the whole SDK, tencentcloud-sdk-java, was) and ssm-rotation-sdk-java.\n\n")
	b.WriteString("| Client | Version | Ways to call | Credential providers | No endpoint option, through the proxy |\n|---|---|---|---|---|\n")
	for _, r := range records {
		fmt.Fprintf(&b, "| %s: `%s` | %s | %s | %s | %s |\n", r.Client, r.SDK, r.Version, ways(r.Runs),
			strings.Join(r.Credentials, ", "), map[bool]string{true: "yes", false: "–"}[r.Unmodified])
	}
	b.WriteString("\n### Actions\n\nHow many of an action's documented output fields a client read, in any of its runs.\n\n")
	matrix(&b, "Action", records, slices.Sorted(maps.Keys(api.Actions)), func(r proof, name string) string {
		seen, called := r.Actions[name]
		if !called {
			return "–"
		}
		read := 0
		for _, p := range api.Actions[name].Out {
			if slices.Contains(seen.Fields, p.Name) {
				read++
			}
		}
		return fmt.Sprintf("%d of %d", read, len(api.Actions[name].Out))
	})
	var fields, codes []string
	for _, name := range slices.Sorted(maps.Keys(api.Actions)) {
		for _, p := range api.Actions[name].Out {
			fields = append(fields, name+": "+p.Name)
		}
	}
	for _, r := range records {
		for name, seen := range r.Actions {
			for _, code := range seen.Codes {
				codes = append(codes, name+": "+code)
			}
		}
	}
	b.WriteString("\n### Fields\n\nWhich documented output fields had a value that the client read. An old client doesn't know the newest ones.\n\n")
	matrix(&b, "Field", records, fields, seenBy(func(r returned) []string { return r.Fields }))
	b.WriteString("\n### Codes\n\nWhich error codes the client saw, as its own errors.\n\n")
	matrix(&b, "Code", records, union(codes, nil), seenBy(func(r returned) []string { return r.Codes }))
	return b.String()
}

// matrix writes a table with a row for each key and a column for each client.
func matrix(b *strings.Builder, title string, records []proof, rows []string, cell func(r proof, row string) string) {
	fmt.Fprintf(b, "| %s |", title)
	for _, r := range records {
		b.WriteString(" " + r.Client + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(records)) + "\n")
	for _, row := range rows {
		fmt.Fprintf(b, "| %s |", row)
		for _, r := range records {
			b.WriteString(" " + cell(r, row) + " |")
		}
		b.WriteString("\n")
	}
}

// seenBy reports whether a client saw a row, such as CreateSecret: TagCode.
func seenBy(what func(returned) []string) func(r proof, row string) string {
	return func(r proof, row string) string {
		action, name, _ := strings.Cut(row, ": ")
		if slices.Contains(what(r.Actions[action]), name) {
			return "yes"
		}
		return "–"
	}
}

// ways lists the schemes, signatures and methods of runs.
func ways(runs []string) string {
	var of [3]map[string]bool
	for _, run := range runs {
		for i, part := range strings.SplitN(run, " ", 3) {
			if of[i] == nil {
				of[i] = map[string]bool{}
			}
			of[i][part] = true
		}
	}
	var out []string
	for _, parts := range of {
		out = append(out, strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
	}
	return strings.Join(out, "; ")
}
