package backend

import (
	"strings"
	"testing"
)

func TestWhatAClaimTellsPeopleIsCutAndMarked(t *testing.T) {
	long := strings.Repeat("é", 600_000)
	for _, command := range [][]string{{"sh", "-c", long}, {long}, {long, "x"}, append([]string{"cp"}, strings.Fields(strings.Repeat("secret ", 100_000))...)} {
		c := Claim{Name: strings.Join(command, " "), Command: command}.Brief()
		if size := len(c.Name) + len(strings.Join(c.Command, " ")); size > 3*maxText {
			t.Errorf("%d bytes are kept of %.9s", size, command)
		}
		if !strings.HasSuffix(c.Name, CutCommand) || c.Command[len(c.Command)-1] != CutCommand || !strings.HasPrefix(command[0], strings.TrimSuffix(c.Command[0], CutCommand)) {
			t.Errorf("%.9s is not marked as cut", command)
		}
		if hidden := (Settings{HideCommands: true}).Conceal(c); strings.Contains(hidden.Name, "secret") {
			t.Errorf("hidden, %.9s tells %.30q", command, hidden.Name)
		}
	}
	short := Claim{Name: "make all", Command: []string{"make", "all"}}
	if c := short.Brief(); c.Name != short.Name || len(c.Command) != 2 {
		t.Errorf("%+v is cut", c)
	}
}
