package account

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
)

// A Policy is what a CAM policy of version 2.0 says, as far as the emulator enforces it: effect, actions and resources
// (cloud.tencent.com/document/product/598/10603). Conditions and principals are refused, not ignored.
type Policy struct {
	Version   string      `yaml:"version" json:"version" cbor:"1,keyasint"`
	Statement []Statement `yaml:"statement" json:"statement" cbor:"2,keyasint"`
}

// A Statement allows or denies actions, such as ssm:GetSecretValue, on resources, such as
// qcs::ssm:ap-guangzhou:uin/100000000001:secret/creatorUin/100000000001/db; * stands for any characters.
type Statement struct {
	Effect   string `yaml:"effect" json:"effect" cbor:"1,keyasint"` // allow or deny
	Action   Words  `yaml:"action" json:"action" cbor:"2,keyasint"`
	Resource Words  `yaml:"resource" json:"resource" cbor:"3,keyasint"`
}

// Words are one or several texts. A policy may write one of them without a list.
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

// Check refuses what is no policy, none that can be enforced, or one for actions that are not among the operations, such as
// ssm:GetSecretValue, of a service that has some there. The error begins with the field.
func (p *Policy) Check(operations []string) error {
	if p.Version != "2.0" {
		return fmt.Errorf("version: it is %q, it must be \"2.0\"", p.Version)
	}
	if len(p.Statement) == 0 {
		return fmt.Errorf("statement: there is none; without policies everything is allowed")
	}
	for i, s := range p.Statement {
		switch {
		case s.Effect != "allow" && s.Effect != "deny":
			return fmt.Errorf("statement[%d].effect: it is %q, it must be allow or deny", i, s.Effect)
		case len(s.Action) == 0:
			return fmt.Errorf("statement[%d].action: there is none; write ssm:* for all", i)
		case len(s.Action) > maxWords || len(s.Resource) > maxWords:
			return fmt.Errorf("statement[%d]: it has more than %d actions or resources", i, maxWords)
		case len(s.Resource) == 0:
			return fmt.Errorf("statement[%d].resource: there is none; write * for all", i)
		}
		for j, a := range s.Action {
			if !means(a, operations) {
				return fmt.Errorf("statement[%d].action[%d]: there is no action %q; there are %s", i, j, a, strings.Join(operations, ", "))
			}
		}
		for j, r := range s.Resource {
			if parts := strings.SplitN(r, ":", 6); r != "*" && (len(parts) != 6 || parts[0] != "qcs") {
				return fmt.Errorf("statement[%d].resource[%d]: %q is not * and not of the form qcs::ssm:<region>:uin/<uin>:secret/creatorUin/<uin>/<name>", i, j, r)
			}
		}
	}
	return nil
}

// means tells whether a pattern stands for some operation, or for those of a service of which none are known.
func means(pattern string, operations []string) bool {
	pattern = strings.TrimPrefix(pattern, "name/")
	service, _, _ := strings.Cut(pattern, ":")
	known := false
	for _, o := range operations {
		if glob(pattern, o) {
			return true
		}
		known = known || strings.HasPrefix(o, service+":")
	}
	return !known
}

// May tells whether a caller may do an operation, such as ssm:GetSecretValue, with a resource; "*" is the resource of
// operations that CAM knows only as such. Who has no policies may do everything; else a statement must allow it and none
// deny it.
func (c *Caller) May(operation, resource string) bool {
	return allow(c.Policies, operation, resource, c.Uin) && allow(c.Also, operation, resource, c.Uin)
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
		return glob(strings.TrimPrefix(pattern, "name/"), operation) // an old way to write it
	}
	return slices.ContainsFunc(s.Action, action) &&
		slices.ContainsFunc(s.Resource, func(pattern string) bool { return coversResource(pattern, resource, uin) })
}

// coversResource compares part by part: a pattern's empty region is any region, its empty account the policy's own.
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
		case p[i] == "" && (i == 1 || i == 3):
			p[i] = "*"
		}
		if !glob(p[i], r[i]) {
			return false
		}
	}
	return true
}

// glob tells whether a text fits a pattern, in which * stands for any characters.
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
