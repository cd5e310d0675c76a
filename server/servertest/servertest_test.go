package servertest_test

import (
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// TestStart runs an emulator as a program that is no test does.
func TestStart(t *testing.T) {
	t.Parallel()
	s, err := servertest.Start(server.Config{Seeds: []string{"demo"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Call("DescribeSecret", map[string]string{"SecretName": "api-token"}, nil); err != nil {
		t.Error(err)
	}
	func() {
		defer func() {
			if text, is := recover().(string); !is || !strings.Contains(text, "nonsense") {
				t.Errorf("a wrong seed panics with %q", text)
			}
		}()
		s.Import("nonsense: [1]")
	}()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := servertest.Start(server.Config{Seeds: []string{"there is none"}}); err == nil {
		t.Error("a seed that is missing is no error")
	}
}
