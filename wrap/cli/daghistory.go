package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"limit/config"
	"limit/wrap"
	"limit/wrap/dag"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/report"
)

func absolutePath(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return absolute
}

func (p *program) dagRetryCommand() *cli.Command {
	return &cli.Command{
		Name:      "retry",
		Usage:     "go on with a run from what failed",
		UsageText: "limit dag retry [flags] [RUN | FILE]",
		Description: `Runs again what failed, was not run, or had not ended when the run was killed, and
everything that needs it. RUN is the
beginning of a run's id; FILE means its latest run, and nothing the latest run of a step file of this directory. What
the run was given is kept: parameters, selection, --tag, --priority, -j, --fail-mode, namespace and store; flags
stand in place of it, but for another store or namespace, which is refused.

A step file that has changed since is refused. A run that was retried already is not retried again: the retry
goes on with
what did that, and is refused where it succeeded or still runs. Steps of the run that outlived it are waited for, for
as long as --wait says. --force does it all the same.

EXIT STATUS: that of 'limit dag run'; 0 where there is nothing to retry; 75 steps of the run still live after --wait.`,
		Flags: append(dagRunFlags(), &cli.BoolFlag{Name: "force",
			Usage: "though the file has changed, steps of the run still run, or it was retried", Category: "Steps"}),
		Action: p.dagRetry,
	}
}

func (p *program) dagRetry(c *cli.Context) error {
	if c.NArg() > 1 {
		return usageError(c, "one run at most")
	}
	e, err := p.findRun(c, c.Args().First())
	if err != nil {
		return err
	}
	e, guard, err := p.guard(c, e)
	if err != nil {
		return err
	}
	defer guard.Close()
	if !e.Finished && !c.Bool("force") {
		if e, err = p.waitForRun(c, e); err != nil {
			return err
		}
	}
	if e.Finished && e.Code == 0 {
		p.messages(c).Info("run %s has succeeded: there is nothing to retry", short(e.ID))
		return nil
	}
	if err := p.keepGiven(c, e); err != nil {
		return err
	}
	mask, _, err := p.maskOf(e.StepFile())
	if err != nil {
		return err
	}
	for key, value := range e.Given.Tags {
		e.Given.Tags[key] = mask.Unseal(value)
	}
	params := map[string]string{}
	for name, value := range e.Sealed {
		params[name] = mask.Unseal(value)
	}
	f, err := p.readSteps(c, e.File, params)
	if err != nil {
		return err
	}
	if journal.Hash(f.Source) != e.Hash && !c.Bool("force") {
		return failWith(dag.CodeUsage, fmt.Errorf("%s has changed since run %s; run it anew, or retry with --force",
			e.File, short(e.ID)))
	}
	d := &dagRun{p: p, c: c, file: f, params: params, earlier: e, guard: guard}
	if e.Selected != nil {
		d.options.Selected = d.selected(mask)
	}
	return d.run()
}

// selected are the steps that the earlier run had selected.
func (d *dagRun) selected(mask *dag.Mask) []bool {
	now := journal.NewRun(d.file)
	mask.Hide(now)
	selected := make([]bool, len(now.Steps))
	for i, s := range now.Steps {
		selected[i] = slices.Contains(d.earlier.Selected, s.ID)
	}
	return selected
}

// guard keeps others from retrying a run, and follows it to the run that has retried it last.
func (p *program) guard(c *cli.Context, e *journal.Entry) (*journal.Entry, *journal.Guard, error) {
	for {
		guard, by, err := e.Guard()
		switch {
		case errors.Is(err, journal.ErrRetried) && c.Bool("force"):
			return e, nil, nil
		case errors.Is(err, journal.ErrRetried):
			return nil, nil, failWith(dag.CodeUsage,
				fmt.Errorf("run %s is being retried%s; --force retries it beside that", short(e.ID), as(by)))
		case err != nil:
			return nil, nil, err
		case by == "" || c.Bool("force"):
			return e, guard, nil
		}
		guard.Close()
		next, err := journal.Find(filepath.Dir(e.Dir), by)
		if err != nil || next.Finished && next.Code == 0 {
			return nil, nil, failWith(dag.CodeUsage,
				fmt.Errorf("run %s was retried%s, which %s; --force retries it again",
					short(e.ID), as(by), map[bool]string{true: "succeeded", false: "is not kept any more"}[err == nil]))
		}
		p.messages(c).Info("run %s was retried%s: going on with that", short(e.ID), as(by))
		e = next
	}
}

func as(id string) string {
	if id == "" {
		return ""
	}
	return " as " + short(id)
}

// waitForRun waits for those steps of a run that outlived it, and reads it again.
func (p *program) waitForRun(c *cli.Context, e *journal.Entry) (*journal.Entry, error) {
	ctx, cancel := p.untilInterrupted(c.Context)
	defer cancel()
	if wait, set := durationOf(c, "wait"); set {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, wait)
		defer stop()
	}
	who, told := "a process that cannot be looked at", false
	err := e.WaitForSteps(ctx, func(left []journal.Survivor) {
		if len(left) > 0 {
			names := make([]string, len(left))
			for i, s := range left {
				names[i] = s.String()
			}
			who = strings.Join(names, ", ")
		}
		if !told {
			p.messages(c).Info("of run %s still live: %s; waiting for the end (--force does not)", short(e.ID), who)
		}
		told = true
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, failWith(wrap.CodeBusy,
			fmt.Errorf("of run %s still live: %s; end them, or retry with --force", short(e.ID), who))
	case errors.Is(err, context.Canceled):
		return nil, exitWith(130)
	case err != nil:
		return nil, err
	}
	return journal.Load(e.Dir)
}

// keepGiven gives the flags that were not given now the values that the run had. Another store or namespace is refused:
// its pools are others, and its slots would be taken beside those that the run's steps had.
func (p *program) keepGiven(c *cli.Context, e *journal.Entry) error {
	cfg, err := p.configuration(c, "")
	if err != nil {
		return err
	}
	g := e.Given
	for _, k := range []struct{ name, was, is string }{{"backend", g.Backend, cfg.Backend.String()},
		{"namespace", g.Namespace, cfg.Namespace}} {
		switch from := cfg.From(k.name); {
		case k.was == "" || k.was == k.is:
		case from == config.FromDefault:
			if err := c.Set(k.name, k.was); err != nil {
				return err
			}
		default:
			return failWith(dag.CodeUsage,
				fmt.Errorf("run %s was in %s %s, and %s says %s, whose pools are others; retry it there, or run the "+
					"file anew",
					short(e.ID), k.name, k.was, from, k.is))
		}
	}
	set := map[string]string{}
	if g.Slots > 0 {
		set["j"] = strconv.Itoa(g.Slots)
	}
	if g.Priority != nil {
		set["priority"] = strconv.Itoa(int(*g.Priority))
	}
	if g.Failures > 0 {
		set["max-failures"] = strconv.Itoa(g.Failures)
	}
	if g.FailMode != "" {
		set["fail-mode"] = g.FailMode
	}
	for name, value := range set {
		if !c.IsSet(name) {
			err = errors.Join(err, c.Set(name, value))
		}
	}
	return err
}

func (p *program) dagListCommand() *cli.Command {
	return &cli.Command{
		Name:        "list",
		Usage:       "list earlier and running dags, the latest first",
		UsageText:   "limit dag list [flags]",
		Description: "EXIT STATUS: 0; 2 usage; 125 limit itself failed.",
		Flags: []cli.Flag{logDirFlag(),
			&cli.StringFlag{Name: "name", Usage: "only runs of dags called `NAME`"},
			&cli.StringFlag{Name: "state", Usage: "only those that are `" + strings.Join(journal.States(), "|") + "`"},
			durationFlag("since", 0, "only those that started so long ago at most", ""),
			&cli.BoolFlag{Name: "json", Usage: "as a JSON array; durations in seconds"}},
		Action: p.dagList,
	}
}

func (p *program) dagList(c *cli.Context) error {
	if c.NArg() > 0 {
		return usageError(c, "list takes no operands")
	}
	if state := c.String("state"); c.IsSet("state") && !slices.Contains(journal.States(), state) {
		return usageError(c, "flag --state: %q is none of %s", state, strings.Join(journal.States(), ", "))
	}
	root, err := p.runsDir(c)
	if err != nil {
		return err
	}
	runs, err := journal.List(root)
	if err != nil {
		return err
	}
	now := time.Now()
	since, bounded := durationOf(c, "since")
	runs = slices.DeleteFunc(runs, func(l journal.Listed) bool {
		return c.IsSet("name") && l.Name != c.String("name") || c.IsSet("state") &&
			report.StateOf(l) != c.String("state") ||
			bounded && l.Started.Before(now.Add(-since))
	})
	if c.Bool("json") {
		return report.ListJSON(p.Out, runs, now)
	}
	return report.List(p.Out, runs, now)
}

func (p *program) dagShowCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "show the steps of a run and how they went",
		UsageText: "limit dag show [flags] [RUN | FILE]",
		Description: `RUN is the beginning of a run's id; FILE means its latest run, and nothing the latest
run of a step file of this directory.

EXIT STATUS: 0; 2 usage, or there is no such run; 125 limit itself failed.`,
		Flags: append([]cli.Flag{logDirFlag(), &cli.BoolFlag{Name: "json",
			Usage: "as one JSON object; times in seconds since the run started"}}, reportFlags()...),
		Action: p.dagShow,
	}
}

func (p *program) dagShow(c *cli.Context) error {
	if c.NArg() > 1 {
		return usageError(c, "one run at most")
	}
	e, err := p.findRun(c, c.Args().First())
	if err != nil {
		return err
	}
	reports, err := openReports(c)
	if err != nil {
		return err
	}
	look := report.NewRunView(e, time.Now(), false)
	if c.Bool("json") {
		return errors.Join(report.ShowJSON(p.Out, look), reports.write(e.Run, e.Dir))
	}
	if err := report.Show(p.Out, look); err != nil {
		return err
	}
	retry := ""
	if !e.Running {
		retry = "limit dag retry " + short(e.ID)
	}
	report.WriteSummary(p.Out, e.Run, e.Dir, false, retry)
	return reports.write(e.Run, e.Dir)
}

func (p *program) dagLogsCommand() *cli.Command {
	return &cli.Command{
		Name:      "logs",
		Usage:     "print what a step of a run has printed",
		UsageText: "limit dag logs [-f] RUN [STEP]",
		Description: `Prints the output of the step's last attempt; without STEP that of all steps, each after a
line with its name. RUN is the beginning of a run's id; a step file means its latest run, and - the
latest run of a step file of this directory. With -f it follows
a step that runs, or is yet to run, to its end.

EXIT STATUS: 0; 2 usage, or there is no such run or step; 125 limit itself failed.`,
		Flags: []cli.Flag{logDirFlag(),
			&cli.BoolFlag{Name: "f", Usage: "follow until the step has ended"},
			numberFlag("attempt", 0, "that of attempt `N`, in place of the last one's", "")},
		Action: p.dagLogs,
	}
}

func (p *program) dagLogs(c *cli.Context) error {
	if c.NArg() < 1 || c.NArg() > 2 {
		return usageError(c, "give a run, and a step or none")
	}
	if c.NArg() == 1 && (c.Bool("f") || c.IsSet("attempt")) {
		return usageError(c, "-f and --attempt are for one step: name it")
	}
	id := c.Args().Get(1)
	e, err := p.findRun(c, c.Args().First())
	if err != nil {
		return err
	}
	if c.NArg() == 1 {
		return p.copyLogs(e)
	}
	s := e.Step(id)
	if s == nil {
		return failWith(dag.CodeUsage, fmt.Errorf("run %s has no step %q; 'limit dag show %s' shows those it has",
			short(e.ID), id, short(e.ID)))
	}
	if !c.Bool("f") {
		return copyLog(p.Out, e, s, numberOf(c, "attempt"))
	}
	ctx, cancel := p.untilInterrupted(c.Context)
	defer cancel()
	if err := followLog(ctx, p.Out, e, s); err != nil || ctx.Err() == nil {
		return err
	}
	return &exitError{exit: wrap.Exit{Code: 130}}
}

// copyLogs prints the logs of all steps that have any, in the order of the file, each after a line with the step's
// name.
func (p *program) copyLogs(e *journal.Entry) error {
	look := report.NewRunView(e, time.Now(), false)
	for _, s := range e.Steps {
		if s.Last() == nil {
			continue
		}
		fmt.Fprintf(p.Out, "== %s %s\n", wrap.Printable(s.ID), look.Standing(s))
		if err := copyLog(p.Out, e, s, 0); err != nil {
			return err
		}
	}
	return nil
}

// copyLog prints the log of an attempt, 0 for the last. An attempt that printed nothing has none.
func copyLog(w io.Writer, e *journal.Entry, s *journal.Step, attempt int) error {
	last := s.Last()
	if last == nil {
		return fmt.Errorf("step %s was not started in run %s", s.ID, short(e.ID))
	}
	if attempt == 0 {
		attempt = last.Number
	}
	f, err := e.Log(journal.LogName(s.ID, attempt))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// followEvery is how often a log that grows is looked at.
const followEvery = 100 * time.Millisecond

// followLog prints logs of a step's attempts as they grow, until the step is final, its run is over or ctx ends. Of the
// journal and the log it reads what has been added.
func followLog(ctx context.Context, w io.Writer, e *journal.Entry, s *journal.Step) error {
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	var log *os.File
	defer func() { log.Close() }() // nil is closed with an error
	for attempt := 1; ; {
		if err := e.Update(); err != nil {
			return err
		}
		over := s.Outcome.State != plan.Pending || !e.Running
		for last := s.Last(); ; attempt++ {
			if last == nil {
				break
			}
			var err error
			if log, err = copyMore(w, e, log, journal.LogName(s.ID, attempt)); err != nil {
				return err
			}
			if attempt >= last.Number {
				break
			}
			log.Close()
			log = nil
		}
		if over {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// copyMore prints what has been added to a log, which it opens where that was not done yet.
func copyMore(w io.Writer, e *journal.Entry, log *os.File, name string) (*os.File, error) {
	if log == nil {
		var err error
		if log, err = e.Log(name); errors.Is(err, os.ErrNotExist) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	_, err := io.Copy(w, log)
	return log, err
}
