package redact

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"ssmlocal/fixtures"
	"ssmlocal/server/action"
	"ssmlocal/server/apierr"
	"ssmlocal/server/capsule"
	"ssmlocal/server/near"
	"ssmlocal/server/ssm"
	"ssmlocal/server/tc3"
)

// What the fields of states, requests and answers hold, for redaction.

// A kind is what a field holds.
type kind int

const (
	// kindPlain is a number, a time or a word of the API, and is kept.
	kindPlain kind = iota
	// kindWord should be plain. If it is not, the values in it are replaced.
	kindWord
	// kindName is an identifier that somebody has chosen. The values in it are
	// replaced.
	kindName
	// kindConfig is JSON, perhaps URL-encoded, with names in it, such as a policy.
	kindConfig
	// kindProse is a text that may quote anything in any way. All of it is replaced.
	kindProse
	// kindValue is a secret. It is replaced, here and wherever else it is found.
	kindValue
	// kindMessage may quote any part of a request, and is left out of answers.
	kindMessage
	// kindTags is an object with a tag's key for each name; both are prose.
	kindTags
	// kindNames is an object with an identifier for each name.
	kindNames
	// kindUnknown is a field that nothing here has, perhaps a value's with a typing
	// mistake: it is prose, and so is its name.
	kindUnknown
	// kindCall is an object with the parameters of a call of the API.
	kindCall
)

// valueNames are the fields with values, in seeds, requests and answers, in
// whatever case they are written.
var valueNames = []string{
	"secretString", "secretBinary", "secretKey", "privateKey", "token", "url", "tmpSecretKey",
	"webIdentityToken", "samlAssertion", "tokenCode", "externalId", "password",
}

// IsValue reports whether a field has a value that is secret.
func IsValue(field string) bool {
	return slices.ContainsFunc(valueNames, func(v string) bool { return strings.EqualFold(v, field) })
}

// kinds of the fields that are not plain, as the API writes them.
var kinds = byName(map[kind]string{
	kindProse:   "Description TagKey TagValue SSHKeyDescription Key Value TagKeys",
	kindValue:   "Signature",
	kindMessage: "Message",
	kindName: `SecretName SearchSecretName VersionId KmsKeyId InstanceID UserNamePrefix Domains PrivilegeName
		Privileges Database TableName ColumnName SchemaName SequenceName ProcedureName TypeName FunctionName
		ViewName MatviewName AccountName Host VersionIDs ResourceID ResourceName AssociatedInstanceIDs
		SSHKeyName SSHKeyID SecretId RequestClient TmpSecretId RoleArn RoleSessionName SourceIdentity
		ProviderId Name Resource ResourceIds ResourceId ResourceList Arn UserId PrincipalId ClientToken
		OrderId PaginationToken`,
	kindConfig: "AdditionalConfig Policy",
	kindWord:   "Code Version ProductName Products",
})

// seedKinds are those of seeds and of the control plane.
var seedKinds = byName(map[kind]string{
	kindProse: "description message",
	kindTags:  "tags",
	kindNames: "kmsKeys users",
	kindName: `secretName versionId kmsKeyId instanceId userNamePrefix domains accountName resourceId sshKeyId
		sshKeyName secretId roleName resource isolated privilegeName privileges database tableName columnName
		schemaName sequenceName procedureName typeName functionName viewName matviewName name id as
		clientToken orderId`,
	kindConfig: "additionalConfig",
	kindWord:   "code productName",
	kindCall:   "parameters",
})

// byName reads lists of fields.
func byName(lists map[kind]string) map[string]kind {
	all := map[string]kind{}
	for k, fields := range lists {
		for _, field := range strings.Fields(fields) {
			all[field] = k
		}
	}
	return all
}

// A source is where a field stands.
type source int

const (
	aRequest source = iota // of the API
	anAnswer
	aChange // a request to the control plane
	aState
)

// kindOf returns what a field holds. known are the fields that a request can
// have.
func (s source) kindOf(field string, known map[string]bool) kind {
	if IsValue(field) {
		return kindValue
	}
	of := kinds
	if s == aChange || s == aState {
		of = seedKinds
	}
	k, is := of[field]
	switch {
	case s == aRequest && !known[field], s == aChange && !is && !known[field]:
		if near.Word(field, valueNames) != "" { // mistyped
			return kindValue
		}
		return kindUnknown
	case is:
		return k
	case s == anAnswer, s == aState:
		return kindPlain
	}
	return kindWord
}

// parameters are the names of what a request of the API can have, of whatever
// action.
var parameters = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for _, set := range action.Sets() {
		for _, a := range set.Actions {
			maps.Copy(all, parametersOf(a))
		}
	}
	return all
})

func parametersOf(a *action.Action) map[string]bool {
	all := map[string]bool{}
	fieldsOf(a.Request, func(f reflect.StructField) string { return f.Name }, all)
	return all
}

// parametersIn are the names of what a request can have: those of its action,
// and without headers for them the common ones.
func parametersIn(q *capsule.Request, headers bool) map[string]bool {
	name := q.Headers.Get("X-Tc-Action")
	if !headers {
		pairs, _ := url.ParseQuery(string(q.Body)) // as far as they can be read
		_, query, _ := strings.Cut(string(q.URL), "?")
		inURL, _ := url.ParseQuery(query)
		name = cmp.Or(inURL.Get("Action"), pairs.Get("Action"))
	}
	all := parameters()
	if a := action.Named(name); a != nil {
		all = parametersOf(a)
	}
	if !headers {
		all = maps.Clone(all)
		for _, name := range tc3.Common() {
			all[name] = true
		}
	}
	return all
}

// changesOf are the names of what requests to the control plane can have, of
// these types.
func changesOf(types []reflect.Type) map[string]bool {
	all := map[string]bool{"uin": true, "strict": true} // in queries
	for _, of := range types {
		fieldsOf(of, func(f reflect.StructField) string {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			return name
		}, all)
	}
	return all
}

// fieldsOf adds the names of a struct's fields, and of the structs in it.
func fieldsOf(t reflect.Type, written func(reflect.StructField) string, all map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for _, f := range reflect.VisibleFields(t) {
		if !f.Anonymous && f.IsExported() {
			all[written(f)] = true
			fieldsOf(f.Type, written, all)
		}
	}
}

// plainForm is what a plain text looks like that is no word: a number, a truth, a
// time, a length of time or a range of it, a pace of tasks.
var plainForm = regexp.MustCompile(`^(-?\d+(\.\d+)?|true|false|null|` +
	`\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?|` +
	`(now[+-]?)?(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d|w|y)-?)*|\d+polls)$`)

// words are those of the API, and of seeds.
var words = sync.OnceValue(func() map[string]bool {
	all := map[string]bool{}
	for _, w := range slices.Concat(action.Names(), apierr.Codes(), ssm.Products(), ssm.Regions(), []string{
		ssm.CurrentVersion, string(apierr.English), string(apierr.Chinese), "TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256",
		"running", "frozen", "off", "documented", "start", "*", "%", "GlobalPrivileges", "SKIP",
		"UserName", "Password", "SecretId", "SecretKey", "qcs", "uin", "secret", "creatorUin", "roleName", "Prepaid", "Postpaid",
	}) {
		all[w] = true
	}
	for _, set := range action.Sets() {
		all[set.Service], all[set.Version] = true, true
	}
	for _, s := range ssm.Statuses() {
		all[s.String()] = true
	}
	for s := ssm.TaskRunning; s <= ssm.TaskFailed; s++ {
		all[s.String()] = true
	}
	for _, t := range ssm.Types() {
		all[t.ProductName()] = true
	}
	var schema any
	if json.Unmarshal(fixtures.SeedSchema(), &schema) == nil {
		addEnums(schema, all)
	}
	delete(all, "")
	return all
})

// addEnums adds the texts of which a schema takes one.
func addEnums(schema any, all map[string]bool) {
	switch s := schema.(type) {
	case map[string]any:
		enum, _ := s["enum"].([]any)
		for _, one := range enum {
			if w, text := one.(string); text {
				all[w] = true
			}
		}
		for _, child := range s {
			addEnums(child, all)
		}
	case []any:
		for _, child := range s {
			addEnums(child, all)
		}
	}
}

// identifier is what a name can be made of, also a pattern, a resource, a
// privilege or a list of names. Other texts may quote a value in any way.
var identifier = regexp.MustCompile(`^[A-Za-z0-9_.:/*?%@+=,\[\] \n-]*$`)

// isPlain reports whether a text says nothing of its own.
func isPlain(text string) bool { return words()[text] || plainForm.MatchString(text) }
