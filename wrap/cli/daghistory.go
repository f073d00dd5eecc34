package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

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
		UsageText: "limit dag retry [flags] [RUN]",
		Description: `Runs again what failed, was not run, or had not ended when the run was killed, and everything that needs it. RUN is the
beginning of a run's id; without it, the latest run. A step file that has changed since is refused. Steps of the
run that outlived it are waited for: --force goes on beside them, and with a changed file.

EXIT STATUS: that of 'limit dag run'; 0 where there is nothing to retry.`,
		Flags:  append(dagRunFlags(), &cli.BoolFlag{Name: "force", Usage: "though the file has changed, or steps of the run still run", Category: "Steps"}),
		Action: p.dagRetry,
	}
}

func (p *program) dagRetry(c *cli.Context) error {
	if c.NArg() > 1 {
		return usageError(c, "one run at most")
	}
	e, err := journal.Find(p.runsDir(c), c.Args().First())
	if err != nil {
		return failWith(dag.CodeUsage, err)
	}
	if e.Running && !c.Bool("force") {
		if e, err = p.outlive(c, e); err != nil {
			return err
		}
	}
	if e.Finished && e.Code == 0 {
		p.messages(c).Info("run %s has succeeded: there is nothing to retry", short(e.ID))
		return nil
	}
	f, err := p.readSteps(c, e.File, e.Params)
	if err != nil {
		return err
	}
	if journal.Hash(f.Source) != e.Hash && !c.Bool("force") {
		return failWith(dag.CodeUsage, fmt.Errorf("%s has changed since run %s; run it anew, or retry with --force", e.File, short(e.ID)))
	}
	d := &dagRun{p: p, c: c, file: f, params: e.Params, earlier: e}
	if e.Selected != nil {
		d.options.Selected = make([]bool, len(f.Steps))
		for _, id := range e.Selected {
			if s, ok := f.Find(id); ok {
				d.options.Selected[s.Index] = true
			}
		}
	}
	return d.run()
}

// outlive waits for a run, or for those of its steps that outlived it, and reads it again.
func (p *program) outlive(c *cli.Context, e *journal.Entry) (*journal.Entry, error) {
	p.messages(c).Info("run %s, or a step of it, still runs; waiting for its end (--force does not)", short(e.ID))
	ctx, cancel := p.untilInterrupted(c.Context)
	defer cancel()
	if err := journal.WaitUntilOver(e.Dir, ctx.Done()); err != nil {
		return nil, err
	}
	return journal.Load(e.Dir)
}

func (p *program) dagListCommand() *cli.Command {
	return &cli.Command{
		Name:        "list",
		Usage:       "list earlier and running dags, the latest first",
		UsageText:   "limit dag list",
		Description: "EXIT STATUS: 0; 2 usage; 125 limit itself failed.",
		Flags:       []cli.Flag{logDirFlag()},
		Action:      p.dagList,
	}
}

func (p *program) dagList(c *cli.Context) error {
	if c.NArg() > 0 {
		return usageError(c, "list takes no operands")
	}
	runs, err := journal.List(p.runsDir(c))
	if err != nil {
		return err
	}
	return report.List(p.Out, runs, time.Now())
}

func (p *program) dagShowCommand() *cli.Command {
	return &cli.Command{
		Name:        "show",
		Usage:       "show the steps of a run and how they went",
		UsageText:   "limit dag show [flags] [RUN]",
		Description: "RUN is the beginning of a run's id; without it, the latest run.\n\nEXIT STATUS: 0; 2 usage, or there is no such run; 125 limit itself failed.",
		Flags:       append([]cli.Flag{logDirFlag()}, reportFlags()...),
		Action:      p.dagShow,
	}
}

func (p *program) dagShow(c *cli.Context) error {
	if c.NArg() > 1 {
		return usageError(c, "one run at most")
	}
	e, err := journal.Find(p.runsDir(c), c.Args().First())
	if err != nil {
		return failWith(dag.CodeUsage, err)
	}
	reports, err := openReports(c)
	if err != nil {
		return err
	}
	defer reports.close()
	if err := report.Show(p.Out, report.NewLook(e, time.Now(), nil, false)); err != nil {
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
		UsageText: "limit dag logs [-f] RUN STEP",
		Description: `Prints the output of the step's last attempt. RUN is the beginning of a run's id; - is the latest run. With -f it follows
a step that runs, or is yet to run, to its end.

EXIT STATUS: 0; 2 usage, or there is no such run or step; 125 limit itself failed.`,
		Flags: []cli.Flag{logDirFlag(),
			&cli.BoolFlag{Name: "f", Usage: "follow until the step has ended"},
			&cli.IntFlag{Name: "attempt", Usage: "that of attempt `N`, in place of the last one's"}},
		Action: p.dagLogs,
	}
}

func (p *program) dagLogs(c *cli.Context) error {
	if c.NArg() != 2 {
		return usageError(c, "give a run and a step")
	}
	prefix, id := c.Args().Get(0), c.Args().Get(1)
	if prefix == "-" {
		prefix = ""
	}
	e, err := journal.Find(p.runsDir(c), prefix)
	if err != nil {
		return failWith(dag.CodeUsage, err)
	}
	s := e.Step(id)
	if s == nil {
		return failWith(dag.CodeUsage, fmt.Errorf("run %s has no step %q; 'limit dag show %s' shows those it has", short(e.ID), id, short(e.ID)))
	}
	if !c.Bool("f") {
		return p.copyLog(e, s, c.Int("attempt"))
	}
	return p.followLog(c, e, id)
}

// copyLog prints the log of an attempt, 0 for the last. An attempt that printed nothing has none.
func (p *program) copyLog(e *journal.Entry, s *journal.Step, attempt int) error {
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
	_, err = io.Copy(p.Out, f)
	return err
}

// followEvery is how often a log that grows is looked at.
const followEvery = 100 * time.Millisecond

// followLog prints logs of a step's attempts as they grow, until the step is final or its run is over.
func (p *program) followLog(c *cli.Context, e *journal.Entry, id string) error {
	ctx, cancel := p.untilInterrupted(c.Context)
	defer cancel()
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	attempt, at := 1, int64(0)
	for {
		var err error
		if e, err = journal.Load(e.Dir); err != nil {
			return err
		}
		s := e.Step(id)
		for last := s.Last(); last != nil && attempt <= last.Number; attempt++ {
			if at, err = p.copyFrom(e, journal.LogName(id, attempt), at); err != nil {
				return err
			}
			if attempt == last.Number {
				break
			}
			at = 0
		}
		if s.Outcome.State != plan.Pending || !e.Running {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return &exitError{exit: wrap.Exit{Code: 130}}
		}
	}
}

// copyFrom prints a log from an offset on and returns where it ends.
func (p *program) copyFrom(e *journal.Entry, name string, at int64) (int64, error) {
	f, err := e.Log(name)
	if errors.Is(err, os.ErrNotExist) {
		return at, nil
	}
	if err != nil {
		return at, err
	}
	defer f.Close()
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		return at, err
	}
	n, err := io.Copy(p.Out, f)
	return at + n, err
}
