package dag

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func maskOf(t testing.TB, values map[string]string) *Mask {
	t.Helper()
	var names []string
	for name := range values {
		names = append(names, name)
	}
	m, err := NewMask(names, func(name string) (string, bool) { v, ok := values[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSecretsAreMaskedHoweverTheStreamIsCut(t *testing.T) {
	m := maskOf(t, map[string]string{"A": "hunter2", "B": "hunter22", "C": "-----BEGIN\nabc def\n-----END\n", "D": "aab", "E": ""})
	text := "x hunter2 y hunter22 z hunter hunt\n-----BEGIN\nabc def\n-----END\nabc def aaab aaaab aab hunterhunter2"
	want := m.String(text)
	for _, secret := range []string{"hunter2", "abc def", "-----BEGIN", "aab"} {
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

func TestSecretsInOutputsAreKeptByName(t *testing.T) {
	m := maskOf(t, map[string]string{"A": "hunter2", "B": "hunter2-long"})
	kept := m.reference("url=x:hunter2-long@hunter2")
	if strings.Contains(kept, "hunter2") {
		t.Errorf("kept %q", kept)
	}
	if got := m.resolve(kept); got != "url=x:hunter2-long@hunter2" {
		t.Errorf("resolved %q", got)
	}
}

func TestSecretsThatAreNotSetAreRefused(t *testing.T) {
	_, err := NewMask([]string{"A", "B"}, func(string) (string, bool) { return "", false })
	if err == nil || !strings.Contains(err.Error(), "A, B") {
		t.Error(err)
	}
}

func FuzzMask(f *testing.F) {
	f.Add("secret", "a secret in a stream, secre", uint8(3))
	f.Add("aa", "aaaa", uint8(1))
	f.Fuzz(func(t *testing.T, secret, text string, cut uint8) {
		if strings.TrimSpace(strings.Trim(secret, "\r\n")) == "" || strings.ContainsAny(secret, "\n\r*") {
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
