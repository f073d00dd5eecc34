package backend

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWhatIsRememberedOfACommandIsItsFirstWordAndOfALabelItsBeginning(t *testing.T) {
	for _, c := range []struct {
		name    string
		command []string
		want    string
	}{
		{"psql -W secret", []string{"psql", "-W", "secret"}, "psql"},
		{"nightly load", []string{"psql", "-W", "secret"}, "nightly load"},
		{"label", nil, "label"},
		{strings.Repeat("x", 64), nil, strings.Repeat("x", 64)},
		{strings.Repeat("x", 65), nil, strings.Repeat("x", 61) + "…"},
		{strings.Repeat("語", 30), nil, strings.Repeat("語", 20) + "…"},
	} {
		got := pastName(&Claim{Name: c.name, Command: c.command})
		if got != c.want || !utf8.ValidString(got) {
			t.Errorf("of %q with the command %q is remembered %q, want %q", c.name, c.command, got, c.want)
		}
	}
}
