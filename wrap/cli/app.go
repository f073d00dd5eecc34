// Package cli is what a user types: the verbs, one file each, their flags and their help.
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/hashicorp/go-multierror"
	"github.com/urfave/cli/v2"

	"limit/wrap"
	"limit/wrap/process"
)

// Streams are the standard streams of the program.
type Streams struct {
	In       *os.File
	Out, Err io.Writer
}

// program is one invocation of limit.
type program struct {
	Streams
	args       []string            // as typed, with the name of the program
	env        []string            // as this process was given it
	supervisor *process.Supervisor // of the verbs that run commands
	outlet     *wrap.Outlet        // what Err writes to, after queueMessages
	unheard    chan syscall.Signal // by which limit ends, whatever its verb does
	loud       func()              // undoes process.Quieten
}

// Main runs limit with its arguments, args[0] being its name, and returns the code to exit with. Where the
// command died of a signal, so does this process, and Main does not return.
func Main(args []string, streams Streams) int {
	if firstWord(args) == process.ExecVerb {
		return process.ExecMain(args)
	}
	// its goroutines take turns: to wake threads for them would take longer than what they do
	if first := firstWord(args); first == "run" || first == "hold" {
		runtime.GOMAXPROCS(1)
	}
	streams.Out = process.Output(streams.Out)
	p := &program{Streams: streams, args: args, env: process.Environ(), unheard: make(chan syscall.Signal, 1)}
	if err := process.Preflight(); err != nil {
		p.complain(err)
		return wrap.CodeFailed
	}
	// The kernel gives a signal to the first thread: it is kept out of the calls that may hang.
	runtime.LockOSThread()
	if err := p.quieten(); err != nil {
		p.complain(err)
		return wrap.CodeFailed
	}
	ended := make(chan wrap.Exit, 1)
	go func() { ended <- p.perform(args) }()
	var exit wrap.Exit
	select {
	case exit = <-ended:
	case exit.Signal = <-p.unheard: // no verb's supervisor takes it, or the verb hangs in a call that nothing ends
	}
	if exit.Signal != 0 {
		return process.DieOf(exit.Signal)
	}
	return exit.Code
}

// perform does what the arguments say, and tells what went wrong.
func (p *program) perform(args []string) wrap.Exit {
	exit, err := exitOr(p.call(p.app(firstWord(args)), args), 0)
	if err != nil {
		p.complain(err)
	}
	if p.outlet != nil {
		p.outlet.Close(exit.Patience(), nil)
	}
	if p.supervisor != nil {
		p.supervisor.ReapHelpers()
	}
	return exit
}

// quieten lets signals that no supervisor takes end limit without a traceback. limit run, whose supervisor is there
// from its beginning, does without.
func (p *program) quieten() (err error) {
	p.loud = func() {}
	if firstWord(p.args) != "run" {
		p.loud, err = process.Quieten(p.unheard)
	}
	return err
}

// supervise makes the supervisor of a verb that runs commands.
func (p *program) supervise() (_ *process.Supervisor, err error) {
	p.loud()
	if p.supervisor, err = process.NewSupervisor(p.unheard); err != nil {
		return nil, err
	}
	return p.supervisor, nil
}

// queueMessages lets what is written to Err from now on wait for a reader that does not read, so that nothing else
// does. It returns what Err was.
func (p *program) queueMessages() io.Writer {
	stderr := p.Err
	p.outlet = wrap.NewOutlet(stderr)
	p.Err = p.outlet.Prompt()
	return stderr
}

func firstWord(args []string) string {
	if len(args) < 2 {
		return ""
	}
	return args[1]
}

// call runs the command that the arguments name, or shows its help.
func (p *program) call(app *cli.App, args []string) error {
	c, err := directly(app, args)
	if c != nil && err == nil && !c.Bool("help") && !c.Bool("h") {
		return c.Command.Action(c)
	}
	if words, asked := helpAsked(app, args); asked {
		return p.showHelp(app, words)
	}
	if err != nil {
		return err
	}
	return app.Run(permute(app, args))
}

// directly reads the flags of limit run with package flag alone: the library's ways to a command, which many flags and
// operands may lead to, take a large part of the time before the command of the user starts. c is nil for every other
// call.
func directly(app *cli.App, args []string) (c *cli.Context, err error) {
	if firstWord(args) != "run" {
		return nil, nil
	}
	command := app.Commands[0]
	set := flag.NewFlagSet("run", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range command.Flags {
		if err := f.Apply(set); err != nil {
			return nil, err
		}
	}
	c = cli.NewContext(app, set, nil)
	c.Command, command.HelpName = command, "limit run"
	if err := set.Parse(args[2:]); err != nil {
		return c, onUsageError(c, err, true)
	}
	return c, checkLoudness(c)
}

// complain writes an error to standard error; several at once one after the other.
func (p *program) complain(err error) {
	messages := wrap.NewMessages(p.Err, wrap.Quiet)
	var several *multierror.Error
	if !errors.As(err, &several) {
		messages.Error("%v", err)
		return
	}
	for _, one := range several.Errors {
		messages.Error("%v", one)
	}
}

// exitError ends limit in a given way; err, where there is one, is to be told first.
type exitError struct {
	exit wrap.Exit
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.exit.Code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// exitOr is the end of limit by a signal, or as err has it, and what is to be told of err.
func exitOr(err error, sig syscall.Signal) (wrap.Exit, error) {
	var end *exitError
	switch {
	case sig != 0:
		return wrap.Exit{Signal: sig}, nil
	case err == nil:
		return wrap.Exit{}, nil
	case errors.As(err, &end):
		return end.exit, end.err
	}
	return wrap.Exit{Code: wrap.CodeFailed}, err
}

// exitWith ends limit with a code and says nothing.
func exitWith(code int) error { return &exitError{exit: wrap.Exit{Code: code}} }

// failWith ends limit with a code after telling err.
func failWith(code int, err error) error { return &exitError{exit: wrap.Exit{Code: code}, err: err} }

// usageError is a call whose words are off.
func usageError(c *cli.Context, format string, args ...any) error {
	name := "limit"
	if c.Command != nil && c.Command.HelpName != "" {
		name = c.Command.HelpName
	}
	return failWith(usageCode(name), fmt.Errorf("%s; see '%s --help'", fmt.Sprintf(format, args...), name))
}

// usageCode is 2 for the verbs of dag, as make has it, whose 125 would hide a failing step's code; 125 elsewhere.
func usageCode(name string) int {
	if strings.HasPrefix(name, "limit dag") {
		return 2
	}
	return wrap.CodeFailed
}

// commands are all there are; where the first word of a call is run, that one alone: the start of limit run is to pay
// for no other.
func (p *program) commands(first string) []*cli.Command {
	if first == "run" {
		return []*cli.Command{p.runCommand()}
	}
	return []*cli.Command{
		p.runCommand(), p.holdCommand(), p.releaseCommand(), p.dagCommand(),
		p.statusCommand(), p.whyCommand(), p.statsCommand(), p.historyCommand(), p.simulateCommand(),
		p.metricsCommand(), p.serveCommand(), p.agentCommand(), p.cancelCommand(), p.bumpCommand(), p.waitCommand(),
		p.poolCommand(), p.queueCommand(), p.applyCommand(), p.diffCommand(), p.configCommand(), p.initCommand(),
		p.namespacesCommand(),
		p.doctorCommand(), p.completionCommand(), p.versionCommand(), p.helpCommand(), p.keeperCommand(),
		p.fenceCommand(), p.completeCommand(),
	}
}

// app describes the whole command line, for a call with that first word.
func (p *program) app(first string) *cli.App {
	app := &cli.App{
		Name:                      "limit",
		HelpName:                  "limit",
		Usage:                     "concurrency limits in front of any command",
		UsageText:                 "limit run --pool NAME -- CMD [ARG...]\nlimit dag run FILE\nlimit status",
		Description:               aboutText,
		Writer:                    p.Out,
		ErrWriter:                 p.Err,
		HideVersion:               true,
		HideHelp:                  true,
		HideHelpCommand:           true,
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {},
		Flags:                     named(append(commonFlags(), versionFlag())),
		Commands:                  p.commands(first),
		Action:                    p.noCommand,
	}
	app.OnUsageError = onUsageError
	prepare(app.Commands)
	return app
}

// prepare gives every command what the library wants to be told of each.
func prepare(commands []*cli.Command) {
	for _, c := range commands {
		c.HideHelpCommand, c.HideHelp = true, true
		c.OnUsageError = onUsageError
		if len(c.Subcommands) == 0 {
			c.Flags, c.Before = named(append(c.Flags, commonFlags()...)), checkLoudness
			continue
		}
		prepare(c.Subcommands)
		if c.Action == nil {
			c.Action = noSubcommand
		}
	}
}

func onUsageError(c *cli.Context, err error, _ bool) error {
	text := plainFlagError(err.Error())
	if name, ok := strings.CutPrefix(text, "there is no flag --"); ok && c.Command != nil {
		var names []string
		for _, f := range append(c.Command.Flags, commonFlags()...) {
			names = append(names, f.Names()[0])
		}
		if close := closest(name, names); close != "" {
			text += "; did you mean " + dashes(close) + "?"
		}
	}
	return usageError(c, "%s", text)
}

// plainFlagError turns the words of package flag into those of this program.
func plainFlagError(text string) string {
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		return "there is no flag " + dashes(name)
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return "flag " + dashes(strings.TrimPrefix(name, "-")) + " needs a value"
	}
	if rest, ok := strings.CutPrefix(text, "invalid value "); ok {
		if value, rest, ok := strings.Cut(rest, " for flag -"); ok {
			name, why, _ := strings.Cut(rest, ": ")
			return fmt.Sprintf("flag %s: %s is %s", dashes(name), value, plainParseError(why))
		}
	}
	return text
}

func plainParseError(why string) string {
	switch why {
	case "parse error":
		return "not a number"
	case "value out of range":
		return "out of range"
	}
	return why
}

func dashes(name string) string {
	name = strings.TrimLeft(name, "-")
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// noCommand answers limit without a command, or with one that does not exist.
func (p *program) noCommand(c *cli.Context) error {
	if c.Bool("version") {
		return p.showVersion()
	}
	if c.NArg() == 0 {
		p.writeHelp(p.Err, c.App, nil, "limit")
		return exitWith(wrap.CodeFailed)
	}
	return unknown(c, c.App.Commands)
}

func noSubcommand(c *cli.Context) error {
	if c.NArg() == 0 {
		return usageError(c, "which one? %s", strings.Join(commandNames(c.Command.Subcommands), ", "))
	}
	return unknown(c, c.Command.Subcommands)
}

func unknown(c *cli.Context, commands []*cli.Command) error {
	return usageError(c, "%s", noCommandNamed(c.Args().First(), commands))
}

// noCommandNamed says so, and which was probably meant.
func noCommandNamed(typed string, commands []*cli.Command) string {
	text := fmt.Sprintf("there is no command %q", typed)
	var elsewhere []string
	for _, c := range commands {
		if below := find(c.Subcommands, typed); below != nil {
			elsewhere = append(elsewhere, fmt.Sprintf("'limit %s %s'", c.Name, below.Name))
		}
	}
	if len(elsewhere) > 0 {
		return text + "; did you mean " + strings.Join(elsewhere, " or ") + "?"
	}
	if close := closest(typed, commandNames(commands)); close != "" {
		text += "; did you mean " + close + "?"
	}
	return text
}

func commandNames(commands []*cli.Command) []string {
	var names []string
	for _, c := range commands {
		if !c.Hidden {
			names = append(names, c.Name)
		}
	}
	return names
}
