package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"ssmlocal/server"
	"ssmlocal/server/servertest"
)

// awkward is a value that has to be quoted in every language.
const awkward = "it's \"quoted\" `so` \\ 中文 🔑\n$x <&> %s {{.}}"

// TestPrintedPrograms runs what call --print prints, with the real clients:
// each program reads the same value. The clients are those of
// TestOfficialClients, and what is not installed is skipped as there.
func TestPrintedPrograms(t *testing.T) {
	s := servertest.New(t, server.Config{})
	if err := s.Call("CreateSecret", map[string]any{"SecretName": "a", "VersionId": "v1", "SecretString": "x"}, nil); err != nil {
		t.Fatal(err)
	}
	clients, err := filepath.Abs("../../fixtures/clients")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		needs string // a file that is there once the client is installed
		as    string // the name of the program's file
		run   func(t *testing.T, dir, file string) *exec.Cmd
	}{
		"curl": {"", "call.sh", func(_ *testing.T, _, file string) *exec.Cmd { return exec.Command("sh", file) }},
		"tccli": {"tccli/.venv/bin/tccli", "call.sh", func(_ *testing.T, _, file string) *exec.Cmd {
			cmd := exec.Command("sh", file)
			cmd.Env = append(os.Environ(), "PATH="+filepath.Join(clients, "tccli/.venv/bin")+":"+os.Getenv("PATH"))
			return cmd
		}},
		"python": {"python/.venv/bin/python", "call.py", func(_ *testing.T, _, file string) *exec.Cmd {
			return exec.Command(filepath.Join(clients, "python/.venv/bin/python"), file)
		}},
		"node": {"node/node_modules", "call.cjs", func(_ *testing.T, _, file string) *exec.Cmd {
			cmd := exec.Command("node", file)
			cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(clients, "node/node_modules"))
			return cmd
		}},
		"go": {"gotyped/go.mod", "main.go", func(t *testing.T, dir, _ string) *exec.Cmd {
			for _, file := range []string{"go.mod", "go.sum"} {
				text, err := os.ReadFile(filepath.Join(clients, "gotyped", file))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			return exec.Command("go", "run", ".")
		}},
		"java": {"java/target/test-classes", "Call.java", func(t *testing.T, dir, file string) *exec.Cmd {
			classpath := filepath.Join(dir, "classpath")
			list := exec.Command("mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath", "-Dmdep.outputFile="+classpath)
			list.Dir = filepath.Join(clients, "java")
			if out, err := list.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			text, err := os.ReadFile(classpath)
			if err != nil {
				t.Fatal(err)
			}
			return exec.Command("java", "-cp", string(text), file)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			required := strings.Contains(os.Getenv("SSMLOCAL_REQUIRE"), name)
			if name == "go" && !strings.Contains(os.Getenv("SSMLOCAL_REQUIRE"), "gotyped") {
				t.Skip("a module of its own, which would be downloaded; SSMLOCAL_REQUIRE=gotyped runs it")
			}
			if _, err := os.Stat(filepath.Join(clients, c.needs)); err != nil && !required || runtime.GOOS == "windows" {
				t.Skip("the client is not installed, see TestOfficialClients")
			}
			if _, err := exec.LookPath("curl"); err != nil && name == "curl" && !required {
				t.Skip("curl is not installed")
			}
			dir := t.TempDir()
			file := filepath.Join(dir, c.as)
			for version, call := range map[string][]string{
				"v1": {"call", "--url", s.URL, "GetSecretValue", "SecretName=a", "VersionId=v1"},
				name: {"call", "--url", s.URL, "PutSecretValue", "SecretName=a", "VersionId=" + name, "SecretString=" + awkward},
			} {
				printed, errs, code := ssmlocal(t, append(call, "--language", "en-US", "--print", name)...)
				if code != 0 {
					t.Fatal(errs)
				}
				if err := os.WriteFile(file, []byte(printed), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := c.run(t, dir, file)
				cmd.Dir = dir
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), version) {
					t.Fatalf("%v\n%s\n%s", err, out, printed)
				}
			}
			if got, err := s.Value("a", name); err != nil || got != awkward {
				t.Errorf("the value that it has put is %q, %v", got, err)
			}
		})
	}
}
