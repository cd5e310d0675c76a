package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"strings"

	"ssmlocal/server/action"
	"ssmlocal/server/caller"
	"ssmlocal/server/control"
	"ssmlocal/server/near"
)

// callCommand makes a call that the emulator signs itself.
type callCommand struct {
	target
	Action     string   `arg:"" predictor:"action" help:"Action, such as GetSecretValue."`
	Parameters []string `arg:"" optional:"" help:"A JSON object, @FILE with one, - for standard input, or NAME=VALUE for each parameter; a list or an object is JSON."`
	As         string   `placeholder:"ID" help:"SecretId that calls; the first known one if absent."`
	Region     string   `predictor:"region" placeholder:"REGION" help:"Region; ap-guangzhou if absent."`
	Service    string   `placeholder:"NAME" help:"ssm, tag or sts; that of the action if absent."`
	Language   string   `placeholder:"zh-CN|en-US" help:"Language of messages."`
	Signature  string   `placeholder:"METHOD" help:"TC3-HMAC-SHA256 if absent, HmacSHA1 or HmacSHA256."`
	Wire       bool     `help:"Print everything that went over the wire: request, canonical request, string to sign, response."`
	Print      string   `predictor:"client" placeholder:"CLIENT" help:"Make no call, but print it as a program: curl, tccli, go, python, node, java or php; or as settings for terraform."`
}

// Run makes the call, and prints its reply. An error of the API is this
// command's.
func (c *callCommand) Run(ctx context.Context, t terminal) error {
	parameters, err := readParameters(c.Action, c.Parameters)
	if err != nil {
		return usageError{err}
	}
	q := control.CallRequest{
		Service: c.Service, Action: c.Action, Region: c.Region, As: c.As, Language: c.Language, Signature: c.Signature,
		Parameters: parameters,
	}
	if c.Print != "" {
		var code control.Code
		if err := c.post(ctx, "call/code", control.CodeRequest{CallRequest: q, Client: c.Print}, &code); err != nil {
			return err
		}
		_, err := io.WriteString(t.out, code.Code)
		return err
	}
	var reply control.CallReply
	if err := c.post(ctx, "call", q, &reply); err != nil {
		return err
	}
	switch {
	case c.Output == "json":
		text, err := json.Marshal(reply)
		if err == nil {
			err = printJSON(t.out, text)
		}
		if err != nil {
			return err
		}
	case c.Wire:
		printWire(t.out, &reply.Wire)
	}
	switch {
	case reply.NoAnswer != "":
		return fmt.Errorf("%s", reply.NoAnswer)
	case reply.Code != "":
		return fmt.Errorf("%s: %s (RequestId %s)%s", reply.Code, reply.Message, reply.RequestID, c.suggestion())
	case !c.Wire && c.Output == "text":
		return printJSON(t.out, reply.Reply)
	}
	return nil
}

// suggestion is the action that may have been meant by one that does not exist.
func (c *callCommand) suggestion() string {
	if action.Named(c.Action) != nil {
		return ""
	}
	return near.Hint(c.Action, action.Names())
}

// post sends what is not empty of a request, and reads the answer.
func (t *target) post(ctx context.Context, path string, q, reply any) error {
	text, err := json.Marshal(q)
	if err != nil {
		return err
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(text, &given); err != nil {
		return err
	}
	for name, value := range given {
		if string(value) == `""` {
			delete(given, name)
		}
	}
	if text, err = json.Marshal(given); err != nil {
		return err
	}
	return t.into(ctx, http.MethodPost, path, nil, text, reply)
}

// printAsJSON prints a value as JSON.
func printAsJSON(w io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return printJSON(w, text)
}

func printJSON(w io.Writer, text []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// printWire prints both directions of a call, and what its signature was made
// of.
func printWire(w io.Writer, r *caller.Wire) {
	fmt.Fprintln(w, r.Request.Line)
	for _, h := range r.Request.Headers {
		fmt.Fprintf(w, "%s: %s\n", h.Name, h.Value)
	}
	fmt.Fprintf(w, "\n%s\n", r.Request.Body)
	if r.CanonicalRequest != "" {
		fmt.Fprintf(w, "\n-- the canonical request\n%s\n", r.CanonicalRequest)
	}
	fmt.Fprintf(w, "\n-- the string to sign\n%s\n\n-- the response, after %s\n%s\n", r.StringToSign, r.Took, r.Response.Line)
	for _, h := range r.Response.Headers {
		fmt.Fprintf(w, "%s: %s\n", h.Name, h.Value)
	}
	fmt.Fprintf(w, "\n%s\n", r.Response.Body)
}

// readParameters returns the parameters of a call as a JSON object.
func readParameters(name string, args []string) (json.RawMessage, error) {
	if len(args) == 1 && (strings.HasPrefix(args[0], "{") || strings.HasPrefix(args[0], "@") || args[0] == "-") {
		text := []byte(args[0])
		var err error
		switch {
		case args[0] == "-":
			text, err = io.ReadAll(os.Stdin)
		case args[0][0] == '@':
			text, err = os.ReadFile(args[0][1:])
		}
		if err != nil {
			return nil, err
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(text, &object); err != nil {
			return nil, fmt.Errorf("the parameters are not a JSON object: %w", err)
		}
		return text, nil
	}
	object := map[string]json.RawMessage{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("the parameter %q must be NAME=VALUE, or the only one, and a JSON object, @FILE or -", arg)
		}
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("the parameter %s is given twice", key)
		}
		object[key] = parameterValue(name, key, value)
	}
	return json.Marshal(object)
}

// parameterValue writes a value in JSON as the action's parameter has it: a
// number, true or false, a list or an object where it is one, else a text. What
// the action does not have is sent as a text, and refused by the API.
func parameterValue(name, key, value string) json.RawMessage {
	text, _ := json.Marshal(value)
	a := action.Named(name)
	if a == nil {
		return text
	}
	f, ok := a.Request.FieldByName(key)
	if !ok {
		return text
	}
	kind := f.Type
	if kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	switch kind.Kind() {
	case reflect.String:
		return text
	case reflect.Bool:
		if b, err := strconv.ParseBool(value); err == nil {
			return json.RawMessage(strconv.FormatBool(b))
		}
	}
	if json.Valid([]byte(value)) {
		return json.RawMessage(value)
	}
	if kind.Kind() == reflect.Slice && kind.Elem().Kind() == reflect.String { // Domains=% and the like
		list, _ := json.Marshal([]string{value})
		return list
	}
	return text
}
