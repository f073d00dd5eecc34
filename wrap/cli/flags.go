package cli

import (
	"slices"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/config/grammar"
	"limit/config/yamlread"
	"limit/wrap"
)

// closest returns the candidate that a word was probably meant to be, or "".
func closest(word string, candidates []string) string { return yamlread.Closest(word, candidates) }

// commonFlags are those of every command. They are made anew for each: the library keeps state in them.
func commonFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "config", Usage: "read settings from `FILE`", Category: "Store"},
		&cli.StringFlag{Name: "backend",
			Usage: "where claims and limits live: `local | local:DIR | etcd://H1:2379,H2:2379`", Category: "Store"},
		&cli.StringFlag{Name: "agent", Usage: "`PATH` of the agent's socket to use on etcd, or none",
			Category: "Store"},
		&cli.StringFlag{Name: "namespace", Usage: "`NAME` of the deployment within the store", Category: "Store"},
		durationFlag("connect-timeout", defaultConnectTimeout, "how long the store may take to answer", "Store"),
		&cli.BoolFlag{Name: "q", Usage: "say nothing but errors", Category: "Messages"},
		&cli.BoolFlag{Name: "v", Usage: "say every change of state", Category: "Messages"},
		&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show this", Category: "Messages"},
	}
}

// defaultConnectTimeout is how long a store may take to answer at first.
const defaultConnectTimeout = 10 * time.Second

// text returns the value of a flag wherever it was given: before the command or after it.
func text(c *cli.Context, name string) string {
	if at := whereSet(c, name); at != nil {
		return at.String(name)
	}
	return ""
}

// whereSet returns the context in which a flag was given, the innermost of several, or nil.
func whereSet(c *cli.Context, name string) *cli.Context {
	for _, at := range c.Lineage() {
		if at.Command != nil && at.IsSet(name) && at.NumFlags() > 0 && slices.Contains(at.LocalFlagNames(), name) {
			return at
		}
	}
	return nil
}

// isOn returns the value of a switch wherever it was given: -q=false is off.
func isOn(c *cli.Context, name string) bool {
	at := whereSet(c, name)
	return at != nil && at.Bool(name)
}

// checkLoudness refuses -q with -v.
func checkLoudness(c *cli.Context) error {
	if isOn(c, "q") && isOn(c, "v") {
		return usageError(c, "-q is to say less and -v to say more; leave one of the two out")
	}
	return nil
}

// messages returns where a command says what it does, as loud as -q and -v ask for.
func (p *program) messages(c *cli.Context) *wrap.Messages {
	level := wrap.Normal
	switch {
	case isOn(c, "q"):
		level = wrap.Quiet
	case isOn(c, "v"):
		level = wrap.Verbose
	}
	return wrap.NewMessages(p.Err, level)
}

// number is a flag's value in decimal, as files and operands have it: the library would read 010 as 8.
type number int

func numberFlag(name string, value int, usage, category string) *cli.GenericFlag {
	n := number(value)
	return &cli.GenericFlag{Name: name, Usage: usage, Category: category, Value: &n}
}

// Set implements flag.Value.
func (n *number) Set(s string) error {
	value, err := grammar.Number(s)
	if err != nil {
		return err
	}
	*n = number(value)
	return nil
}

// String is the number as help shows it: none, where it is 0.
func (n *number) String() string {
	if *n == 0 {
		return ""
	}
	return strconv.Itoa(int(*n))
}

// numberOf returns the value of a number flag.
func numberOf(c *cli.Context, name string) int {
	if n, ok := c.Generic(name).(*number); ok {
		return int(*n)
	}
	return 0
}

// duration is a flag's value as timeout(1) reads it, and as Go does: 10 (seconds), 1.5m, 2d, 1h30m.
type duration struct {
	value time.Duration
	set   bool
}

func durationFlag(name string, value time.Duration, usage, category string) *cli.GenericFlag {
	return &cli.GenericFlag{Name: name, Usage: "`DURATION`: " + usage, Category: category,
		Value: &duration{value: value}}
}

// Set implements flag.Value.
func (d *duration) Set(s string) error {
	value, err := grammar.Duration(s)
	if err != nil {
		return err
	}
	d.value, d.set = value, true
	return nil
}

// String is the duration as help shows it: none, where it is 0.
func (d *duration) String() string {
	if d.value == 0 {
		return ""
	}
	return backend.ShortDuration(d.value)
}

// durationOf returns the value of a duration flag, wherever it was given, and whether it was.
func durationOf(c *cli.Context, name string) (value time.Duration, set bool) {
	for _, at := range c.Lineage() {
		if d, ok := at.Generic(name).(*duration); ok && d.set {
			return d.value, true
		}
	}
	if d, ok := c.Generic(name).(*duration); ok {
		return d.value, false
	}
	return 0, false
}
