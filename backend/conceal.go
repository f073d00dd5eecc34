package backend

import "strings"

// Conceal returns what of a claim others are told where commands are hidden: not its command, whose arguments may be
// passwords, and for the name of one that has none of its own the first word alone. Stores keep no more of it either.
func (s Settings) Conceal(c Claim) Claim {
	if !s.HideCommands || len(c.Command) == 0 {
		return c
	}
	c.Name, c.Command = concealedName(&c), nil
	return c
}

// Conceal does so for all claims: those that entered before commands were hidden are in the store with them.
func (s *Snapshot) Conceal() {
	for i := range s.Held {
		s.Held[i].Claim = s.Settings.Conceal(s.Held[i].Claim)
	}
	for i := range s.Waiting {
		s.Waiting[i].Claim = s.Settings.Conceal(s.Waiting[i].Claim)
	}
}

// concealedName is the claim's label, or the first word of its command where that is its name. A store may have cut the
// command short.
func concealedName(c *Claim) string {
	command := c.Command
	if last := len(command) - 1; last > 0 && command[last] == CutCommand {
		command = command[:last]
	}
	if name := strings.Join(command, " "); c.Name == name || len(command) < len(c.Command) &&
		strings.HasPrefix(c.Name, name+" ") {
		return command[0]
	}
	return c.Name
}

// CutCommand is the last word of a command of which a store does not keep the rest.
const CutCommand = "…"
