package control

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"ssmlocal/server/account"
	"ssmlocal/server/action"
	"ssmlocal/server/caller"
	"ssmlocal/server/ssm"
)

// Calls that the emulator signs itself.

// A CallRequest is a call to make. All but the action may be left out.
type CallRequest struct {
	Service    string          `json:"service"` // ssm, tag or sts; that of the action if absent
	Action     string          `json:"action"`
	Region     string          `json:"region"`     // ap-guangzhou if absent
	As         string          `json:"as"`         // a SecretId; the first known one if absent
	Language   string          `json:"language"`   // zh-CN or en-US
	Signature  string          `json:"signature"`  // TC3-HMAC-SHA256 if absent, HmacSHA1 or HmacSHA256
	Parameters json.RawMessage `json:"parameters"` // an object; {} if absent
}

// A CallReply is what came back, with everything that went over the wire.
type CallReply struct {
	// Reply is the object Response of the answer; absent if there is none, as a
	// fault took it away, for one.
	Reply     json.RawMessage `json:"reply,omitempty"`
	Code      string          `json:"code,omitempty"` // of an error
	Message   string          `json:"message,omitempty"`
	RequestID string          `json:"requestId,omitempty"`
	// NoAnswer is why there is no reply.
	NoAnswer string      `json:"noAnswer,omitempty"`
	Wire     caller.Wire `json:"wire"`
}

// makeCall makes a call as any client would.
func (c *Control) makeCall(r *http.Request, q *CallRequest) (CallReply, error) {
	call, err := c.prepareCall(r, q)
	if err != nil {
		return CallReply{}, err
	}
	wire, err := call.Send(r.Context(), c.gateway, c.backend.Clock.Wall)
	if err != nil {
		return CallReply{}, refuse(http.StatusBadRequest, "%v", err)
	}
	reply := CallReply{Wire: wire}
	answer, err := wire.Answer()
	if err != nil {
		reply.NoAnswer = err.Error()
		return reply, nil
	}
	reply.Reply, reply.Code, reply.Message, reply.RequestID = answer.Reply, answer.Code, answer.Message, answer.RequestID
	return reply, nil
}

// A CodeRequest asks for a call as a program for a client.
type CodeRequest struct {
	CallRequest
	Client string `json:"client"` // curl, tccli, go, python, node, java, php or terraform
}

// Code is a call as a program.
type Code struct {
	Code string `json:"code"`
}

// callCode writes a call as a program, and makes no call.
func (c *Control) callCode(r *http.Request, q *CodeRequest) (Code, error) {
	call, err := c.prepareCall(r, &q.CallRequest)
	if err != nil {
		return Code{}, err
	}
	call.Client = "" // the program has its own
	text, err := call.Code(q.Client, c.backend.Clock.Wall())
	if err != nil {
		return Code{}, refuse(http.StatusBadRequest, "client: %v", err)
	}
	return Code{text}, nil
}

// prepareCall fills in what a request leaves out.
func (c *Control) prepareCall(r *http.Request, q *CallRequest) (*caller.Call, error) {
	if q.Action == "" {
		return nil, refuse(http.StatusBadRequest, "action is missing; GET /_ssmlocal/actions lists them")
	}
	if q.Signature != "" && !slices.Contains(caller.Signatures(), q.Signature) {
		return nil, refuse(http.StatusBadRequest, "signature is %q; it must be one of %s", q.Signature, strings.Join(caller.Signatures(), ", "))
	}
	who, err := c.credential(q.As)
	if err != nil {
		return nil, err
	}
	if len(q.Parameters) == 0 {
		q.Parameters = json.RawMessage("{}")
	}
	service, version := serviceOf(q.Service, q.Action)
	return &caller.Call{
		Host: r.Host, Service: service, Version: version, Action: q.Action, Region: cmp.Or(q.Region, ssm.DefaultRegion),
		Language: q.Language, Signature: q.Signature, Client: clientOf(r), Parameters: q.Parameters,
		SecretID: who.SecretID, SecretKey: who.SecretKey, Token: who.Token,
	}, nil
}

// credential returns the key pair with a SecretId, or the first known one.
func (c *Control) credential(secretID string) (account.Credential, error) {
	c.backend.Enter() // the directory changes with the state
	defer c.backend.Leave()
	d := c.backend.Directory
	if secretID == "" {
		return d.First(), nil
	}
	found, err := d.Find(secretID)
	if err != nil || !found.Known && !d.Unsigned() {
		if d.Anybody() {
			return account.Credential{SecretID: secretID, SecretKey: "any"}, nil
		}
		return account.Credential{}, refuse(http.StatusBadRequest, "as is %q, which is not a known SecretId; known are %s, and those of temporary keys", secretID, d.KnownIDs())
	}
	return found.Credential, nil
}

// serviceOf returns the service and the version of an action. An action that
// does not exist is Secrets Manager's: its answer says so.
func serviceOf(service, name string) (string, string) {
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			if a.Name == name && (service == "" || service == set.Service) {
				return set.Service, set.Version
			}
		}
	}
	for _, set := range action.Sets() {
		if service == set.Service {
			return set.Service, set.Version
		}
	}
	return cmp.Or(service, action.Service), action.Version
}

// clientOf is what the journal shows as the client of a call that somebody has
// made here: the first word of its own User-Agent, "browser" for a browser's.
func clientOf(r *http.Request) string {
	name, _, _ := strings.Cut(r.UserAgent(), " ")
	switch {
	case r.Header.Get("Sec-Fetch-Mode") != "":
		return "console"
	case name == "":
		return "control plane"
	}
	return name
}
