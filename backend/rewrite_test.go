package backend

import "testing"

// ledgered is a document as this version knows it.
type ledgered struct {
	Limit int              `json:"limit"`
	Note  string           `json:"note,omitempty"`
	Pools map[string]Pool  `json:"pools,omitempty"`
	Tags  []TagLimit       `json:"tags,omitempty"`
	Rates map[string]*Rate `json:"rates,omitempty"`
}

func TestAFieldThatIsNotKnownSurvivesARewrite(t *testing.T) {
	acme := "acme"
	for _, c := range []struct {
		name, was string
		next      ledgered
		want      string
	}{
		{"nothing was there", ``, ledgered{Limit: 1}, `{"limit":1}`},
		{"nothing is unknown: the fields stay in their order", `{"note":"x","limit":1}`, ledgered{Limit: 2}, `{"limit":2}`},
		{"at the top", `{"limit":1,"burst":{"a":[1]}}`, ledgered{Limit: 2}, `{"burst":{"a":[1]},"limit":2}`},
		{"a number that no float holds", `{"limit":1,"seq":9007199254740993}`, ledgered{}, `{"limit":0,"seq":9007199254740993}`},
		{"within a pool", `{"limit":1,"pools":{"api":{"limit":4,"burst":3},"db":{"limit":1}}}`,
			ledgered{Pools: map[string]Pool{"api": {Limit: 5}, "db": {Limit: 2}}},
			`{"limit":0,"pools":{"api":{"burst":3,"limit":5},"db":{"limit":2}}}`},
		{"within a pool that is removed", `{"limit":1,"pools":{"api":{"limit":4,"burst":3},"db":{"limit":1}}}`,
			ledgered{Pools: map[string]Pool{"db": {Limit: 2}}}, `{"limit":0,"pools":{"db":{"limit":2}}}`},
		{"what is known and is unset now", `{"limit":1,"note":"x","pools":{"api":{"limit":4,"rate":{"slots":1,"period":2}}}}`,
			ledgered{Pools: map[string]Pool{"api": {Limit: 4}}}, `{"limit":0,"pools":{"api":{"limit":4}}}`},
		{"within an element of a list, whatever its place", `{"limit":1,"tags":[{"key":"a","limit":1,"x":1},{"key":"t","value":"acme","limit":2,"y":2}]}`,
			ledgered{Tags: []TagLimit{{Key: "t", Value: &acme, Limit: 7}, {Key: "t", Limit: 1}}},
			`{"limit":0,"tags":[{"key":"t","limit":7,"value":"acme","y":2},{"key":"t","limit":1}]}`},
		{"a null", `{"limit":1,"rates":null,"later":null}`, ledgered{Rates: map[string]*Rate{"a": nil}}, `{"later":null,"limit":0,"rates":{"a":null}}`},
	} {
		got, err := Rewrite([]byte(c.was), c.next)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v\nwant %s", c.name, got, err, c.want)
		}
	}
}

func TestWhatCannotBeReadIsNotReplaced(t *testing.T) {
	for _, was := range []string{`{`, `{"limit":"many"}`, `[]`} {
		if got, err := Rewrite([]byte(was), ledgered{}); err == nil {
			t.Errorf("%s was replaced by %s", was, got)
		}
	}
}
