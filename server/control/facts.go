package control

import (
	"reflect"
	"slices"
	"strings"

	"ssmlocal/server/action"
	"ssmlocal/server/ssm"
)

// What can be called, for a form.

// Facts is what a form needs.
type Facts struct {
	Actions   []ActionFacts                       `json:"actions"`
	Lifecycle map[string]map[string][]action.Cell `json:"lifecycle"` // by type and status
	Regions   []string                            `json:"regions"`
	// Callers are the first maxCallers key pairs; any other can call as well.
	Callers []Caller `json:"callers"`
}

// maxCallers is how many key pairs a list to choose from has.
const maxCallers = 500

// ActionFacts is an action with its parameters.
type ActionFacts struct {
	Service    string      `json:"service"`
	Version    string      `json:"version"`
	Action     string      `json:"action"`
	Rate       int         `json:"rate"` // documented, calls per second
	Codes      []string    `json:"codes,omitempty"`
	Parameters []Parameter `json:"parameters"`
}

// A Parameter is one parameter of an action, or a field of an object.
type Parameter struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // string, integer, boolean or object
	List     bool   `json:"list,omitzero"`
	Required bool   `json:"required,omitzero"`
	// Value is set for what is a secret's value.
	Value  bool        `json:"value,omitzero"`
	Fields []Parameter `json:"fields,omitempty"` // of an object
}

// A Caller is a key pair that may call, without its key.
type Caller struct {
	SecretID string `json:"secretId"`
	Uin      uint64 `json:"uin"`
	User     uint64 `json:"user,omitzero"`
}

func (c *Control) listFacts() (Facts, error) {
	facts := Facts{Lifecycle: action.Lifecycle(), Regions: ssm.Regions(), Callers: []Caller{}}
	known, err := c.backend.Documented()
	if err != nil {
		return facts, err
	}
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			facts.Actions = append(facts.Actions, ActionFacts{
				set.Service, set.Version, a.Name, a.Rate, known.Actions[a.Name].Errors, parametersOf(a.Request),
			})
		}
	}
	c.backend.Enter() // the directory changes with the state
	defer c.backend.Leave()
	first := c.backend.Directory.First()
	for _, k := range c.backend.Directory.All() {
		facts.Callers = append(facts.Callers, Caller{k.SecretID, k.Uin, k.User})
	}
	slices.SortStableFunc(facts.Callers, func(a, b Caller) int {
		switch first.SecretID {
		case a.SecretID:
			return -1
		case b.SecretID:
			return 1
		}
		return strings.Compare(a.SecretID, b.SecretID)
	})
	facts.Callers = facts.Callers[:min(len(facts.Callers), maxCallers)]
	return facts, nil
}

// parametersOf reads the parameters off the struct that an action decodes.
func parametersOf(t reflect.Type) []Parameter {
	all := []Parameter{}
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || !f.IsExported() {
			continue
		}
		p := Parameter{Name: f.Name, Required: f.Tag.Get("tc3") == "required", Value: action.IsValue(f.Name)}
		of := f.Type
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			p.List = p.List || of.Kind() == reflect.Slice
			of = of.Elem()
		}
		switch of.Kind() {
		case reflect.Bool:
			p.Type = "boolean"
		case reflect.String:
			p.Type = "string"
		case reflect.Struct:
			p.Type, p.Fields = "object", parametersOf(of)
		default:
			p.Type = "integer"
		}
		all = append(all, p)
	}
	return all
}
