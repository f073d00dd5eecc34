package dag

import (
	"strings"
	"testing"

	"limit/wrap"
)

func TestAStoreThatDoesNotAnswerIsToldOfOnce(t *testing.T) {
	const silent, again = "limit: the store does not answer (disk full); steps wait on for their pools", "limit: the store answers again"
	for name, c := range map[string]struct{ news, says string }{
		"one claim":                 {"a- a+", silent + "," + again},
		"two claims":                {"a- b- a+ b+", silent + "," + again},
		"twice":                     {"a- a+ b- b+", silent + "," + again + "," + silent + "," + again},
		"a claim that ends":         {"a- b- a. b+", silent + "," + again},
		"all claims end":            {"a- a. b- b+", silent + "," + silent + "," + again},
		"the run tells":             {"r- a- b- r+ a+ b+", ""},
		"the run tells, later":      {"a- r- a+ r+", silent},
		"the run tells, and longer": {"r- a- a+ r+ b- b+", silent + "," + again},
		"nothing":                   {"a+ b. r+", ""},
	} {
		var said strings.Builder
		o := &outage{messages: wrap.NewMessages(&said, wrap.Normal), claims: map[*claim]struct{}{}}
		claims := map[byte]*claim{'a': {}, 'b': {}}
		for _, n := range strings.Fields(c.news) {
			news := wrap.News{Kind: map[byte]wrap.NewsKind{'-': wrap.Unreachable, '+': wrap.Reachable, '.': wrap.Over}[n[1]], Reason: "disk full"}
			if n[0] == 'r' {
				o.hearRun(news)
			} else {
				o.hear(claims[n[0]], news)
			}
		}
		if got := strings.ReplaceAll(strings.TrimSuffix(said.String(), "\n"), "\n", ","); got != c.says {
			t.Errorf("%s: it says %q, not %q", name, got, c.says)
		}
	}
}
