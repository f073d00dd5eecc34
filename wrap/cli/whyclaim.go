package cli

import (
	"fmt"
	"io"
	"slices"
	"time"

	"limit/backend"
	"limit/wrap"
)

// writeWhy explains one claim.
func writeWhy(w io.Writer, s *backend.Snapshot, id string, now time.Time) error {
	for _, h := range s.Held {
		if h.ID == id {
			return writeLine(w, "%s %s does not wait: it holds %s for %s, as %s", short(id),
				shownName(h.Claim, s.Settings), needsText(h.Claim), wrap.Age(now.Sub(h.Grant.GrantedAt)), who(h))
		}
	}
	for _, c := range s.Waiting {
		if c.ID != id {
			continue
		}
		writeLine(w, "%s %s waits for %s, position %d, priority %d, asks %s", short(id),
			shownName(c.Claim, s.Settings), wrap.Age(now.Sub(c.QueuedAt)), c.Position, c.Priority, needsText(c.Claim))
		if c.Aside {
			fmt.Fprintln(w, "  it stands aside: its dag has no executor slot for it, or its command is to be run "+
				"again later")
		}
		if len(c.Blocks) == 0 && !c.Aside {
			fmt.Fprintln(w, "  nothing blocks it: it is about to be granted")
		}
		for _, b := range c.Blocks {
			writeBlock(w, s, b, now)
		}
		if circle := s.Circle(); slices.ContainsFunc(circle, func(b backend.Bind) bool { return b.Waiter == id }) {
			fmt.Fprintln(w, "  claims wait for each other for ever; cancel one of them, or raise a limit:")
			for _, b := range circle {
				writeLine(w, "    %s", describeBind(b, s))
			}
		}
		return nil
	}
	return &backend.NotFoundError{ID: id}
}

// writeLine writes a line in which other people's texts may be.
func writeLine(w io.Writer, format string, args ...any) error {
	_, err := io.WriteString(w, wrap.Printable(fmt.Sprintf(format, args...))+"\n")
	return err
}

func writeBlock(w io.Writer, s *backend.Snapshot, b backend.Block, now time.Time) {
	fmt.Fprintf(w, "  %s\n", wrap.BlockLine(b, now))
	t := &table{}
	for _, id := range b.By {
		t.add("   ", short(id), describeClaim(s, id, now))
	}
	t.write(w, 0)
}

// describeBind is a link of a circle, with names.
func describeBind(b backend.Bind, s *backend.Snapshot) string {
	name := func(id string) string {
		for _, c := range s.Claims() {
			if c.ID == id {
				return short(id) + " " + shownName(c, s.Settings)
			}
		}
		return short(id)
	}
	return fmt.Sprintf("%s holds %d of %s until %s within it is granted %s", name(b.Holder), b.Slots, b.Limit,
		name(b.Waiter), b.For)
}

func describeClaim(s *backend.Snapshot, id string, now time.Time) string {
	for _, h := range s.Held {
		if h.ID == id {
			return fmt.Sprintf("%s holds %s for %s, %s", shownName(h.Claim, s.Settings), needsText(h.Claim),
				wrap.Age(now.Sub(h.Grant.GrantedAt)), who(h))
		}
	}
	for _, w := range s.Waiting {
		if w.ID == id {
			return fmt.Sprintf("%s waits for %s for %s", shownName(w.Claim, s.Settings), needsText(w.Claim),
				wrap.Age(now.Sub(w.QueuedAt)))
		}
	}
	return "gone meanwhile"
}
