package backend

import (
	"reflect"
	"testing"
)

func TestOfAHiddenCommandTheFirstWordIsTold(t *testing.T) {
	psql := []string{"psql", "-W", "hunter2"}
	for _, c := range []struct {
		hide    bool
		name    string
		command []string
		want    Claim
	}{
		{false, "psql -W hunter2", psql, Claim{Name: "psql -W hunter2", Command: psql}},
		{true, "psql -W hunter2", psql, Claim{Name: "psql"}},
		{true, "nightly load", psql, Claim{Name: "nightly load"}},
		{true, "psql -W hunter2 and more", []string{"psql", "-W", CutCommand}, Claim{Name: "psql"}},
		{true, "psql nightly", []string{"psql", "-W", CutCommand}, Claim{Name: "psql nightly"}},
		{true, CutCommand, []string{CutCommand}, Claim{Name: CutCommand}},
		{true, "a step", nil, Claim{Name: "a step"}},
	} {
		settings := Settings{HideCommands: c.hide}
		if got := settings.Conceal(Claim{Name: c.name, Command: c.command}); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}
