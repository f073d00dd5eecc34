package cli

import (
	"limit/config/grammar"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzCommandLines brings flags before operands: no word is lost or made up, operands keep their order, and once is
// enough.
func FuzzCommandLines(f *testing.F) {
	for _, line := range []string{"pool set api 4 --rate 10/1m", "dag run -j4 x.yaml --dry-run -- a", "run --pool x -- help -x", "--config x status --json p", "bump id -5", "dag run -j", "-v", "pool -- set", "dag run --log-dir"} {
		f.Add(strings.ReplaceAll(line, " ", "\x00"))
	}
	app := (&program{}).app("")
	f.Fuzz(func(t *testing.T, line string) {
		args := append([]string{"limit"}, strings.Split(line, "\x00")...)
		got := permute(app, args)
		if again := permute(app, got); !slices.Equal(again, got) {
			t.Errorf("%q becomes %q, and that %q", args, got, again)
		}
		last := got[len(got)-1]
		if last == args[len(args)-1] && isFlag(last, app.Flags) && last != "--" {
			return // a flag without its value: the library is to say so, and to see nothing else
		}
		if had, has := sorted(args), sorted(got); had != has {
			t.Errorf("%q becomes %q: other words", args, got)
		}
		helpAsked(app, args)
	})
}

// sorted is the letters of all words in order, without those that -j4 and -- are written with.
func sorted(words []string) string {
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w == "--" })
	letters := []byte(strings.ReplaceAll(strings.Join(words, ""), "-", ""))
	slices.Sort(letters)
	return string(letters)
}

func FuzzDurations(f *testing.F) {
	for _, s := range []string{"10", "90s", "1h30m", "2d", "1e3", "-1", "inf", "NaN", "0x1p3", "1e400d", "", "9223372036", "1_0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := grammar.Duration(s)
		if err != nil {
			return
		}
		if d < 0 || d >= 1<<62 {
			t.Errorf("%q is %d", s, d)
		}
		if again, err := grammar.Duration(d.String()); err != nil || again != d {
			t.Errorf("%q is %s, which is %s, %v", s, d, again, err)
		}
		if brief(seconds(d)) == "" || d > time.Hour && len(d.String()) == 0 {
			t.Errorf("%q has no text", s)
		}
	})
}
