package instance

import "testing"

// TestMayLogIn has hosts as accounts name them, and this host by its name and
// address.
func TestMayLogIn(t *testing.T) {
	here := []string{"localhost", "127.0.0.1"}
	for host, want := range map[string]bool{
		"%": true, "localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.0.0.%": true, "127.0.0._": true,
		"127.0.0.0/255.255.255.0": true, "10.0.0.0/255.0.0.0": false, "10.0.0.%": false, "127.0.0.2": false, "app": false, "a.b/c": false,
	} {
		if got := mayLogIn([]string{"other", host}, here); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
	if !mayLogIn(nil, here) {
		t.Error("an account without hosts may log in from any")
	}
}

// TestIsServer compares addresses of servers.
func TestIsServer(t *testing.T) {
	a, err := Parse("redis://:password@127.0.0.1:6379/")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]bool{
		"": true, a.String(): true, "redis://127.0.0.1:6379/?passwordFile=%2Ffile": true, "rediss://127.0.0.1:6379/": true,
		"redis://127.0.0.1:6380/": false, "mysql://root@127.0.0.1:6379/": false, "exec:///hook": false, "?": false,
	} {
		if a.IsServer(at) != want {
			t.Errorf("%q: %v", at, !want)
		}
	}
	if _, err := Parse("mysql://root@127.0.0.1/?ca=/ca.pem"); err == nil {
		t.Error("a CA without TLS is accepted")
	}
}
