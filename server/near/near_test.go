package near

import "testing"

func TestHint(t *testing.T) {
	known := []string{"show", "advance", "ListSecrets", "CreateSecret", "GetSecretValue", "rotation", "leaks"}
	for word, want := range map[string]string{
		"shwo": " (did you mean show?)", "Listsecrets": " (did you mean ListSecrets?)", "rotaton": " (did you mean rotation?)",
		"GetSecret": " (did you mean GetSecretValue?)", "leakes": " (did you mean leaks?)", "show": "", "x": "", "": "", "something else": "",
	} {
		if got := Hint(word, known); got != want {
			t.Errorf("%q: %q", word, got)
		}
	}
}
