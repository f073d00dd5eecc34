package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"limit/backend"
	"limit/wrap"
)

// writeStatus is status for people.
func writeStatus(w io.Writer, s *backend.Snapshot, now time.Time, width int) error {
	if err := limitTable(s, now).write(w, width); err != nil {
		return err
	}
	if len(s.Held) > 0 {
		fmt.Fprintf(w, "\nheld: %d\n", len(s.Held))
		if err := heldTable(s, now).write(w, width); err != nil {
			return err
		}
	}
	if len(s.Waiting) > 0 {
		fmt.Fprintf(w, "\nwaiting: %d\n", len(s.Waiting))
		return waitingTable(s, now).write(w, width)
	}
	return nil
}

func limitTable(s *backend.Snapshot, now time.Time) *table {
	t := &table{right: map[int]bool{1: true, 2: true, 3: true}, shrink: []int{0, 4}}
	t.add("LIMIT", "USED", "OF", "WAITING", "")
	for _, u := range s.Usage {
		t.add(u.Limit, strconv.Itoa(u.Used), capacityText(u.Capacity), strconv.Itoa(u.Waiting),
			remark(u, s.Settings, now))
	}
	return t
}

func capacityText(limit int) string {
	if limit == backend.Unlimited {
		return "-"
	}
	return strconv.Itoa(limit)
}

// remark says what the numbers of a limit do not.
func remark(u backend.Usage, settings backend.Settings, now time.Time) string {
	var remarks []string
	if u.Pause != nil || u.Capacity == 0 {
		remarks = append(remarks, wrap.PauseText(u.Pause, now))
	}
	if u.Kind == backend.KindPool {
		pool, source := settings.Pool(u.Pool)
		if pool.Rate != nil {
			remarks = append(remarks, fmt.Sprintf("rate %s, %d started", pool.Rate, u.Started))
		}
		if source != backend.SourceSet {
			remarks = append(remarks, string(source)+" limit")
		}
	}
	if u.Kind == backend.KindTag && u.Tag.PerValue && u.Tag.Value == nil {
		remarks = append(remarks, "for each value")
	}
	return strings.Join(remarks, ", ")
}

func heldTable(s *backend.Snapshot, now time.Time) *table {
	t := &table{right: map[int]bool{3: true}, shrink: []int{1, 2, 4}, spare: map[int]bool{4: true}}
	t.add("ID", "NAME", "HOLDS", "FOR", "WHO")
	for _, h := range s.Held {
		t.add(short(h.ID), shownName(h.Claim, s.Settings), needsText(h.Claim), wrap.Age(now.Sub(h.Grant.GrantedAt)),
			who(h))
	}
	return t
}

// who names the holder, and what is unusual about it.
func who(h backend.HeldClaim) string {
	text := fmt.Sprintf("%s@%s pid %d", h.User, h.Host, h.PID)
	if h.Orphaned {
		text += " (gone; held by pids " + strings.Trim(fmt.Sprint(h.PIDs), "[]") + ")"
	}
	if h.Asked != "" {
		text += " (asked to stop: " + h.Asked + ")"
	}
	return text
}

func waitingTable(s *backend.Snapshot, now time.Time) *table {
	t := &table{right: map[int]bool{0: true, 4: true}, shrink: []int{2, 3, 5}, spare: map[int]bool{5: true}}
	t.add("#", "ID", "NAME", "ASKS", "FOR", "BLOCKED BY")
	for _, w := range s.Waiting {
		t.add(strconv.Itoa(w.Position), short(w.ID), shownName(w.Claim, s.Settings), needsText(w.Claim),
			wrap.Age(now.Sub(w.QueuedAt)), blocksText(w))
	}
	return t
}

func needsText(c backend.Claim) string {
	text := formatPools(c.Pools)
	switch {
	case text == "" && c.Runs > 0:
		return "run"
	case text == "":
		return "-"
	}
	return text
}

// blocksText is the limits in the way, and the first of those who hold them.
func blocksText(w backend.WaitingClaim) string {
	if w.Aside {
		return "stands aside until its dag or command is ready"
	}
	var parts []string
	for _, b := range w.Blocks {
		part := b.String()
		switch {
		case b.Why != backend.WhyFull:
			part += " " + b.Why
		case len(b.By) == 1:
			part += " by " + short(b.By[0])
		case len(b.By) > 1:
			part += fmt.Sprintf(" by %s +%d", short(b.By[0]), len(b.By)-1)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
