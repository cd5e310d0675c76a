package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"

	"ssmlocal/server/account"
	"ssmlocal/server/binding"
	"ssmlocal/server/control"
	"ssmlocal/server/ssm"
)

// instanceCommands are about instances that are bound to real databases.
type instanceCommands struct {
	List   instanceList   `cmd:"" default:"withargs" help:"Print the bound instances with their accounts, and what is out of step (the default)."`
	Bind   instanceBind   `cmd:"" help:"Bind an instance to a database."`
	Unbind instanceUnbind `cmd:"" help:"End a binding. Nothing in the database changes."`
	Repair instanceRepair `cmd:"" help:"Put the accounts of an instance's secrets back into its database."`
}

// ofAccount is the account that a command is about.
type ofAccount struct {
	Uin uint64 `placeholder:"N" help:"The account; the default one if absent."`
}

func (a *ofAccount) query() url.Values {
	if a.Uin == 0 {
		return nil
	}
	return url.Values{"uin": {strconv.FormatUint(a.Uin, 10)}}
}

type instanceList struct {
	target
	ofAccount
}

// Run prints the instances.
func (c *instanceList) Run(ctx context.Context, t terminal) error {
	q := request{method: http.MethodGet, path: "instances", query: c.query()}
	return show(ctx, &c.target, t, q, func(w io.Writer, all []binding.Status) error {
		if len(all) == 0 {
			_, err := fmt.Fprintln(w, "no instance is bound: ssmlocal serve --instance ID=URL, or ssmlocal instance bind ID URL")
			return err
		}
		for i := range all {
			printInstance(w, &all[i])
		}
		return nil
	})
}

func printInstance(to io.Writer, s *binding.Status) {
	state := s.Engine + " " + s.Version
	if !s.Reachable {
		state = "can't be reached: " + s.Reason
	}
	fmt.Fprintf(to, "%s of %d at %s, %s\n", s.InstanceID, s.Uin, s.URL, state)
	if s.LastRotation != nil {
		fmt.Fprintf(to, "  last rotation %s\n", s.LastRotation.Format("2006-01-02T15:04:05Z"))
	}
	if f := s.LastFailure; f != nil {
		fmt.Fprintf(to, "  last failure %s: %s of %s: %s\n", f.At.Format("2006-01-02T15:04:05Z"), f.What, f.SecretName, f.Reason)
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, a := range s.Accounts {
		current := ""
		if a.Current {
			current = "current"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", a.AccountName, a.SecretName, a.Region, current, a.State)
	}
	_ = w.Flush()
}

type instanceBind struct {
	target
	ofAccount
	ID          string `arg:"" help:"The instance's id, such as cdb-n4j3y33j."`
	DatabaseURL string `arg:"" name:"database-url" help:"mysql://, postgres:// or redis://, with a user who may make accounts."`
}

// Run binds the instance, and prints how its database is.
func (c *instanceBind) Run(ctx context.Context, t terminal) error {
	body := map[string]any{"uin": c.Uin, "instanceId": c.ID, "url": c.DatabaseURL}
	q := request{method: http.MethodPut, path: "instances", body: body}
	return show(ctx, &c.target, t, q, func(w io.Writer, s binding.Status) error {
		printInstance(w, &s)
		return nil
	})
}

type instanceUnbind struct {
	target
	ofAccount
	ID string `arg:"" help:"The instance's id."`
}

// Run ends the binding.
func (c *instanceUnbind) Run(ctx context.Context, t terminal) error {
	q := request{method: http.MethodDelete, path: "instances/" + url.PathEscape(c.ID), query: c.query()}
	return show(ctx, &c.target, t, q, func(w io.Writer, u control.Unbound) error {
		_, err := fmt.Fprintf(w, "%s is not bound any more\n", u.InstanceID)
		return err
	})
}

type instanceRepair struct {
	target
	ofAccount
	ID           string `arg:"" help:"The instance's id."`
	DropLeftover bool   `help:"Drop the accounts, too, that were made for secrets which are no more."`
}

// Run repairs the accounts, and prints what was done. It fails if anything
// could not be put right.
func (c *instanceRepair) Run(ctx context.Context, t terminal) error {
	query := c.query()
	if c.DropLeftover {
		if query == nil {
			query = url.Values{}
		}
		query.Set("drop", "leftover")
	}
	var r binding.Repaired
	q := request{method: http.MethodPost, path: "instances/" + url.PathEscape(c.ID) + "/repair", query: query, long: true}
	err := show(ctx, &c.target, t, q, func(w io.Writer, done binding.Repaired) error {
		r = done
		printRepaired(w, &r)
		return nil
	})
	if err != nil {
		return err
	}
	for _, f := range r.Failed {
		fmt.Fprintf(t.err, "ssmlocal: %s: %s\n", f.AccountName, f.Reason)
	}
	if len(r.Failed) > 0 {
		return fmt.Errorf("%d accounts could not be put right", len(r.Failed))
	}
	return nil
}

func printRepaired(w io.Writer, r *binding.Repaired) {
	for _, x := range []struct {
		what     string
		accounts []string
	}{{"made", r.Made}, {"password set", r.Changed}, {"dropped", r.Dropped}} {
		for _, name := range x.accounts {
			fmt.Fprintf(w, "%s: %s\n", x.what, name)
		}
	}
	if len(r.Made)+len(r.Changed)+len(r.Dropped)+len(r.Failed) == 0 {
		fmt.Fprintln(w, "nothing to repair")
	}
}

// anotherInstance is where a variable's next binding begins: on another line,
// or behind a comma before ID=mysql:// and the like.
var anotherInstance = regexp.MustCompile(`[\r\n]+|,([^,=]+=[a-z]+://)`)

var bindingForm = regexp.MustCompile(`^(?:([0-9]+)/)?([^=]+)=(.+)$`)

// parseInstances reads --instance: ID=URL of an account, or UIN/ID=URL.
func parseInstances(texts []string, uin uint64) (map[uint64][]ssm.Binding, error) {
	all := map[uint64][]ssm.Binding{}
	for _, text := range texts {
		for one := range strings.SplitSeq(anotherInstance.ReplaceAllString(text, "\n$1"), "\n") {
			if one == "" {
				continue
			}
			part := bindingForm.FindStringSubmatch(one)
			if part == nil {
				return nil, usageError{fmt.Errorf("--instance must be ID=URL, such as cdb-1=mysql://root:password@127.0.0.1:3306/")}
			}
			of := uin
			if part[1] != "" {
				n, err := strconv.ParseUint(part[1], 10, 53)
				if err != nil || n == 0 {
					return nil, usageError{fmt.Errorf("--instance: there can be no account %s", part[1])}
				}
				of = n
			}
			for _, b := range all[of] {
				if b.InstanceID == part[2] {
					return nil, usageError{fmt.Errorf("--instance %s is given twice", part[2])}
				}
			}
			all[of] = append(all[of], ssm.Binding{InstanceID: part[2], URL: part[3]})
		}
	}
	return all, nil
}

// firstUin is the account of the first credential.
func firstUin(all []account.Credential) uint64 {
	if len(all) == 0 {
		return account.DefaultUin
	}
	return all[0].Uin
}
