package backendtest

import (
	"encoding/json"
	"strings"

	"limit/backend"
)

// hiding is what a store tells of commands where they are hidden: their arguments may be passwords.
func hiding() []testCase {
	return []testCase{
		{"a hidden command is told by its first word, whenever it entered", hidden},
		{"who is replaced is not told the arguments of who comes", replacedByHidden},
	}
}

const password = "hunter2"

// secret makes a claim that of a command with a password in it, called like its command as limit run does it.
func secret(c *backend.Claim) {
	c.Command = []string{"psql", "-W", password}
	c.Name = strings.Join(c.Command, " ")
}

func (k *kit) hide() {
	k.Helper()
	k.must(k.b.ChangeSettings(k.ctx, func(s *backend.Settings, _ bool) error {
		s.HideCommands = true
		return nil
	}))
}

// tells fails where anything has the password in it.
func (k *kit) tells(what string, v any) {
	k.Helper()
	b, err := json.Marshal(v)
	k.must(err)
	if strings.Contains(string(b), password) {
		k.Fatalf("%s has the password in it: %s", what, b)
	}
}

func hidden(k *kit) {
	before := k.enter(pool("p", 1), secret).holds()
	k.hide()
	after := k.enterWith(k.other, backend.EnterOptions{}, pool("p", 1), secret).waits()
	labelled := k.enter(pool("p", 1), secret, func(c *backend.Claim) { c.Name = "nightly" }).waits()
	s := k.snapshot()
	k.tells("the snapshot", s)
	if s.Held[0].Name != "psql" || s.Waiting[0].Name != "psql" || s.Waiting[1].Name != "nightly" ||
		s.Held[0].Host != "host" {
		k.Fatalf("want psql held, psql and nightly waiting: %+v", s)
	}
	before.release()
	after.holds()
	k.tells("the snapshot after a grant", k.snapshot())
	after.release()
	labelled.holds()
	labelled.release()
	if h, ok := k.b.(backend.Historian); ok {
		pasts, err := h.History(k.ctx)
		k.must(err)
		k.tells("the history", pasts)
	}
}

func replacedByHidden(k *kit) {
	k.hide()
	first := k.enter(pool("p", 1)).holds()
	second := k.enterWith(k.other, backend.EnterOptions{Replace: true}, pool("p", 1), secret)
	event := first.event(backend.Cancelled)
	k.tells("the reason", event)
	if !strings.Contains(event.Reason, "psql") {
		k.Fatalf("replaced for the reason %q, want the first word of the command", event.Reason)
	}
	k.tells("the snapshot", k.snapshot())
	first.release()
	second.holds()
	second.release()
}
