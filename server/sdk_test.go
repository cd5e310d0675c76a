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

	"ssmlocal/server"
	"ssmlocal/server/action"
	"ssmlocal/server/servertest"
)

// sdk is the vendor's own Go client, pointed at an emulator and otherwise as it comes.
type sdk struct {
	t      *testing.T
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
		t: t, client: common.NewCommonClient(credential, "ap-guangzhou", p), called: map[string]bool{},
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
		// The generic request makes no pairs of its parameters; the typed ones do, in this form.
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

// flatten writes nested values under dotted keys, as the typed requests of the client do.
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

// gives calls an action that must succeed and compares some fields of the answer.
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

// fails calls an action that must be refused with a code.
func (c *sdk) fails(code, action string, params object) {
	c.t.Helper()
	if _, got := c.call(action, params); got != code {
		c.t.Errorf("%s %v: %q, want %s", action, params, got, code)
	}
}

// TestGoSDK drives a secret through its life with every signature and method of the official client.
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
				c.notBuilt()
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

func (c *sdk) notBuilt() {
	for name, params := range map[string]object{
		"CreateProductSecret": {
			"SecretName": "p", "UserNamePrefix": "u", "ProductName": "Mysql", "InstanceID": "cdb-1", "Domains": []string{"%"},
			"PrivilegesList": []object{{"PrivilegeName": "GlobalPrivileges", "Privileges": []string{"SELECT"}}},
		},
		"RotateProductSecret":      {"SecretName": "p"},
		"DescribeRotationDetail":   {"SecretName": "p"},
		"DescribeRotationHistory":  {"SecretName": "p"},
		"UpdateRotationStatus":     {"SecretName": "p", "EnableRotation": true, "Frequency": 30},
		"DescribeAsyncRequestInfo": {"FlowID": 1},
		"CreateSSHKeyPairSecret":   {"SecretName": "p", "ProjectId": 0},
		"GetSSHKeyPairValue":       {"SecretName": "p"},
	} {
		c.fails("UnsupportedOperation", name, params)
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

// TestGoSDKRefused looks at what the official client makes of the errors of the gateway.
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

	// The client asks for Chinese unless it is told otherwise.
	request := tchttp.NewCommonRequest("ssm", "2019-09-23", "DescribeSecret")
	_ = request.SetActionParameters(object{"SecretName": "a"})
	if err := c.client.Send(request, tchttp.NewCommonResponse()); err == nil || !strings.Contains(err.Error(), "凭据 `a` 在该地域不存在。") {
		t.Errorf("the error is %v", err)
	}
}
