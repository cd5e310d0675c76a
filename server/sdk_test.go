package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tcerr "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	"golang.org/x/crypto/ssh"

	"ssmlocal/server"
	"ssmlocal/server/action"
	"ssmlocal/server/servertest"
)

// sdk is the vendor's own Go client, pointed at an emulator and otherwise as it
// comes.
type sdk struct {
	t      *testing.T
	server *servertest.Server
	client *common.Client
	pairs  bool // parameters go as pairs: all but a signature v3 with POST
	called map[string]bool
}

func newSDK(t *testing.T, s *servertest.Server, signature, method string) *sdk {
	p := profile.NewClientProfile()
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint = "HTTP", s.Host
	p.SignMethod, p.HttpProfile.ReqMethod = signature, method
	credential := common.NewCredential(s.Credential.SecretID, s.Credential.SecretKey)
	return &sdk{
		t: t, server: s, client: common.NewCommonClient(credential, "ap-guangzhou", p), called: map[string]bool{},
		pairs: signature != "TC3-HMAC-SHA256" || method != http.MethodPost,
	}
}

type object = map[string]any

// call calls an action; a refusal comes back as its code.
func (c *sdk) call(action string, params object) (reply object, code string) {
	c.t.Helper()
	c.called[action] = true
	request := tchttp.NewCommonRequest("ssm", "2019-09-23", action)
	if c.pairs {
		// The generic request makes no pairs of its parameters; the typed ones
		// do, in this form.
		flatten(request.GetParams(), "", params)
	} else if err := request.SetActionParameters(params); err != nil {
		c.t.Fatal(err)
	}
	response := tchttp.NewCommonResponse()
	err := c.client.Send(request, response)
	var refused *tcerr.TencentCloudSDKError
	if errors.As(err, &refused) {
		if len(refused.GetRequestId()) != 36 || refused.GetMessage() == "" {
			c.t.Errorf("%s: an error without a request id or a message: %v", action, refused)
		}
		return nil, refused.GetCode()
	}
	if err != nil {
		c.t.Fatalf("%s: %v", action, err)
	}
	var envelope struct{ Response object }
	if err := json.Unmarshal(response.GetBody(), &envelope); err != nil {
		c.t.Fatal(err)
	}
	return envelope.Response, ""
}

// flatten writes nested values under dotted keys, as the typed requests of the
// client do.
func flatten(into map[string]string, key string, value any) {
	switch v := value.(type) {
	case object:
		for name, value := range v {
			flatten(into, strings.TrimPrefix(key+"."+name, "."), value)
		}
	case []object:
		for i, value := range v {
			flatten(into, key+"."+strconv.Itoa(i), value)
		}
	case []string:
		for i, value := range v {
			flatten(into, key+"."+strconv.Itoa(i), value)
		}
	default:
		into[key] = fmt.Sprint(v)
	}
}

// gives makes a call that must succeed and compares some fields of the answer.
func (c *sdk) gives(action string, params, want object) object {
	c.t.Helper()
	reply, code := c.call(action, params)
	if code != "" {
		c.t.Fatalf("%s %v: %s", action, params, code)
	}
	for name, value := range want {
		if fmt.Sprint(reply[name]) != fmt.Sprint(value) {
			c.t.Errorf("%s: %s is %v, want %v", action, name, reply[name], value)
		}
	}
	return reply
}

// fails makes a call that must be refused with a code.
func (c *sdk) fails(code, action string, params object) {
	c.t.Helper()
	if _, got := c.call(action, params); got != code {
		c.t.Errorf("%s %v: %q, want %s", action, params, got, code)
	}
}

// TestGoSDK drives a secret through its life with every signature and method of
// the official client.
func TestGoSDK(t *testing.T) {
	for _, signature := range []string{"TC3-HMAC-SHA256", "HmacSHA1", "HmacSHA256"} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			t.Run(signature+" "+method, func(t *testing.T) {
				t.Parallel()
				c := newSDK(t, servertest.New(t, server.Config{}), signature, method)
				c.create()
				c.values()
				c.lists()
				c.end()
				c.service()
				c.products()
				c.keys()
				c.orders()
				c.calledAll()
			})
		}
	}
}

const awkward = "a b&c=d+e%20/?#\"'\\ \n\t<中文> 🔑"

func (c *sdk) create() {
	tags := []object{{"TagKey": "env", "TagValue": "prod"}, {"TagKey": "团队", "TagValue": "a&b"}}
	db := object{"SecretName": "db", "VersionId": "v1", "SecretString": awkward, "Description": awkward, "Tags": tags}
	c.gives("CreateSecret", db, object{"SecretName": "db", "VersionId": "v1", "TagCode": 0, "TagMsg": "ok"})
	c.fails("ResourceInUse.SecretExists", "CreateSecret", db)
	c.gives("DescribeSecret", object{"SecretName": "db"}, object{
		"Status": "Enabled", "Description": awkward, "SecretType": 0, "ProductName": "default", "DeleteTime": 0,
		"CreateUinString": "100000000001",
	})
	c.gives("UpdateDescription", object{"SecretName": "db", "Description": "plain"}, nil)
	c.gives("DescribeSecret", object{"SecretName": "db"}, object{"Description": "plain"})
	c.fails("ResourceNotFound", "DescribeSecret", object{"SecretName": "nothing"})
	c.fails("MissingParameter", "CreateSecret", object{"SecretString": "x"})
	c.fails("UnknownParameter", "CreateSecret", object{"SecretName": "x", "SecretString": "x", "Nope": "x"})
}

func (c *sdk) values() {
	v1, v2 := object{"SecretName": "db", "VersionId": "v1"}, object{"SecretName": "db", "VersionId": "v2"}
	with := func(o object, name, value string) object {
		o = maps.Clone(o)
		o[name] = value
		return o
	}
	c.gives("GetSecretValue", v1, object{"SecretString": awkward, "SecretBinary": "", "VersionId": "v1"})
	c.gives("PutSecretValue", with(v2, "SecretBinary", "AAEC/+8="), v2)
	c.gives("GetSecretValue", v2, object{"SecretString": "", "SecretBinary": "AAEC/+8="})
	c.fails("ResourceInUse.VersionIdExists", "PutSecretValue", with(v2, "SecretString", "x"))
	c.gives("UpdateSecret", with(v2, "SecretString", "second"), v2)
	c.gives("GetSecretValue", v2, object{"SecretString": "second", "SecretBinary": ""})
	reply := c.gives("ListSecretVersionIds", object{"SecretName": "db"}, object{"SecretName": "db"})
	if list := reply["Versions"].([]any); len(list) != 2 || list[0].(object)["VersionId"] != "v2" {
		c.t.Errorf("the versions are %v, want v2 before v1", list)
	}
	c.gives("DeleteSecretVersion", v2, v2)
	c.fails("ResourceNotFound", "GetSecretValue", v2)
}

func (c *sdk) lists() {
	c.gives("CreateSecret", object{"SecretName": "other", "SecretString": "x"}, nil)
	for _, q := range []struct {
		params object
		total  int
		names  []string
	}{
		{object{}, 2, []string{"other", "db"}},
		{object{"OrderType": 1, "Limit": 1}, 2, []string{"db"}},
		{object{"Offset": 1, "Limit": 1}, 2, []string{"db"}},
		{object{"SearchSecretName": "the"}, 1, []string{"other"}},
		{object{"State": 2}, 0, nil},
		{object{"TagFilters": []object{{"TagKey": "团队", "TagValue": []string{"x", "a&b"}}}}, 1, []string{"db"}},
	} {
		reply := c.gives("ListSecrets", q.params, object{"TotalCount": q.total})
		var names []string
		for _, m := range reply["SecretMetadatas"].([]any) {
			names = append(names, m.(object)["SecretName"].(string))
		}
		if !slices.Equal(names, q.names) {
			c.t.Errorf("%v lists %v, want %v", q.params, names, q.names)
		}
	}
}

func (c *sdk) end() {
	db, v1 := object{"SecretName": "db"}, object{"SecretName": "db", "VersionId": "v1"}
	c.fails("FailedOperation", "DeleteSecret", db)
	c.gives("DisableSecret", db, db)
	c.fails("ResourceUnavailable.ResourceDisabled", "GetSecretValue", v1)
	c.gives("EnableSecret", db, db)
	c.gives("DisableSecret", db, db)
	c.gives("DeleteSecret", object{"SecretName": "db", "RecoveryWindowInDays": 7}, db)
	c.fails("ResourceUnavailable.ResourcePendingDeleted", "GetSecretValue", v1)
	c.gives("DescribeSecret", db, object{"Status": "PendingDelete"})
	c.gives("RestoreSecret", db, db)
	c.gives("DescribeSecret", db, object{"Status": "Disabled"})
	c.gives("DeleteSecret", db, db)
	c.fails("ResourceNotFound", "DescribeSecret", db)
}

func (c *sdk) service() {
	regions := c.gives("GetRegions", object{}, nil)["Regions"].([]any)
	if !slices.Contains(regions, any("ap-guangzhou")) {
		c.t.Errorf("the regions are %v", regions)
	}
	c.gives("GetServiceStatus", object{}, object{"ServiceEnabled": true, "InvalidType": 1, "SecretLimit": 1000, "TotalCount": 1})
	c.gives("DescribeSupportedProducts", object{}, object{"TotalCount": 6})
}

// orders enables the service of an account that has none.
func (c *sdk) orders() {
	order := object{"PayMode": "PostPay", "ClientToken": "suite-1"}
	c.fails("ResourceInUse.ServiceAlreadyEnabled", "CreateService", order)
	c.server.Import("accounts: [{uin: 100000000001, service: none, credentials: [{secretId: AKIDssmlocal, secretKey: ssmlocal}]}]")
	made := c.gives("CreateService", order, object{"ResourceId": "ssm_1250000001"})
	c.gives("CreateService", order, object{"OrderId": made["OrderId"]})
}

func (c *sdk) products() {
	p := object{"SecretName": "p"}
	made := c.gives("CreateProductSecret", object{
		"SecretName": "p", "UserNamePrefix": "u", "ProductName": "Mysql", "InstanceID": "cdb-1", "Domains": []string{"10.0.%"},
		"PrivilegesList": []object{
			{"PrivilegeName": "GlobalPrivileges", "Privileges": []string{"SELECT", "SHOW DATABASES"}},
			{"PrivilegeName": "TablePrivileges", "Privileges": []string{"INSERT"}, "Database": "d", "TableName": "t"},
		},
		"EnableRotation": true, "RotationBeginTime": "2030-01-02 03:04:05", "RotationFrequency": 40,
	}, object{"SecretName": "p", "TagMsg": "ok"})
	c.gives("DescribeAsyncRequestInfo", object{"FlowID": int64(made["FlowID"].(float64))}, object{"TaskStatus": 1, "Description": "success"})
	c.gives("DescribeSecret", p, object{
		"SecretType": 1, "ProductName": "Mysql", "ResourceID": "cdb-1", "RotationStatus": true, "RotationFrequency": 40,
		"NextRotationTime": "2030-01-02 03:04:05",
	})
	current := object{"SecretName": "p", "VersionId": "SSM_Current"}
	before := c.gives("GetSecretValue", current, nil)["SecretString"]
	c.gives("RotateProductSecret", p, object{"FlowID": made["FlowID"].(float64) + 1})
	if after := c.gives("GetSecretValue", current, nil)["SecretString"]; after == before {
		c.t.Errorf("the value is %v before and after a rotation", after)
	}
	history := c.gives("DescribeRotationHistory", p, object{"TotalCount": 1})["VersionIDs"].([]any)
	c.gives("GetSecretValue", object{"SecretName": "p", "VersionId": history[0]}, object{"SecretString": before})
	c.gives("UpdateRotationStatus", object{"SecretName": "p", "EnableRotation": false}, nil)
	c.gives("DescribeRotationDetail", p, object{"EnableRotation": false, "Frequency": 40, "NextRotateBeginTime": ""})
	c.fails("OperationDenied.AutoRotatedResource", "PutSecretValue", object{"SecretName": "p", "VersionId": "v", "SecretString": "x"})
	c.fails("OperationDenied", "RotateProductSecret", object{"SecretName": "other"})
	c.fails("DryRunOperation", "RotateProductSecret", object{"SecretName": "p", "DryRun": true})
}

func (c *sdk) keys() {
	made := c.gives("CreateSSHKeyPairSecret", object{"SecretName": "k", "ProjectId": 0, "SSHKeyName": "my_key"}, object{"SSHKeyName": "my_key"})
	pair := c.gives("GetSSHKeyPairValue", object{"SSHKeyId": made["SSHKeyID"]}, object{"SSHKeyID": made["SSHKeyID"], "SSHKeyName": "my_key"})
	checkPair(c.t, pair["PublicKey"].(string), pair["PrivateKey"].(string), made["SSHKeyID"].(string))
	c.fails("FailedOperation", "GetSecretValue", object{"SecretName": "k", "VersionId": "SSM_Current"})
	c.gives("DisableSecret", object{"SecretName": "k"}, nil)
	c.gives("GetSSHKeyPairValue", object{"SecretName": "k"}, object{"PrivateKey": pair["PrivateKey"]})
	c.gives("DeleteSecret", object{"SecretName": "k", "CleanSSHKey": true}, nil)
	c.fails("ResourceNotFound", "GetSSHKeyPairValue", object{"SSHKeyId": made["SSHKeyID"]})
}

// checkPair reads a key pair as OpenSSH would.
func checkPair(t *testing.T, public, private, id string) {
	t.Helper()
	signer, err := ssh.ParsePrivateKey([]byte(private))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))) + " " + id
	if public != want || strings.HasSuffix(private, "\n") || !strings.HasPrefix(private, "-----BEGIN RSA PRIVATE KEY-----\n") {
		t.Errorf("the public key is %s, want %s; the private one begins with %.40q", public, want, private)
	}
}

// calledAll compares what was called with the table.
func (c *sdk) calledAll() {
	for _, a := range action.All() {
		if !c.called[a.Name] {
			c.t.Errorf("%s was not called", a.Name)
		}
	}
}

// TestGoSDKRefused looks at how the official client shows the errors of the
// gateway.
func TestGoSDKRefused(t *testing.T) {
	s := servertest.New(t, server.Config{Rates: map[string]int{"GetRegions": 1}})
	for _, signature := range []string{"TC3-HMAC-SHA256", "HmacSHA1"} {
		right := s.Credential
		s.Credential.SecretKey = "wrong"
		newSDK(t, s, signature, http.MethodPost).fails("AuthFailure.SignatureFailure", "GetRegions", object{})
		s.Credential.SecretID = "AKIDnobody"
		newSDK(t, s, signature, http.MethodPost).fails("AuthFailure.SecretIdNotFound", "GetRegions", object{})
		s.Credential = right
	}
	c := newSDK(t, s, "TC3-HMAC-SHA256", http.MethodPost)
	c.gives("GetRegions", object{}, nil)
	c.fails("RequestLimitExceeded", "GetRegions", object{})
	c.fails("InvalidAction", "Nope", object{})

	// The client asks for Chinese by default.
	request := tchttp.NewCommonRequest("ssm", "2019-09-23", "DescribeSecret")
	_ = request.SetActionParameters(object{"SecretName": "a"})
	if err := c.client.Send(request, tchttp.NewCommonResponse()); err == nil || !strings.Contains(err.Error(), "凭据 `a` 在该地域不存在。") {
		t.Errorf("the error is %v", err)
	}
}
