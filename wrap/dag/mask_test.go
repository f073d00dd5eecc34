package dag

import (
	"limit/wrap/dag/stepfile"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func maskOf(t testing.TB, values map[string]string) *Mask {
	t.Helper()
	var names []string
	for name := range values {
		names = append(names, name)
	}
	m, err := NewMask(secretsOf(names...), func(name string) (string, bool) { v, ok := values[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSecretsAreMaskedHoweverTheStreamIsCut(t *testing.T) {
	m := maskOf(t, map[string]string{"A": "hunter2", "B": "hunter22", "C": "-----BEGIN\nabc def\n-----END\n", "D": "aaab", "E": ""})
	text := "x hunter2 y hunter22 z hunter hunt\n-----BEGIN\nabc def\n-----END\nabc def aaaab aaaaab aaab hunterhunter2"
	want := m.String(text)
	for _, secret := range []string{"hunter2", "abc def", "-----BEGIN", "aaab"} {
		if strings.Contains(want, secret) {
			t.Errorf("%q is left in %q", secret, want)
		}
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		s, got := m.stream(), ""
		for rest := text; rest != ""; {
			n := 1 + r.IntN(min(len(rest), 12))
			got += string(s.next([]byte(rest[:n])))
			rest = rest[n:]
		}
		if got += string(s.rest()); got != want {
			t.Fatalf("%q\n%q", got, want)
		}
	}
}

func TestAStreamShowsWhatCannotBeASecretAtOnce(t *testing.T) {
	s := maskOf(t, map[string]string{"A": "hunter2"}).stream()
	if got := string(s.next([]byte("password: "))); got != "password: " {
		t.Errorf("kept back: %q", got)
	}
	if got := string(s.next([]byte("hun"))); got != "" {
		t.Errorf("shown: %q", got)
	}
	if got := string(s.next([]byte("gry"))); got != "hungry" {
		t.Errorf("shown: %q", got)
	}
}

func TestValuesAreHandedOnAsTheyWere(t *testing.T) {
	m := maskOf(t, map[string]string{"A": "hunter2", "B": "hunter2-long", "JSON": "{\n  \"type\": \"account\",\n  \"key\": \"xxxxxxxx\"\n}", "C": "C:0\nB:0:1"})
	for _, value := range []string{"x:hunter2-long@hunter2", `{"replicas": 3}`, "\"type\": \"account\",", "{\n  \"type\": \"account\",\n  \"key\": \"xxxxxxxx\"\n}", "A:0 B:0:1"} {
		kept := m.Seal(value)
		for _, secret := range []string{"hunter2", "account", "xxxxxxxx"} {
			if strings.Contains(kept, secret) {
				t.Errorf("kept %q", kept)
			}
		}
		if got := m.Unseal(kept); got != value {
			t.Errorf("%q was handed on as %q", value, got)
		}
	}
}

func TestShortLinesOfSecretsAreNoSecrets(t *testing.T) {
	m := maskOf(t, map[string]string{"JSON": "{\n  \"key\": \"abcdef\"\n}", "PIN": "123", "LONG": "1234"})
	if got := m.String(`{"n": 123, "m": 1234, "key": "abcdef"}`); got != `{"n": 123, "m": ***, ***}` {
		t.Errorf("%q", got)
	}
	exposed := m.Exposed()
	slices.Sort(exposed)
	if !slices.Equal(exposed, []string{"JSON", "PIN"}) {
		t.Errorf("exposed: %q", exposed)
	}
}

func TestSecretsThatAreNotSetAreRefused(t *testing.T) {
	_, err := NewMask(secretsOf("A", "B"), func(string) (string, bool) { return "", false })
	if err == nil || !strings.Contains(err.Error(), "A, B") {
		t.Error(err)
	}
}

func FuzzMask(f *testing.F) {
	f.Add("secret", "a secret in a stream, secre", uint8(3))
	f.Add("aaaa", "aaaaaaaa", uint8(1))
	f.Fuzz(func(t *testing.T, secret, text string, cut uint8) {
		if len(strings.TrimSpace(secret)) < shortest || strings.ContainsAny(secret, "\n\r*") {
			return
		}
		m := maskOf(t, map[string]string{"S": secret})
		s, got := m.stream(), ""
		for rest := text; rest != ""; {
			n := min(len(rest), int(cut)+1)
			got += string(s.next([]byte(rest[:n])))
			rest = rest[n:]
		}
		got += string(s.rest())
		if got != m.String(text) {
			t.Errorf("secret %q text %q: %q, not %q", secret, text, got, m.String(text))
		}
	})
}

// secretsOf are those of a file that the environment has.
func secretsOf(names ...string) []stepfile.Secret {
	secrets := make([]stepfile.Secret, len(names))
	for i, name := range names {
		secrets[i].Name = name
	}
	return secrets
}
