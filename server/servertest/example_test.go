package servertest_test

import (
	"testing"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"ssmlocal/server"
	"ssmlocal/server/fault"
	"ssmlocal/server/journal"
	"ssmlocal/server/servertest"
)

// TestExample is what a user's test looks like: an official client, calls
// without one, direct reads and time travel.
func TestExample(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})

	p := profile.NewClientProfile()
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint = "HTTP", s.Host
	client := common.NewCommonClient(common.NewCredential(s.Credential.SecretID, s.Credential.SecretKey), "ap-guangzhou", p)
	create := tchttp.NewCommonRequest("ssm", "2019-09-23", "CreateSecret")
	_ = create.SetActionParameters(`{"SecretName":"db","SecretString":"hunter2"}`)
	if err := client.Send(create, tchttp.NewCommonResponse()); err != nil {
		t.Fatal(err)
	}

	if value, err := s.Value("db", "SSM_Current"); value != "hunter2" || err != nil {
		t.Errorf("the value is %q, %v", value, err)
	}
	if err := s.Call("DisableSecret", map[string]any{"SecretName": "db"}, nil); err != nil {
		t.Fatal(err)
	}
	var reply struct{ DeleteTime int64 }
	if err := s.Call("DeleteSecret", map[string]any{"SecretName": "db", "RecoveryWindowInDays": 3}, &reply); err != nil {
		t.Fatal(err)
	}
	events := s.Advance(72 * time.Hour)
	if len(events) != 1 || events[0].What != "deletion" || events[0].At.Unix() != reply.DeleteTime {
		t.Errorf("three days later: %+v", events)
	}
}

// TestProvokeAndAssert is what a test of a retry looks like: two failures
// before a success, and the proof that they came.
func TestProvokeAndAssert(t *testing.T) {
	t.Parallel()
	s := servertest.New(t, server.Config{})
	s.Import("accounts: [{uin: 100000000001, secrets: [{secretName: db, secretString: hunter2}]}]")
	s.Fault(fault.Rule{Action: "GetSecretValue", SecretName: "db", Times: 2, Effect: fault.Effect{Error: &fault.Error{Code: "InternalError"}}})

	var reply struct{ SecretString string }
	for reply.SecretString == "" {
		_ = s.Call("GetSecretValue", map[string]string{"SecretName": "db", "VersionId": "SSM_Current"}, &reply)
	}

	calls := s.Calls(journal.Filter{Action: "GetSecretValue", SecretName: "db"})
	if len(calls) != 3 || calls[0].Code != "InternalError" || calls[2].Code != journal.OK {
		t.Errorf("%+v", calls)
	}
	s.Reset()
	if len(s.Calls(journal.Filter{})) != 0 || s.Call("DescribeSecret", map[string]string{"SecretName": "db"}, nil) == nil {
		t.Error("a reset left something")
	}
}
