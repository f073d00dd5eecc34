package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"syscall"

	"limit/wrap"
)

// clean is a name as it can be shown.
func clean(s string) string { return wrap.Printable(s) }

func signalName(sig int) string {
	if name := unix.SignalName(syscall.Signal(sig)); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", sig)
}

// short is a duration for people: 0.12s, 3.4s, 1m05s, 2h03m.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%.0fms", float64(d)/1e6)
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d.Round(time.Second) < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d.Round(time.Second) < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// paint pads a word and gives it its colour.
func (c *Console) paint(word string) string {
	padded := fmt.Sprintf("%-7s", word)
	if !c.Color {
		return padded
	}
	colour := map[string]string{"ok": "32", "FAILED": "1;31", "failed": "33", "retry": "33", "skip": "2",
		"not run": "2", "done": "2"}[word]
	return "\x1b[" + colour + "m" + padded + "\x1b[0m"
}

func (c *Console) dim(s string) string { return c.dimText(s) }

func (c *Console) dimText(s string) string {
	if !c.Color || s == "" {
		return s
	}
	return "\x1b[2m" + s + "\x1b[0m"
}

// safe is a step's output as the Out can bear it: as it is, but on a terminal without what could move the cursor,
// change its modes or its title. Colours stay; of a line that was written over with carriage returns, each version is a
// line.
func (c *Console) safe(p []byte) string {
	if c.Progress != Terminal {
		return string(p)
	}
	var b strings.Builder
	b.Grow(len(p))
	for i := 0; i < len(p); {
		switch ch := p[i]; {
		case ch == '\r' && i+1 < len(p) && p[i+1] == '\n':
			i++
		case ch == '\r':
			b.WriteByte('\n')
			i++
		case ch == '\n', ch == '\t':
			b.WriteByte(ch)
			i++
		case ch == 0x1b:
			n, keep := escapeLength(p[i:])
			if keep {
				b.Write(p[i : i+n])
			}
			i += n
		case ch < ' ' || ch == 0x7f:
			fmt.Fprintf(&b, "\\x%02x", ch)
			i++
		case ch < utf8.RuneSelf:
			b.WriteByte(ch)
			i++
		default:
			r, n := utf8.DecodeRune(p[i:])
			if r == utf8.RuneError && n == 1 {
				fmt.Fprintf(&b, "\\x%02x", ch)
			} else {
				b.WriteString(wrap.Printable(string(r)))
			}
			i += n
		}
	}
	return b.String()
}

// escapeLength is how long the escape sequence at the start of p is, and whether it only sets colours.
func escapeLength(p []byte) (n int, keep bool) {
	if len(p) < 2 || p[1] != '[' {
		return min(len(p), 2), false
	}
	for i := 2; i < len(p); i++ {
		switch ch := p[i]; {
		case ch == 'm':
			return i + 1, true
		case ch >= '0' && ch <= '9', ch == ';', ch == ':', ch == '?':
		default:
			return i + 1, false
		}
	}
	return len(p), false
}

// pad fills a name up to a width in cells.
func pad(s string, width int) string {
	s = wrap.CutMiddle(s, width)
	return s + strings.Repeat(" ", max(0, width-wrap.Cells(s)))
}
