package cli

import (
	"fmt"
	"strconv"
	"strings"

	"limit/wrap"
)

// exposition is OpenMetrics text in the making: metric families one after the other, each of one type.
type exposition struct {
	text   strings.Builder
	family string
}

// gauge begins a family. Its header is written even where no value follows.
func (x *exposition) gauge(name, help string) *exposition {
	x.family = name
	fmt.Fprintf(&x.text, "# TYPE %s gauge\n", name)
	if unit := "seconds"; strings.HasSuffix(name, "_"+unit) {
		fmt.Fprintf(&x.text, "# UNIT %s %s\n", name, unit)
	}
	fmt.Fprintf(&x.text, "# HELP %s %s\n", name, escapeLabel(help))
	return x
}

// value adds one sample of the family; labels are name, value, name, value.
func (x *exposition) value(v float64, labels ...string) *exposition {
	x.text.WriteString(x.family)
	for i := 0; i < len(labels); i += 2 {
		fmt.Fprintf(&x.text, "%c%s=\"%s\"", "{,"[min(i, 1)], labels[i], escapeLabel(labels[i+1]))
	}
	if len(labels) > 0 {
		x.text.WriteByte('}')
	}
	x.text.WriteString(" " + strconv.FormatFloat(v, 'f', -1, 64) + "\n")
	return x
}

// end returns the whole.
func (x *exposition) end() string { return x.text.String() + "# EOF\n" }

// escapeLabel writes a text as the format wants it, in UTF-8. What could steer a terminal is replaced: the format has
// no escape for it.
func escapeLabel(s string) string {
	plain := strings.Map(func(r rune) rune {
		if text := string(r); r != '\n' && wrap.Printable(text) != text {
			return '\uFFFD'
		}
		return r
	}, s)
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(plain)
}
