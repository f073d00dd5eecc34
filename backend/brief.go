package backend

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxText is how much is kept of what a claim tells people, in bytes: a command line may have a megabyte, and a store
// of a fleet takes one and a half in all.
const maxText = 4 << 10

// Brief cuts what a claim tells people, its name and its command, and marks them as cut.
func (c Claim) Brief() Claim {
	c.Name = BriefText(c.Name)
	size := 0
	for i, word := range c.Command {
		if size += len(word) + 1; size > maxText {
			first := c.Command[:i]
			if i == 0 {
				first = []string{BriefText(word)}
			}
			c.Command = append(slices.Clone(first), CutCommand)
			break
		}
	}
	return c
}

// BriefText cuts a text that is longer than 4 KiB, at a whole character.
func BriefText(text string) string {
	if len(text) <= maxText {
		return text
	}
	at := maxText
	for at > 0 && !utf8.RuneStart(text[at]) {
		at--
	}
	return strings.Clone(text[:at]) + CutCommand
}
