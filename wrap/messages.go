package wrap

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"limit/backend"
)

// Verbosity says how much is said on standard error.
type Verbosity int

const (
	Quiet   Verbosity = iota - 1 // errors alone
	Normal                       // and what a person must know
	Verbose                      // and every change of state
)

// Messages writes lines to standard error, each starting "limit: ". A broken pipe there is nobody's concern. Its
// methods may be called by several goroutines.
type Messages struct {
	mu    sync.Mutex
	w     io.Writer
	level Verbosity
}

// NewMessages returns Messages to w.
func NewMessages(w io.Writer, level Verbosity) *Messages { return &Messages{w: w, level: level} }

// Error, Info and Debug write a line where the level allows it.
func (m *Messages) Error(format string, args ...any) { m.say(Quiet, format, args) }
func (m *Messages) Info(format string, args ...any)  { m.say(Normal, format, args) }
func (m *Messages) Debug(format string, args ...any) { m.say(Verbose, format, args) }

// Unkillable says that a process is waited for, see process.Command.
func (m *Messages) Unkillable(pid int) {
	m.Error("waiting for process %d, which limit may not signal: the slots are kept until it ends", pid)
}

// Informs reports whether Info writes anything.
func (m *Messages) Informs() bool { return m.level >= Normal }

// Verbose reports whether Debug writes anything.
func (m *Messages) Verbose() bool { return m.level >= Verbose }

func (m *Messages) say(level Verbosity, format string, args []any) {
	if level > m.level {
		return
	}
	text := fmt.Sprintf(format, args...)
	m.mu.Lock()
	defer m.mu.Unlock()
	for line := range strings.SplitSeq(text, "\n") {
		io.WriteString(m.w, "limit: "+Printable(line)+"\n")
	}
}

// Printable returns s with what could steer a terminal, tabs apart, written as an escape: names and commands are other
// people's texts.
func Printable(s string) string {
	clean := func(r rune) bool {
		return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\uFFFD' || r == '\u2028' || r == '\u2029' ||
			isBidi(r)
	}
	if strings.IndexFunc(s, clean) < 0 {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\uFFFD' && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r < 0x80 && clean(r):
			fmt.Fprintf(&b, `\x%02x`, r)
		case clean(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// isBidi tells the characters that make a terminal show text in another order than it is stored.
func isBidi(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c
}

// DescribeBlock says in words what keeps a claim waiting: the limit, and by name who of the parties is in the way.
func DescribeBlock(b backend.Block, parties []backend.Party, now time.Time) string {
	var text string
	switch b.Why {
	case backend.WhyPaused:
		return b.Limit + " (" + PauseText(b.Pause, now) + ")"
	case backend.WhyRate:
		return fmt.Sprintf("%s (rate: %d of %d starts in the period)", b.Limit, b.Used, b.Capacity)
	case backend.WhyBehind:
		text = fmt.Sprintf("%s (%d of %d used, behind an earlier claim)", b.Limit, b.Used, b.Capacity)
	case backend.WhyReserved:
		text = fmt.Sprintf("%s (%d of %d used, the rest is kept for one that waited long)", b.Limit, b.Used, b.Capacity)
	default:
		text = fmt.Sprintf("%s (%d of %d used)", b.Limit, b.Used, b.Capacity)
	}
	if by := describeHolders(b.Holders(), parties, now); by != "" {
		text += " held by " + by
	}
	return text
}

// PauseText says who has paused a limit, when and why; nil where nobody has and the limit is 0.
func PauseText(p *backend.Pause, now time.Time) string {
	if p == nil {
		return "paused: its limit is 0"
	}
	text := fmt.Sprintf("paused %s ago by %s", Age(now.Sub(p.At)), p.By)
	if p.Reason != "" {
		text += ": " + p.Reason
	}
	return text
}

// describeHolders names the holders that are known, and counts the others.
func describeHolders(ids []string, parties []backend.Party, now time.Time) string {
	var names []string
	for _, p := range parties {
		if slices.Contains(ids, p.ID) && len(names) < backend.MaxParties {
			names = append(names, fmt.Sprintf("%s (%s, pid %d, for %s)", Shorten(p.Name, 40), p.Host, p.PID,
				Age(now.Sub(p.Since))))
		}
	}
	if more := len(ids) - len(names); more > 0 && len(names) > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// Shorten cuts a text to so many characters, the last of them an ellipsis.
func Shorten(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}

// Age prints a duration as a person would: 3s, 4m, 2h10m.
func Age(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return backend.ShortDuration(d.Truncate(time.Second))
	default:
		return backend.ShortDuration(d.Truncate(time.Minute))
	}
}
