package action

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"ssmlocal/server/apierr"
	"ssmlocal/store"
)

// The security token service, as far as the SDKs' credential providers call it:
// temporary keys that sign calls here until they expire, by the virtual clock.
//
// Numbers such as 1312/48197 are pages of the vendor's documentation of that
// service; 1312/48207 has the rates.

const stsService = "sts"

// An Identity says who calls. GetCallerIdentity returns it, and temporary keys
// are made for one.
type Identity struct {
	Uin  uint64 // the account
	User uint64 // the sub-account, 0 for the account itself
	Role string // the role whose temporary keys call, "" for none
	Name string // the role's session, or the federated user
	// Temporary keys have a token.
	Temporary bool
}

// A Grant is what temporary keys are made for.
type Grant struct {
	Identity
	Policy string        // CAM policy in JSON, "" for none but the caller's or the role's
	For    time.Duration // of virtual time
}

// Keys are temporary keys.
type Keys struct{ SecretID, SecretKey, Token string }

// An Issuer makes temporary keys. An unknown role and a bad policy are API
// errors.
type Issuer func(tx *store.Tx, g Grant, now time.Time) (Keys, error)

// CredentialsReply is the answer of the actions that make keys. Times are those
// at which the keys expire if the virtual clock is not moved: the SDKs compare
// them with wall time.
type CredentialsReply struct {
	Credentials CredentialKeys
	ExpiredTime int64  // unix seconds
	Expiration  string // YYYY-MM-DDThh:mm:ssZ
}

// CredentialKeys are the keys themselves.
type CredentialKeys struct{ Token, TmpSecretId, TmpSecretKey string }

func (c *Call) issue(g Grant) (*CredentialsReply, error) {
	keys, err := c.Issue(c.tx, g, c.Now)
	if err != nil {
		return nil, err
	}
	ends := c.Wall.Add(g.For).UTC()
	return &CredentialsReply{
		Credentials: CredentialKeys{Token: keys.Token, TmpSecretId: keys.SecretID, TmpSecretKey: keys.SecretKey},
		ExpiredTime: ends.Unix(), Expiration: ends.Format(time.RFC3339),
	}, nil
}

// lifeOf reads DurationSeconds.
func lifeOf(seconds *uint64, otherwise, most uint64) (time.Duration, error) {
	n := otherwise
	if seconds != nil {
		n = *seconds
	}
	if n == 0 || n > most {
		return 0, apierr.OverTime.With(n, most)
	}
	return time.Duration(n) * time.Second, nil
}

// AssumeRoleRequest has the parameters of AssumeRole. Parameters without an
// effect here accept any value.
type AssumeRoleRequest struct {
	RoleArn         string `tc3:"required"`
	RoleSessionName string `tc3:"required"`
	DurationSeconds *uint64
	Policy          string
	ExternalId      string
	Tags            []SessionTag
	SourceIdentity  string
	SerialNumber    string
	TokenCode       string
}

// A SessionTag is accepted without effect.
type SessionTag struct{ Key, Value string }

var (
	roleArn     = regexp.MustCompile(`^qcs::cam::uin/(\d+):(roleName|role)/(?:tencentcloudServiceRole(?:Name)?/)?([\w+=,.@-]+)$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]+$`)
)

func isSessionName(name string) bool {
	return len(name) >= 2 && len(name) <= 128 && sessionName.MatchString(name)
}

// role reads a RoleArn and a session's name.
func role(arn, session string) (Identity, error) {
	parts := roleArn.FindStringSubmatch(arn)
	if parts == nil || len(parts[3]) > 128 {
		return Identity{}, apierr.InvalidParameterValue.With("RoleArn")
	}
	if !isSessionName(session) {
		return Identity{}, apierr.InvalidParameterValue.With("RoleSessionName")
	}
	uin, err := strconv.ParseUint(parts[1], 10, 53)
	if err != nil || uin == 0 {
		return Identity{}, apierr.InvalidParameterValue.With("RoleArn")
	}
	return Identity{Uin: uin, Role: parts[3], Name: session, Temporary: true}, nil
}

// 1312/48197.
var assumeRole = command(spec[AssumeRoleRequest, CredentialsReply]{
	Name: "AssumeRole", Service: stsService, Rate: 600, Unpaid: true,
	Resource: func(q *AssumeRoleRequest) string { return q.RoleArn },
	Do: func(c *Call, q *AssumeRoleRequest) (*CredentialsReply, error) {
		who, err := role(q.RoleArn, q.RoleSessionName)
		if err != nil {
			return nil, err
		}
		if who.Uin == c.Identity.Uin {
			who.User = c.Identity.User
		}
		life, err := lifeOf(q.DurationSeconds, 7200, 43200)
		if err != nil {
			return nil, err
		}
		return c.issue(Grant{who, q.Policy, life})
	},
})

// WebIdentityRequest has the parameters of AssumeRoleWithWebIdentity. The token
// is not checked: there is no provider to ask.
type WebIdentityRequest struct {
	ProviderId       string `tc3:"required"`
	WebIdentityToken string `tc3:"required"`
	RoleArn          string `tc3:"required"`
	RoleSessionName  string `tc3:"required"`
	DurationSeconds  *uint64
}

// 1312/73070. It comes without a signature: Authorization is SKIP.
var assumeRoleWithWebIdentity = command(spec[WebIdentityRequest, CredentialsReply]{
	Name: "AssumeRoleWithWebIdentity", Service: stsService, Rate: 20, Unpaid: true, Unsigned: true,
	Do: func(c *Call, q *WebIdentityRequest) (*CredentialsReply, error) {
		who, err := role(q.RoleArn, q.RoleSessionName)
		if err != nil {
			return nil, err
		}
		life, err := lifeOf(q.DurationSeconds, 7200, 43200)
		if err != nil {
			return nil, err
		}
		return c.issue(Grant{who, "", life})
	},
})

// FederationRequest has the parameters of GetFederationToken.
type FederationRequest struct {
	Name            string `tc3:"required"`
	Policy          string `tc3:"required"` // URL-encoded
	DurationSeconds *uint64
}

// 1312/48195. Only permanent keys may call it.
var getFederationToken = command(spec[FederationRequest, CredentialsReply]{
	Name: "GetFederationToken", Service: stsService, Rate: 600, Unpaid: true,
	Do: func(c *Call, q *FederationRequest) (*CredentialsReply, error) {
		most := uint64(7200)
		if c.Identity.User != 0 {
			most = 129600
		}
		life, err := lifeOf(q.DurationSeconds, 1800, most)
		switch {
		case err != nil:
			return nil, err
		case c.Identity.Temporary:
			return nil, apierr.PermanentOnly.With("GetFederationToken")
		case !isSessionName(q.Name):
			return nil, apierr.InvalidParameterValue.With("Name")
		case strings.TrimSpace(q.Policy) == "": // it would mean everything
			return nil, apierr.BadPolicy.With("it is empty")
		}
		who := c.Identity
		who.Name, who.Temporary = q.Name, true
		return c.issue(Grant{who, q.Policy, life})
	},
})

// PlainPolicy returns a policy that a client sent, without its URL encoding if
// it has one.
func PlainPolicy(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil && !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return plain
	}
	return text
}

// CallerIdentityReply is the answer of GetCallerIdentity.
type CallerIdentityReply struct {
	Type        string // CAMUser, CAMRole or RootAccount
	AccountId   string
	UserId      string // of a role roleId:session, of a federated user uin:name
	PrincipalId string
	Arn         string
}

// 1312/66098. The type of the account itself is not in the examples (S).
var getCallerIdentity = query(spec[NoRequest, CallerIdentityReply]{
	Name: "GetCallerIdentity", Service: stsService, Rate: 20, Unpaid: true,
	Do: func(c *Call, _ *NoRequest) (*CallerIdentityReply, error) {
		i := c.Identity
		account, user := strconv.FormatUint(i.Uin, 10), i.User
		reply := &CallerIdentityReply{Type: "CAMUser", AccountId: account}
		if user == 0 {
			user = i.Uin
		}
		reply.PrincipalId = strconv.FormatUint(user, 10)
		reply.UserId = reply.PrincipalId
		reply.Arn = fmt.Sprintf("qcs::cam:%s:uin/%d", account, user)
		switch {
		case i.Role != "":
			reply.Type, reply.UserId = "CAMRole", RoleID(i.Uin, i.Role)+":"+i.Name
			reply.Arn = fmt.Sprintf("qcs::sts:%s:assumed-role/%s", account, RoleID(i.Uin, i.Role))
		case i.Name != "":
			reply.UserId += ":" + i.Name
			reply.Arn = fmt.Sprintf("qcs::sts:%s:federated-user/%d", account, user)
		case i.User == 0:
			reply.Type = "RootAccount"
		}
		return reply, nil
	},
})

// RoleID is the number of a role: the same at every start, of the length of
// official examples.
func RoleID(uin uint64, name string) string {
	if strings.Trim(name, "0123456789") == "" && len(name) > 10 {
		return name // a RoleArn may name it by its number
	}
	h := uint64(14695981039346656037) ^ uin // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return strconv.FormatUint(4611686018427000000+h%1000000, 10)
}
