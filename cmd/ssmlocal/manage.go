package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ssmlocal/server/backend"
	"ssmlocal/server/control"
	"ssmlocal/server/seed"
)

// Commands that change a running emulator besides its secrets.

// tasksCommands are about tasks, such as a rotation.
type tasksCommands struct {
	Show tasksShow `cmd:"" default:"withargs" help:"Print the pace of tasks, and how many of the next ones fail (the default)."`
	Set  tasksSet  `cmd:"" help:"Change the pace of tasks, or make the next ones fail."`
}

type tasksShow struct{ target }

func printTasks(w io.Writer, r control.TaskReply) error {
	_, err := fmt.Fprintf(w, "pace %s, the next %d fail\n", r.Pace, r.FailNext)
	return err
}

// Run prints the settings of tasks.
func (c *tasksShow) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "tasks"}, printTasks)
}

type tasksSet struct {
	target
	Pace     string `placeholder:"PACE" help:"now, a time of the virtual clock such as 6s, or a number of polls such as 3polls."`
	FailNext *int   `placeholder:"N" help:"Let the next N tasks fail."`
}

// Run changes the settings of tasks.
func (c *tasksSet) Run(ctx context.Context, t terminal) error {
	body := map[string]any{}
	if c.Pace != "" {
		body["pace"] = c.Pace
	}
	if c.FailNext != nil {
		body["failNext"] = *c.FailNext
	}
	if len(body) == 0 {
		return usageError{fmt.Errorf("give --pace or --fail-next")}
	}
	return show(ctx, &c.target, t, request{method: http.MethodPut, path: "tasks", body: body}, printTasks)
}

// accountsCommands are about accounts, besides their secrets.
type accountsCommands struct {
	List accountsList `cmd:"" default:"withargs" help:"Print the data of accounts besides their secrets (the default)."`
	Set  accountsSet  `cmd:"" help:"Replace the data of an account."`
}

type accountsList struct{ target }

func describeAccount(a control.AccountReply) string {
	text := []string{a.Service}
	if a.Service == "" {
		text = nil
	}
	if a.Postpaid {
		text = append(text, "postpaid")
	}
	if a.SecretLimit > 0 {
		text = append(text, fmt.Sprintf("at most %d secrets", a.SecretLimit))
	}
	for _, id := range slices.Sorted(maps.Keys(a.KmsKeys)) {
		text = append(text, "key "+id+" "+a.KmsKeys[id])
	}
	for _, uin := range slices.Sorted(maps.Keys(a.Users)) {
		text = append(text, fmt.Sprintf("user %d", uin))
	}
	for _, id := range a.Isolated {
		text = append(text, "isolated "+id)
	}
	return fmt.Sprintf("%d  %s", a.Uin, strings.Join(text, ", "))
}

// Run prints the accounts that have data.
func (c *accountsList) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "accounts"}, func(w io.Writer, all []control.AccountReply) error {
		if len(all) == 0 {
			_, err := fmt.Fprintln(w, "no account has data besides its secrets")
			return err
		}
		for _, a := range all {
			fmt.Fprintln(w, describeAccount(a))
		}
		return nil
	})
}

type accountsSet struct {
	target
	Account     uint64            `arg:"" placeholder:"UIN" help:"The account."`
	Service     string            `placeholder:"STATE" help:"normal, none, arrears or released."`
	Postpaid    bool              `help:"The service is postpaid."`
	SecretLimit uint64            `placeholder:"N" help:"How many secrets it may have in a region."`
	KmsKey      map[string]string `mapsep:"," placeholder:"ID=STATE" help:"A KMS key that is disabled or foreign; repeatable."`
	User        []uint64          `placeholder:"UIN" help:"A sub-account; repeatable."`
	Isolated    []string          `placeholder:"ID" help:"An instance whose secrets can't be rotated; repeatable."`
}

// Run replaces the data of an account. What no flag gives is forgotten.
func (c *accountsSet) Run(ctx context.Context, t terminal) error {
	body := map[string]any{"uin": c.Account, "postpaid": c.Postpaid, "secretLimit": c.SecretLimit}
	if c.Service != "" {
		body["service"] = c.Service
	}
	if len(c.KmsKey) > 0 {
		body["kmsKeys"] = c.KmsKey
	}
	if len(c.User) > 0 {
		users := map[string]any{}
		for _, uin := range c.User {
			users[fmt.Sprint(uin)] = map[string]any{}
		}
		body["users"] = users
	}
	if len(c.Isolated) > 0 {
		body["isolated"] = c.Isolated
	}
	return show(ctx, &c.target, t, request{method: http.MethodPut, path: "accounts", body: body}, func(w io.Writer, a control.AccountReply) error {
		_, err := fmt.Fprintln(w, describeAccount(a))
		return err
	})
}

type accessKeyCommand struct {
	target
	SecretName string `arg:"" help:"Name of the secret."`
	TargetUin  uint64 `arg:"" help:"The user whose key it holds."`
	Uin        uint64 `placeholder:"N" help:"The account; the default one if absent."`
	Region     string `placeholder:"REGION" help:"Region; ap-guangzhou if absent."`
}

// Run makes an API-key secret.
func (c *accessKeyCommand) Run(ctx context.Context, t terminal) error {
	body := map[string]any{"secretName": c.SecretName, "targetUin": c.TargetUin}
	if c.Uin != 0 {
		body["uin"] = c.Uin
	}
	if c.Region != "" {
		body["region"] = c.Region
	}
	return show(ctx, &c.target, t, request{method: http.MethodPost, path: "accesskeysecrets", body: body}, func(w io.Writer, _ any) error {
		_, err := fmt.Fprintf(w, "made %s\n", c.SecretName)
		return err
	})
}

type backupCommand struct {
	target
	File string `arg:"" placeholder:"FILE" help:"Where to write the copy of the data file, with mode 0600; - is standard output."`
}

// Run writes a copy of the data file.
func (c *backupCommand) Run(ctx context.Context, t terminal) error {
	defer c.progress(ctx, t)()
	copied, err := c.stream(ctx, http.MethodGet, "backup", nil, nil)
	if err != nil {
		return err
	}
	defer copied.Close()
	if err := c.save(t, c.File, copied); err != nil {
		return fmt.Errorf("cannot write the backup: %w", err)
	}
	return nil
}

// snapshotCommands are about states that are kept under a name.
type snapshotCommands struct {
	List   snapshotList   `cmd:"" default:"withargs" help:"Print the snapshots (the default)."`
	Save   snapshotSave   `cmd:"" help:"Keep the present state under a name, in --data of the emulator or in its memory."`
	Load   snapshotLoad   `cmd:"" help:"Put a snapshot in place of the state."`
	Show   snapshotShow   `cmd:"" help:"Print a snapshot as the seed that it is, with its values."`
	Diff   snapshotDiff   `cmd:"" help:"Print how the present state, or another snapshot, differs from a snapshot."`
	Delete snapshotDelete `cmd:"" help:"Forget a snapshot."`
}

type snapshotList struct{ target }

// Run prints the snapshots.
func (c *snapshotList) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: "snapshots"}, func(w io.Writer, all []backend.Snapshot) error {
		var rows [][]string
		for _, s := range all {
			rows = append(rows, []string{s.Name, second(s.SavedAt), fmt.Sprintf("%d bytes", s.Bytes)})
		}
		return table(w, "there are no snapshots", rows)
	})
}

// named is a snapshot.
type named struct {
	Name string `arg:"" help:"Name of the snapshot: letters, digits, dots, hyphens, underscores."`
}

func (n *named) path(rest string) string { return "snapshots/" + url.PathEscape(n.Name) + rest }

type snapshotSave struct {
	target
	oneAccount
	named
}

// Run keeps the state.
func (c *snapshotSave) Run(ctx context.Context, t terminal) error {
	q := request{method: http.MethodPut, path: c.path(""), query: c.query(), long: true}
	return show(ctx, &c.target, t, q, func(w io.Writer, s backend.Snapshot) error {
		_, err := fmt.Fprintf(w, "saved %s, %d bytes\n", s.Name, s.Bytes)
		return err
	})
}

type snapshotLoad struct {
	target
	oneAccount
	named
}

// Run returns to a snapshot.
func (c *snapshotLoad) Run(ctx context.Context, t terminal) error {
	q := request{method: http.MethodPost, path: c.path("/load"), query: c.query(), long: true}
	return show(ctx, &c.target, t, q, printCounts)
}

type snapshotShow struct {
	target
	named
}

// Run prints a snapshot.
func (c *snapshotShow) Run(ctx context.Context, t terminal) error {
	text, err := c.stream(ctx, http.MethodGet, c.path(""), nil, nil)
	if err != nil {
		return err
	}
	defer text.Close()
	if c.Output == "json" {
		text = seed.AsJSON(text)
	}
	_, err = io.Copy(t.out, text)
	return err
}

type snapshotDiff struct {
	target
	named
	With string `arg:"" optional:"" placeholder:"OTHER" help:"Another snapshot, instead of the present state."`
}

// Run compares a snapshot.
func (c *snapshotDiff) Run(ctx context.Context, t terminal) error {
	query := url.Values{}
	if c.With != "" {
		query.Set("with", c.With)
	}
	return show(ctx, &c.target, t, request{method: http.MethodGet, path: c.path("/diff"), query: query, long: true}, printChanges)
}

type snapshotDelete struct {
	target
	named
}

// Run forgets a snapshot.
func (c *snapshotDelete) Run(ctx context.Context, t terminal) error {
	return show(ctx, &c.target, t, request{method: http.MethodDelete, path: c.path("")}, func(w io.Writer, d control.Deleted) error {
		_, err := fmt.Fprintf(w, "deleted %s\n", d.Name)
		return err
	})
}

// printChanges prints what one state has otherwise than another, one line each.
func printChanges(w io.Writer, c seed.Changes) error {
	line := func(colour int, mark string, x seed.Thing, fields []string) {
		text := mark + " " + x.Kind
		if x.Name != "" {
			text += " " + x.Name
		}
		if x.Uin != 0 {
			text += fmt.Sprintf(" (%s)", strings.Trim(fmt.Sprintf("%d, %s", x.Uin, x.Region), ", "))
		}
		if len(fields) > 0 {
			text += ": " + strings.Join(fields, ", ")
		}
		fmt.Fprintln(w, painted(w, colour, text))
	}
	for _, x := range c.Added {
		line(green, "+", x, nil)
	}
	for _, x := range c.Removed {
		line(red, "-", x, nil)
	}
	for _, x := range c.Changed {
		line(yellow, "~", x.Thing, x.Fields)
	}
	_, err := fmt.Fprintf(w, "%d added, %d removed, %d changed, %d unchanged\n", len(c.Added), len(c.Removed), len(c.Changed), c.Unchanged)
	return err
}
