package servertest_test

import (
	"testing"
	"time"

	"ssmlocal/server"
	"ssmlocal/server/fault"
	"ssmlocal/server/journal"
	"ssmlocal/server/servertest"
)

func TestMine(t *testing.T) {
	s := servertest.New(t, server.Config{})
	s.Import(`accounts: [{uin: 100000000001, secrets: [{secretName: db, secretString: hunter2}]}]`)
	s.Fault(fault.Rule{Action: "GetSecretValue", Times: 2, Effect: fault.Effect{Error: &fault.Error{Code: "InternalError"}}})

	// Here the code under test would call http://s.Host with s.Credential.
	// s.Call signs by itself:
	for range 3 {
		_ = s.Call("GetSecretValue", map[string]string{"SecretName": "db", "VersionId": "SSM_Current"}, nil)
	}

	if calls := s.Calls(journal.Filter{Action: "GetSecretValue", Code: journal.OK}); len(calls) != 1 {
		t.Errorf("%d calls succeeded", len(calls))
	}
	if events := s.Advance(30 * 24 * time.Hour); len(events) != 0 { // rotations, deletions, ends of tasks
		t.Errorf("became due: %v", events)
	}
	if value, err := s.Value("db", "SSM_Current"); value != "hunter2" || err != nil { // no call, so no fault hits it
		t.Errorf("%q, %v", value, err)
	}
}
