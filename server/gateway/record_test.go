package gateway

import (
	"testing"

	"ssmlocal/server/action"
)

// TestPanicInACheckLeavesARecord keeps no parameters of an action whose check
// panics: the call is still recorded.
func TestPanicInACheckLeavesARecord(t *testing.T) {
	r := &record{does: &action.Action{Name: "X"}, request: &struct{ SecretString string }{"hunter2"}, size: 10}
	r.keepParameters() // an action without a check panics
	if r.request != nil {
		t.Errorf("the parameters are kept: %v", r.request)
	}
	if e := r.Entry(); e.Action != "" || e.Parameters != nil {
		t.Errorf("%+v", e)
	}
}
