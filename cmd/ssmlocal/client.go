package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"ssmlocal/server"
)

// target is a running emulator that a command talks to.
type target struct {
	URL    string `placeholder:"URL" help:"Where the emulator is. Default: the address in SSMLOCAL_LISTEN, else http://127.0.0.1:9023."`
	Output string `default:"text" enum:"text,json" placeholder:"text|json" help:"Print text, or the control plane's answer as it is."`
}

// format is how a command prints that needs no emulator.
type format struct {
	Output string `default:"text" enum:"text,json" placeholder:"text|json" help:"Print text or JSON."`
}

// find works out the default: one variable can give the address to a server and
// to the commands beside it.
func (t *target) find() {
	if t.URL != "" {
		return
	}
	first, _, _ := strings.Cut(os.Getenv("SSMLOCAL_LISTEN"), ",")
	host, port, err := net.SplitHostPort(cmp.Or(first, server.DefaultListen))
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	t.URL = "http://" + net.JoinHostPort(host, port)
}

func (t *target) parse() (*url.URL, error) {
	t.find()
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" || strings.Trim(u.Path, "/") != "" {
		return nil, usageError{fmt.Errorf("--url is %q; it must be such as http://127.0.0.1:9023", t.URL)}
	}
	return u, nil
}

// call calls the control plane of a running emulator with a body in JSON, nil
// for none, and returns the answer's body. An answer that is an error becomes
// one.
func (t *target) call(ctx context.Context, method, path string, body any) ([]byte, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	return t.send(ctx, method, path, nil, text)
}

// into calls the control plane and reads its answer.
func (t *target) into(ctx context.Context, method, path string, query url.Values, body []byte, reply any) error {
	answer, err := t.send(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	return json.Unmarshal(answer, reply)
}

// send calls the control plane with a body as it is, and reads its answer.
func (t *target) send(ctx context.Context, method, path string, query url.Values, body []byte) ([]byte, error) {
	answer, err := t.stream(ctx, method, path, query, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	return io.ReadAll(answer)
}

// stream calls the control plane with a body of any length. The caller closes
// the answer.
func (t *target) stream(ctx context.Context, method, path string, query url.Values, body io.Reader) (io.ReadCloser, error) {
	u, err := t.parse()
	if err != nil {
		return nil, err
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." { // the path would be another one
			return nil, usageError{fmt.Errorf("%q is no name; names have letters or digits in them", segment)}
		}
	}
	to := u.JoinPath("/_ssmlocal", path)
	to.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, method, to.String(), body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "ssmlocal/"+thisBuild().Version) // what the journal shows as the client
	// The environment's proxy is for other hosts, not for the emulator.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("no emulator answers at %s: %w; start one with ssmlocal serve or set --url", u, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	reply, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	var refused struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(reply, &refused) == nil && refused.Error != "" {
		return nil, errors.New(refused.Error)
	}
	return nil, fmt.Errorf("%s answers %s, so it is not ssmlocal, or has no control plane here", u, answer.Status)
}

type healthCommand struct{ target }

// Run succeeds if the emulator answers. It may not be ready yet: see wait.
func (c *healthCommand) Run(ctx context.Context, t terminal) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	answer, err := c.call(ctx, http.MethodGet, "health", nil)
	if err != nil {
		return err
	}
	return c.say(t, "alive", answer)
}

// say prints a word, or with --output json the emulator's answer.
func (t *target) say(to terminal, word string, answer []byte) error {
	if t.Output == "json" {
		return printJSON(to.out, answer)
	}
	_, err := fmt.Fprintln(to.out, word)
	return err
}

type waitCommand struct {
	target
	Timeout time.Duration `default:"30s" placeholder:"DURATION" help:"How long to wait at most (${default})."`
}

// between is the time between two checks of an emulator that is not ready.
const between = 20 * time.Millisecond

// Run succeeds as soon as the emulator is ready.
func (c *waitCommand) Run(ctx context.Context, t terminal) error {
	if c.Timeout <= 0 {
		return usageError{fmt.Errorf("--timeout is %s; it must be more than 0", c.Timeout)}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	ticker := time.NewTicker(between)
	defer ticker.Stop()
	var last error // except the timeout itself
	for {
		answer, err := c.call(ctx, http.MethodGet, "ready", nil)
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if err == nil {
			return c.say(t, "ready", answer)
		}
		if usage := (usageError{}); errors.As(err, &usage) {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return fmt.Errorf("not ready after %s: %w", c.Timeout, last)
		case <-ticker.C:
		}
	}
}
