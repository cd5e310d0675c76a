package account

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// A Policy is what a CAM policy of version 2.0 or 3.0 (598/61290) says, as far
// as the emulator enforces it: effect, actions and resources
// (cloud.tencent.com/document/product/598/10603). Conditions and principals are
// refused, not ignored.
type Policy struct {
	Version   string      `yaml:"version" json:"version" cbor:"1,keyasint"`
	Statement []Statement `yaml:"statement" json:"statement" cbor:"2,keyasint"`
}

// A Statement allows or denies actions, such as ssm:GetSecretValue, on
// resources, such as
// qcs::ssm:ap-guangzhou:uin/100000000001:secret/creatorUin/100000000001/db; *
// stands for any characters.
type Statement struct {
	Effect   string `yaml:"effect" json:"effect" cbor:"1,keyasint"` // allow or deny
	Action   Words  `yaml:"action" json:"action" cbor:"2,keyasint"`
	Resource Words  `yaml:"resource" json:"resource" cbor:"3,keyasint"`
}

// Words are one or several texts. A policy may write one of them without a
// list.
type Words []string

// UnmarshalJSON reads a text or a list of texts.
func (w *Words) UnmarshalJSON(text []byte) error {
	return w.UnmarshalYAML(func(to any) error { return json.Unmarshal(text, to) })
}

// UnmarshalYAML reads a text or a list of texts.
func (w *Words) UnmarshalYAML(unmarshal func(any) error) error {
	var one string
	if unmarshal(&one) == nil {
		*w = Words{one}
		return nil
	}
	var many []string
	if err := unmarshal(&many); err != nil {
		return err
	}
	*w = many
	return nil
}

// maxWords bounds the lists of a statement, far above what CAM takes.
const maxWords = 1000

// Check refuses a policy that is malformed, that can't be enforced, or that
// names an action or a resource which no call can have. operations are the
// actions that exist here, such as ssm:GetSecretValue; actions of services
// without any operations are not checked against them. regions are those with
// Secrets Manager. The error begins with the field.
func (p *Policy) Check(operations, regions []string) error {
	if p.Version != "2.0" && p.Version != "3.0" {
		return fmt.Errorf("version: it is %q; it must be \"2.0\" or \"3.0\"", p.Version)
	}
	if len(p.Statement) == 0 {
		return fmt.Errorf("statement: there is none; without policies everything is allowed")
	}
	for i, s := range p.Statement {
		switch {
		case s.Effect != "allow" && s.Effect != "deny":
			return fmt.Errorf("statement[%d].effect: it is %q; it must be allow or deny", i, s.Effect)
		case len(s.Action) == 0:
			return fmt.Errorf("statement[%d].action: there is none; write ssm:* for all", i)
		case len(s.Action) > maxWords || len(s.Resource) > maxWords:
			return fmt.Errorf("statement[%d]: it has more than %d actions or resources", i, maxWords)
		case len(s.Resource) == 0:
			return fmt.Errorf("statement[%d].resource: there is none; write * for all", i)
		}
		for j, a := range s.Action {
			if err := checkAction(a, operations); err != nil {
				return fmt.Errorf("statement[%d].action[%d]: %w", i, j, err)
			}
		}
		for j, r := range s.Resource {
			if err := checkResource(r, regions); err != nil {
				return fmt.Errorf("statement[%d].resource[%d]: %w", i, j, err)
			}
		}
	}
	return nil
}

// serviceName is how services are written in policies.
var serviceName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// checkAction refuses an action that no call can have. For a service with
// operations here; it must be one of them. For any other service, it only has
// to be written as an action. CAM itself takes such a statement, which then has
// no effect.
func checkAction(pattern string, operations []string) error {
	plain := strings.TrimPrefix(pattern, "name/") // an old way to write it
	service, operation, _ := strings.Cut(plain, ":")
	emulated := false
	for _, o := range operations {
		if glob(plain, o) {
			return nil
		}
		if strings.EqualFold(plain, o) {
			return fmt.Errorf("there is no action %q; upper and lower case matter: write %s", pattern, o)
		}
		emulated = emulated || strings.HasPrefix(o, strings.ToLower(service)+":")
	}
	switch {
	case emulated && service != strings.ToLower(service):
		return fmt.Errorf("there is no service %q; write %s", service, strings.ToLower(service))
	case emulated:
		return fmt.Errorf("there is no action %q; there are %s", pattern, strings.Join(operations, ", "))
	case !serviceName.MatchString(service) || operation == "":
		return fmt.Errorf("%q is not an action; write SERVICE:ACTION, such as ssm:GetSecretValue, with the service in lower case, or * for all", pattern)
	}
	return nil
}

const resourceForm = "qcs::ssm:<region>:uin/<uin>:secret/creatorUin/<uin>/<name>"

// checkResource refuses a resource that no call can be about. Two mistakes that
// occur in public policies get a hint of their own.
func checkResource(pattern string, regions []string) error {
	parts := strings.SplitN(pattern, ":", 6)
	if pattern == "*" {
		return nil
	}
	if len(parts) != 6 || parts[0] != "qcs" {
		return fmt.Errorf("%q is not * and not of the form %s", pattern, resourceForm)
	}
	service, region, owner, resource := parts[2], parts[3], parts[4], parts[5]
	switch {
	case service != "" && service != "*" && !serviceName.MatchString(service):
		return fmt.Errorf("%q: there is no service %q; services are written in lower case, such as ssm, and nothing means every service", pattern, service)
	case isDigits(owner):
		return fmt.Errorf("%q: the account must be written as uin/%s", pattern, owner)
	case owner != "" && !accountPattern.MatchString(owner):
		return fmt.Errorf("%q: the account is %q; it is written as uin/<uin>, and nothing means one's own", pattern, owner)
	case resource == "":
		return fmt.Errorf("%q: it names no resource; write secret/* for all secrets", pattern)
	case service != "ssm":
		return nil
	case !slices.ContainsFunc(regions, func(name string) bool { return region == "" || glob(region, name) }):
		return fmt.Errorf("%q: there is no region %q with Secrets Manager; there are %s, and nothing means every region", pattern, region, strings.Join(regions, ", "))
	}
	return checkSecretPattern(pattern, resource)
}

var (
	accountPattern = regexp.MustCompile(`^uin/[0-9*]+$`)
	// secretPattern is what may stand before the first * of a secret's
	// resource, or all of it.
	secretPattern = regexp.MustCompile(`^[0-9]*$|^[0-9]+/[A-Za-z0-9_-]*$`)
	wholeSecret   = regexp.MustCompile(`^[0-9]+/[A-Za-z0-9][A-Za-z0-9_-]*$`)
)

const secretStart = "secret/creatorUin/"

// checkSecretPattern refuses a pattern that no secret can match.
func checkSecretPattern(pattern, resource string) error {
	before, _, starred := strings.Cut(resource, "*")
	rest, long := strings.CutPrefix(before, secretStart)
	switch {
	case long && (starred && secretPattern.MatchString(rest) || !starred && wholeSecret.MatchString(rest)),
		!long && starred && strings.HasPrefix(secretStart, before):
		return nil
	case strings.HasPrefix(resource, "secret/") && !long:
		return fmt.Errorf("%q: a secret is written as secret/creatorUin/<uin>/<name>, with the account once more, and secret/* means all", pattern)
	}
	return fmt.Errorf("%q: there can be no secret %q; the form is %s, and names have letters, digits, - and _", pattern, resource, resourceForm)
}

// May reports whether a caller may do an operation, such as ssm:GetSecretValue,
// with a resource; "*" is the resource of operations that CAM knows only as
// such. A caller without policies may do everything; otherwise a statement must
// allow it and none may deny it.
func (c *Caller) May(operation, resource string) bool {
	return allow(c.Policies, operation, resource, c.Uin) && allow(c.Also, operation, resource, c.Uin)
}

// Denied reports whether a statement denies an operation with a resource
// explicitly.
func (c *Caller) Denied(operation, resource string) bool {
	for _, p := range slices.Concat(c.Policies, c.Also) {
		for _, s := range p.Statement {
			if s.Effect == "deny" && s.covers(operation, resource, c.Uin) {
				return true
			}
		}
	}
	return false
}

func allow(policies []Policy, operation, resource string, uin uint64) bool {
	if len(policies) == 0 {
		return true
	}
	allowed := false
	for _, p := range policies {
		for _, s := range p.Statement {
			if !s.covers(operation, resource, uin) {
				continue
			}
			if s.Effect == "deny" {
				return false
			}
			allowed = true
		}
	}
	return allowed
}

func (s *Statement) covers(operation, resource string, uin uint64) bool {
	action := func(pattern string) bool {
		pattern = strings.TrimPrefix(pattern, "name/") // an old way to write it
		// A caller that is denied everything with a secret may not tag it
		// either.
		all := s.Effect == "deny" && pattern == "ssm:*" && strings.HasPrefix(operation, "tag:") && strings.HasPrefix(resource, "qcs::ssm:")
		return all || glob(pattern, operation)
	}
	return slices.ContainsFunc(s.Action, action) &&
		slices.ContainsFunc(s.Resource, func(pattern string) bool { return coversResource(pattern, resource, uin) })
}

// coversResource compares part by part: a pattern's empty service is any
// service, its empty region any region, its empty account the policy's own.
func coversResource(pattern, resource string, uin uint64) bool {
	if pattern == "*" || resource == "*" {
		return pattern == "*"
	}
	p, r := strings.SplitN(pattern, ":", 6), strings.SplitN(resource, ":", 6)
	if len(p) != 6 || len(r) != 6 {
		return false
	}
	for i := range p {
		switch {
		case p[i] == "" && i == 4:
			p[i] = fmt.Sprintf("uin/%d", uin)
		case p[i] == "" && i < 4:
			p[i] = "*"
		}
		if !glob(p[i], r[i]) {
			return false
		}
	}
	return true
}

// glob reports whether a text fits a pattern, in which * stands for any
// characters.
func glob(pattern, text string) bool {
	first, rest, starred := strings.Cut(pattern, "*")
	if !starred {
		return pattern == text
	}
	if !strings.HasPrefix(text, first) {
		return false
	}
	text = text[len(first):]
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text = text[at+len(part):]
	}
	return strings.HasSuffix(text, last)
}
