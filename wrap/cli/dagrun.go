package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/config/grammar"
	"limit/wrap"
	"limit/wrap/dag"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/report"
	"limit/wrap/dag/stepfile"
)

const dagRunText = `Waits in the run queue, then runs the steps of FILE: each when all it needs has succeeded,
in the order of priority, the
longest way to the end, and the file; under the executor's limits and the pools'. STEPs are targets: they
run with all they need; --select is exact.

A step finds in its environment the variables of the file, PARAM_<NAME>, MATRIX_<KEY>, of the steps it needs
OUT_<STEP>_<KEY> and NEED_<STEP> (succeeded, failed, skipped or not_run), LIMIT_INPUTS (a directory with each
OUT_… as a file;
more than 256 KiB are there alone), LIMIT_OUTPUT (the file to write its own key=value lines to), LIMIT_DAG, LIMIT_STEP,
LIMIT_ATTEMPT, and those of 'limit run'. It has no terminal, unless it has console: true.

The first INT or TERM stops the steps (TERM, then KILL after their grace), the second kills them. After the
first, and after a
timeout of the run, steps with when: always or on_failure still run, then on_failure and on_exit of the file, which find
LIMIT_STATUS (the exit status), LIMIT_FAILED_STEPS (one a line) and LIMIT_REPORT: for 30s in all.

EXIT STATUS:
   0    all steps succeeded, were skipped, or their failure was tolerated
   1    a step failed
   2    usage, or FILE is not valid
   75   gave up waiting, for the run queue or for pools
   76   the run's slot was lost
   124  the file's timeout
   125  limit itself failed

EXAMPLES:
   limit dag run nightly.yaml
   limit dag run nightly.yaml load --param day=2026-01-31
   limit dag run nightly.yaml --select 'tag:team=data' -j 2 --report night.html`

// lazyGC lets the heap grow further before it is collected: a dag's lives from start to end, and looking through it
// again and again takes time from the steps.
const lazyGC = 400

func (p *program) dagRunCommand() *cli.Command {
	return &cli.Command{
		Name:        "run",
		Usage:       "run the steps of a file",
		UsageText:   "limit dag run [flags] FILE [STEP...]",
		Description: dagRunText,
		Flags: append(dagRunFlags(), append(selectFlags(), paramFlag(), &cli.BoolFlag{Name: "dry-run",
			Usage: "say what would run, in which order, and run nothing", Category: "Steps"})...),
		Action: p.dagRun,
	}
}

// dagRunFlags are those that run and retry share.
func dagRunFlags() []cli.Flag {
	const steps, claim, reports = "Steps", "Claim", "Reports"
	return append([]cli.Flag{
		jFlag(),
		&cli.StringFlag{Name: "fail-mode", Value: "continue",
			Usage: "`continue|stop|kill`: after a failure: go on with what does not need it; start nothing further; " +
				"stop what runs too", Category: steps},
		numberFlag("max-failures", 0, "start nothing further when `N` steps have failed; with --fail-mode kill, "+
			"stop what runs then", steps),
		&cli.StringSliceFlag{Name: "tag",
			Usage: "tag the run, `KEY[=VALUE]`, for the tag limits of the run queue; repeatable", Category: claim},
		numberFlag("priority", 0, "`N`: higher first, in place of the file's", claim),
		durationFlag("wait", 0, "give up waiting for the run queue or for a pool after this", claim),
		&cli.StringFlag{Name: "output", Value: string(report.Group),
			Usage: "`group|prefix|interleave|failed|quiet`: what the steps print: together when a step has ended; " +
				"each line at once after the step's name; as it comes; of failed steps alone; not at all",
			Category: reports},
		&cli.StringFlag{Name: "progress", Value: "auto", Usage: "`auto|tty|plain|none`", Category: reports},
		logDirFlag(),
		&cli.StringFlag{Name: "events", Usage: "append events to `FILE` as JSON lines; - for standard error",
			Category: reports},
	}, reportFlags()...)
}

func (p *program) dagRun(c *cli.Context) error {
	if c.NArg() == 0 {
		return usageError(c, "no step file is given")
	}
	params, err := parseParams(c)
	if err != nil {
		return err
	}
	f, err := p.readSteps(c, c.Args().First(), params)
	if err != nil {
		return err
	}
	d := &dagRun{p: p, c: c, file: f, params: params}
	if d.options.Selected, err = chosen(c, f, c.Args().Tail()); err != nil {
		return err
	}
	if c.Bool("dry-run") {
		return p.showPlan(c, f, d.options.Selected)
	}
	return d.run()
}

// dagRun is a run, or a retry, on its way.
type dagRun struct {
	p       *program
	c       *cli.Context
	file    *stepfile.File
	params  map[string]string
	earlier *journal.Entry // the run that is retried, or nil
	guard   *journal.Guard // of that
	given   journal.Given
	options plan.Options
	record  *journal.Run
	claim   backend.Claim
	files   wrap.Files // for what is written when the run has ended
}

// run carries the run out and writes its reports.
func (d *dagRun) run() error {
	defer debug.SetGCPercent(debug.SetGCPercent(lazyGC))
	mask, err := d.check()
	if err != nil {
		return err
	}
	root, err := d.p.runsDir(d.c)
	if err != nil {
		return err
	}
	absolute, err := filepath.Abs(d.file.Path)
	if err != nil {
		return err
	}
	d.options.Weights, _ = journal.Weights(root, absolute, d.file)
	reports, err := openReports(d.c) // these may wait for a reader: the supervisor would take the signals
	if err != nil {
		return err
	}
	events, err := wrap.OpenEvents(d.c.String("events"), d.p.Err, nil)
	if err != nil {
		return err
	}
	supervisor, err := d.p.supervise()
	if err != nil {
		return err
	}
	defer supervisor.Close()
	d.files.Hurry = supervisor.Asked()
	v := newVoice(d.p, d.c, events)
	defer v.restore()
	for _, name := range mask.Exposed() {
		v.messages.Info("secret %s has a line of fewer than 4 characters, which is not masked", name)
	}
	exit, err := d.carryOut(v, mask, root, absolute, reports)
	err = errors.Join(err, v.end(exit.Signal != 0 || d.record != nil && d.record.Reason != ""))
	if err != nil && exit == (wrap.Exit{}) {
		exit.Code = wrap.CodeFailed // whatever the steps did, something was lost
	}
	return &exitError{exit: exit, err: err}
}

// carryOut opens the store, and runs the steps.
func (d *dagRun) carryOut(v *voice, mask *dag.Mask, root, absolute string, reports *reportFiles) (wrap.Exit, error) {
	s, sig, err := d.p.openInterruptible(d.c, func() (*store, error) { return d.open(v.messages) })
	if sig != 0 || err != nil {
		return exitOr(err, sig)
	}
	defer s.Close()
	var writer *journal.Writer
	_, sig, err = d.p.openInterruptible(d.c, func() (_ *store, err error) {
		if writer, err = d.begin(s, mask, root, absolute); err == nil {
			err = d.guard.By(d.record.ID)
		}
		return nil, err
	})
	if sig != 0 || err != nil {
		return exitOr(err, sig)
	}
	defer d.files.Try(writer.Close)
	console, err := d.console(v, writer.Dir)
	if err != nil {
		return exitOr(err, 0)
	}
	run := &dag.Run{
		File: d.file, Plan: d.options, Backend: s, Namespace: s.namespace, Supervisor: d.p.supervisor,
		Messages: v.messages,
		Events:   v.events, Console: console, Journal: writer, Record: d.record, Claim: d.claim, Mask: mask,
		Env:      wrap.Setenv(d.p.env, s.config.Environ()),
		Report:   func() error { return d.report(reports, writer.Dir) },
		Terminal: d.p.isTerminal(), LogLimit: s.config.Dag.LogLimit,
	}
	if path := d.c.String("report"); path != "" {
		run.ReportPath = absolutePath(path)
	}
	if wait, set := durationOf(d.c, "wait"); set {
		run.Wait = max(wait, time.Millisecond)
	}
	exit, err := run.Do(d.c.Context)
	console.Summary(d.retryCommand())
	if path := wrap.Getenv(d.p.env, "GITHUB_STEP_SUMMARY"); path != "" && console.Fold == report.GitHub {
		err = errors.Join(err, d.addSummary(path, writer.Dir))
	}
	bounds := s.config.Dag
	keep := journal.Keep{Runs: bounds.Runs, Age: bounds.Age, Bytes: bounds.Bytes}
	kept := d.files.Try(func() error {
		return errors.Join(journal.KeepWeights(root, d.record), journal.Prune(root, absolute, keep, time.Now()))
	})
	if kept != nil {
		v.messages.Error("keeping the runs in %s: %v", root, kept)
	}
	return exit, errors.Join(err, d.report(reports, writer.Dir))
}

// report writes the reports that were asked for, once.
func (d *dagRun) report(reports *reportFiles, dir string) error {
	if err := d.files.Try(func() error { return reports.write(d.record, dir) }); err != wrap.ErrHangs {
		return err
	}
	return fmt.Errorf("writing the reports: %w", wrap.ErrHangs)
}

// check finds what is wrong with the call before anything is opened.
func (d *dagRun) check() (*dag.Mask, error) {
	if missing := d.file.Missing(); len(missing) > 0 {
		return nil, usageError(d.c, "parameter %s has no value; give --param %s=…", missing[0], missing[0])
	}
	mask, variables, err := d.p.maskOf(d.file)
	if err != nil {
		return nil, err
	}
	d.file.Env = append(variables, d.file.Env...)
	if d.options.MaxFailures = numberOf(d.c, "max-failures"); d.options.MaxFailures < 0 || d.c.IsSet("max-failures") &&
		d.options.MaxFailures == 0 {
		return nil, usageError(d.c, "flag --max-failures: %d is not at least 1", d.options.MaxFailures)
	}
	if d.options.MaxConcurrent, err = slots(d.c, d.file); err != nil {
		return nil, err
	}
	modes := map[string]plan.FailMode{"continue": plan.Continue, "stop": plan.Stop, "kill": plan.Kill}
	mode, ok := modes[d.c.String("fail-mode")]
	if !ok {
		return nil, usageError(d.c, "flag --fail-mode: %q is none of continue, stop, kill", d.c.String("fail-mode"))
	}
	d.options.FailMode, d.options.TagLimits = mode, d.file.Executor.TagLimits
	if _, err := plan.New(d.file, d.options); err != nil {
		return nil, failWith(dag.CodeUsage, err)
	}
	return mask, nil
}

// open opens the store and describes the run's claim.
func (d *dagRun) open(messages *wrap.Messages) (*store, error) {
	d.claim = d.p.newRun()
	d.claim.Tags, d.claim.Priority = maps.Clone(d.file.Tags), d.file.Priority
	tags, err := grammar.Tags(d.c.StringSlice("tag"))
	if err != nil {
		return nil, usageError(d.c, "flag --tag: %v", err)
	}
	if d.earlier != nil {
		kept := maps.Clone(d.earlier.Given.Tags)
		tags = merge(kept, tags)
	}
	d.given.Tags, d.claim.Tags = tags, merge(d.claim.Tags, tags)
	if d.c.IsSet("priority") {
		priority := numberOf(d.c, "priority")
		if int(int32(priority)) != priority {
			return nil, usageError(d.c, "flag --priority: %d is no 32-bit number", priority)
		}
		d.claim.Priority = int32(priority)
		d.given.Priority = &d.claim.Priority
	}
	if d.c.IsSet("j") {
		d.given.Slots = numberOf(d.c, "j")
	}
	if d.c.IsSet("fail-mode") {
		d.given.FailMode = d.c.String("fail-mode")
	}
	d.given.Failures = d.options.MaxFailures
	d.p.describeOwner(&d.claim, d.file.Name, []string{"limit", "dag", "run", d.file.Path})
	var grace time.Duration
	pools := map[string]int{}
	for i, s := range d.file.Steps {
		if d.options.Selected == nil || d.options.Selected[i] {
			grace = max(grace, s.Grace)
			for name, slots := range s.Pools {
				pools[name] = max(pools[name], slots)
			}
		}
	}
	s, err := d.p.openFor(d.c, storeOptions{ttl: ttlFor(grace), grace: grace})
	if err != nil {
		return nil, err
	}
	if len(pools) > 0 || len(d.claim.Tags) > 0 {
		if settings, _, err := s.Settings(d.c.Context); err == nil { // what is done with the store will tell
			if undeclared := settings.Undeclared(pools); undeclared != nil {
				s.Close()
				return nil, failWith(dag.CodeUsage, orMeant(undeclared, settings))
			}
			warnUnset(messages, settings, pools)
			warnOfTags(settings, messages, d.claim.Tags)
		}
	}
	return s, nil
}

// merge adds tags to others, in place of those with the same keys.
func merge(into, tags map[string]string) map[string]string {
	if into == nil {
		return tags
	}
	maps.Copy(into, tags)
	return into
}

// begin makes the record and the journal.
func (d *dagRun) begin(s *store, mask *dag.Mask, root, absolute string) (*journal.Writer, error) {
	r := journal.NewRun(d.file)
	mask.Hide(r)
	r.Given = d.given
	r.Given.Backend, r.Given.Namespace = s.config.Backend.String(), s.namespace
	r.Given.Tags = map[string]string{}
	for key, value := range d.given.Tags {
		r.Given.Tags[key] = mask.Seal(value)
	}
	r.Sealed, r.Params = map[string]string{}, map[string]string{}
	for _, p := range d.file.Params {
		if p.Value != nil {
			r.Params[p.Name] = mask.String(*p.Value)
		}
	}
	for name, value := range d.params {
		r.Sealed[name], r.Params[name] = mask.Seal(value), mask.String(value)
	}
	r.ID = d.claim.ID
	r.File, r.Hash, r.Host, r.PID, r.Started = absolute, journal.Hash(d.file.Source), d.claim.Host, d.claim.PID,
		time.Now()
	r.Max = d.options.MaxConcurrent
	if d.options.Selected != nil {
		r.Selected = []string{}
	}
	for i, s := range r.Steps {
		if d.options.Selected != nil && d.options.Selected[i] {
			r.Selected = append(r.Selected, s.ID)
		}
		if d.options.Weights != nil {
			s.Weight = d.options.Weights[i]
		}
	}
	if d.options.Selected != nil && len(r.Selected) == 0 {
		return nil, failWith(dag.CodeUsage, errNoSteps)
	}
	r.Leave()
	if d.earlier != nil {
		r.Retries = d.earlier.ID
		d.options.Done = dag.Resume(d.file, r, d.earlier.Run, mask)
	}
	d.record = r
	return journal.Create(root, r, d.file.Source, d.options.Done, mask.Seal)
}

// console makes what the run is shown with.
func (d *dagRun) console(v *voice, dir string) (*report.Console, error) {
	getenv := func(name string) string { return wrap.Getenv(d.p.env, name) }
	k := &report.Console{
		Out: v.out, Output: report.Output(d.c.String("output")), Progress: report.Progress(d.c.String("progress")),
		Fold: report.DetectFold(getenv), Size: d.p.size, Dir: dir, Run: d.record, Expected: d.options.Weights,
	}
	switch k.Output {
	case report.Group, report.Prefix, report.Interleave, report.Failed, report.Quiet:
	default:
		return nil, usageError(d.c, "flag --output: %q is none of group, prefix, interleave, failed, quiet", k.Output)
	}
	switch k.Progress {
	case report.Terminal, report.Plain, report.None:
	case "auto":
		k.Progress = report.Plain
		if d.p.isTerminal() && getenv("TERM") != "dumb" && getenv("CI") == "" {
			k.Progress = report.Terminal
		}
		if isOn(d.c, "q") {
			k.Progress = report.None
			if !d.c.IsSet("output") {
				k.Output = report.Quiet
			}
		}
	default:
		return nil, usageError(d.c, "flag --progress: %q is none of auto, tty, plain, none", k.Progress)
	}
	if k.Progress == report.Terminal && !d.p.isTerminal() {
		k.Size = func() (int, int) { return 80, 24 }
	}
	k.Color = d.p.isTerminal() && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
	return k, nil
}

// addSummary appends how the run has gone to the summary that GitHub shows.
func (d *dagRun) addSummary(path, dir string) error {
	err := d.files.Try(func() error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
		if err != nil {
			return err
		}
		return errors.Join(report.Markdown(f, d.record, dir), f.Close())
	})
	if err != nil {
		return fmt.Errorf("writing $GITHUB_STEP_SUMMARY: %w", err)
	}
	return nil
}

func (d *dagRun) retryCommand() string {
	command := "limit dag retry " + short(d.record.ID)
	if dir := d.c.String("log-dir"); dir != "" {
		command += " --log-dir " + backend.ShellWord(dir)
	}
	return command
}

// maskOf returns the mask of a file's secrets, and the variables that its env_file and its secrets' files give.
func (p *program) maskOf(f *stepfile.File) (*dag.Mask, []stepfile.Var, error) {
	variables, err := f.Variables()
	if err != nil {
		return nil, nil, failWith(dag.CodeUsage, err)
	}
	mask, err := dag.NewMask(f.Secrets, func(name string) (string, bool) {
		for _, v := range slices.Backward(variables) {
			if v.Name == name {
				return v.Value, true
			}
		}
		return p.lookup(name)
	})
	if err != nil {
		return nil, nil, failWith(dag.CodeUsage, err)
	}
	return mask, variables, nil
}

// lookup finds a variable of this process, and whether it is set.
func (p *program) lookup(name string) (string, bool) { return lookupEnv(p.env, name) }

// lookupEnv finds a variable, and whether it is set.
func lookupEnv(env []string, name string) (string, bool) {
	for _, entry := range env {
		if len(entry) > len(name) && entry[len(name)] == '=' && entry[:len(name)] == name {
			return entry[len(name)+1:], true
		}
	}
	return "", false
}
