package control

import (
	"slices"
	"strings"
	"testing"

	"ssmlocal/server/capsule"
)

// TestRecordedCalls wants a decision for each call that may change something:
// a new one must not be left out of capsules by accident.
func TestRecordedCalls(t *testing.T) {
	apart := []string{
		"POST /errors/run", "POST /tours/{id}/run", "POST /call/code", "POST /replay", // which change nothing here
		"DELETE /journal", "DELETE /leaks", // which no call of the API can see
		"PUT /state", "POST /reset", "PUT /snapshots/{id}", "POST /snapshots/{id}/load", "DELETE /snapshots/{id}", // with which a run begins
		"PUT /instances", "DELETE /instances/{id}", "POST /instances/{id}/repair", // which no replay has
	}
	calls := Calls()
	for _, call := range calls {
		_, is := recorded[call]
		if strings.HasPrefix(call, "GET ") && is || !strings.HasPrefix(call, "GET ") && is == slices.Contains(apart, call) {
			t.Errorf("%s: is it in capsules?", call)
		}
	}
	for call := range recorded {
		if !slices.Contains(calls, call) {
			t.Errorf("there is no %s", call)
		}
	}
	if Recorded("DELETE", "/_ssmlocal/faults/7") != capsule.Around || Recorded("GET", "/_ssmlocal/faults") != capsule.Never {
		t.Error("a call is not found by its path")
	}
}
