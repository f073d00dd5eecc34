package dag

import (
	"fmt"
	"strings"
	"testing"

	"limit/wrap"
	"limit/wrap/dag/stepfile"
)

func TestAnEventShowsNoSecretOfPoolsAndTags(t *testing.T) {
	mask, err := NewMask([]stepfile.Secret{{Name: "KEY"}}, func(string) (string, bool) { return "s3cret-value", true })
	if err != nil {
		t.Fatal(err)
	}
	e := mask.event(wrap.Event{Reason: "of s3cret-value", Pools: map[string]int{"p s3cret-value": 2, "q": 1}, Tags: map[string]string{"k": "s3cret-value", "l": "v"}})
	if text := fmt.Sprint(e); strings.Contains(text, "s3cret") || e.Pools["q"] != 1 || e.Pools["p ***"] != 2 || e.Tags["l"] != "v" {
		t.Errorf("the event says %s", text)
	}
}
