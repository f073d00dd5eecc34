package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"limit/config"
	"limit/config/yamlread"
	"limit/wrap"
	"limit/wrap/dag"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/stepfile"
)

const dagText = `A step file names commands, what each needs, and the limits under which they run:

   executor: {max_concurrent: 4}
   steps:
     extract: ./extract.sh
     load: {needs: extract, run: ./load.sh, pool: database}

'limit dag schema' prints the JSON schema for editors. A step that failed takes down only what needs it;
'limit dag retry' goes on from there.`

func (p *program) dagCommand() *cli.Command {
	return &cli.Command{
		Name:        "dag",
		Usage:       "run many commands as a graph, under limits",
		Description: dagText,
		Subcommands: []*cli.Command{
			p.dagRunCommand(), p.dagValidateCommand(), p.dagPlanCommand(), p.dagStepsCommand(), p.dagGraphCommand(),
			p.dagRetryCommand(),
			p.dagListCommand(), p.dagShowCommand(), p.dagLogsCommand(), p.dagSchemaCommand(),
		},
	}
}

// readSteps reads the step file that is the first operand. Its mistakes end limit with 2.
func (p *program) readSteps(c *cli.Context, path string, params map[string]string) (*stepfile.File, error) {
	f, warnings, err := stepfile.Read(path, stepfile.Options{Params: params})
	for _, w := range warnings {
		p.messages(c).Info("%v", w)
	}
	if err != nil {
		return nil, p.invalid(err)
	}
	return f, nil
}

// invalid tells the mistakes of a step file as they stand, each with its source line, and ends limit with 2.
func (p *program) invalid(err error) error {
	problems := yamlread.Problems(err)
	if len(problems) == 0 {
		return failWith(dag.CodeUsage, err)
	}
	for _, problem := range problems {
		writeProblem(p.Err, problem)
	}
	return failWith(dag.CodeUsage, fmt.Errorf("the step file is not valid: %s", countProblems(len(problems))))
}

func countProblems(n int) string {
	if n == 1 {
		return "1 error"
	}
	return fmt.Sprintf("%d errors", n)
}

// paramFlag is the flag for the parameters of a step file.
func paramFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "param", Usage: "set a parameter of the file, `KEY=VALUE`; repeatable",
		Category: "Steps"}
}

// parseParams reads KEY=VALUE flags; the last of several counts.
func parseParams(c *cli.Context) (map[string]string, error) {
	params := map[string]string{}
	for _, text := range c.StringSlice("param") {
		key, value, ok := strings.Cut(text, "=")
		if !ok || key == "" {
			return nil, usageError(c, "flag --param: %q is not KEY=VALUE", text)
		}
		params[key] = value
	}
	return params, nil
}

func logDirFlag() cli.Flag {
	return &cli.StringFlag{Name: "log-dir",
		Usage: "keep runs, with their logs, in `DIR` (default: dag.log_dir of limit.yaml, or the runs directory of " +
			"limit's state directory)", Category: "Reports"}
}

// runsDir is where runs are kept.
func (p *program) runsDir(c *cli.Context) (string, error) {
	if dir := c.String("log-dir"); dir != "" {
		return dir, nil
	}
	cfg, err := p.configuration(c, "")
	if err != nil {
		return "", err
	}
	return p.runsDirOf(cfg), nil
}

func (p *program) runsDirOf(cfg *config.Config) string {
	if cfg.Dag.LogDir != "" {
		return cfg.Dag.LogDir
	}
	return journal.DefaultDir(os.Getuid(), func(name string) string { return wrap.Getenv(p.env, name) })
}

// findRun finds the run that an operand names: by the beginning of its id, as the latest of a step file, or, for "" and
// -, as the latest of a step file of this directory. The error ends limit with 2.
func (p *program) findRun(c *cli.Context, operand string) (*journal.Entry, error) {
	root, err := p.runsDir(c)
	if err != nil {
		return nil, err
	}
	var e *journal.Entry
	switch {
	case operand == "" || operand == "-":
		e, err = journal.Latest(root, func(file string) bool { return sameFile(filepath.Dir(file), ".") })
		if e == nil && err == nil {
			err = fmt.Errorf("no step file of this directory was run, as far as %s has it; give the file or the id "+
				"of a run, which 'limit dag list' shows", root)
		}
	case isStepFile(operand):
		e, err = journal.Latest(root, func(file string) bool { return sameFile(file, operand) })
		if e == nil && err == nil {
			err = fmt.Errorf("there is no run of %s in %s", operand, root)
		}
	default:
		e, err = journal.Find(root, operand)
	}
	if err != nil {
		return nil, failWith(dag.CodeUsage, err)
	}
	return e, nil
}

// isStepFile reports whether an operand names a file rather than a run.
func isStepFile(operand string) bool {
	info, err := os.Stat(operand)
	return err == nil && info.Mode().IsRegular() || strings.ContainsAny(operand, "./")
}

// sameFile reports whether two paths are of one file; also where that is no longer there.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(infoA, infoB)
	}
	return absolutePath(a) == absolutePath(b)
}

// slots is how many slots the executor has: -j, what the file says, or the number of CPUs. A step that asks for more
// than the number of CPUs gets them all.
func slots(c *cli.Context, f *stepfile.File) (int, error) {
	n := numberOf(c, "j")
	switch {
	case c.IsSet("j") && n < 1:
		return 0, usageError(c, "flag -j: %d is not at least 1", n)
	case c.IsSet("j"):
	case f.Executor.MaxConcurrent > 0:
		return f.Executor.MaxConcurrent, nil
	default:
		n = runtime.NumCPU()
	}
	for _, s := range f.Steps {
		s.Slots = min(s.Slots, n)
	}
	return n, nil
}

func jFlag() cli.Flag {
	return numberFlag("j", 0, "`N` slots, in place of the file's max_concurrent", "Steps")
}

// detachJobs lets -j4 be typed as make and ninja have it: the library knows -j 4 alone.
func detachJobs(words []string, flags []cli.Flag) []string {
	if lookup("-j", flags) == nil {
		return words
	}
	var out []string
	for i, word := range words {
		if word == "--" {
			return append(out, words[i:]...)
		}
		digits, ok := strings.CutPrefix(word, "-j")
		if _, err := strconv.Atoi(digits); ok && err == nil {
			out = append(out, "-j", digits)
			continue
		}
		out = append(out, word)
	}
	return out
}

func selectFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "select",
			Usage: "only these steps, `SELECTION`: x, +x (and what it needs), x+ (and what needs it), 2+x, tag:k=v, " +
				"build-*; a comma is or; repeatable", Category: "Steps"},
		&cli.StringSliceFlag{Name: "exclude", Usage: "not these steps, a `SELECTION`; repeatable", Category: "Steps"},
	}
}

// chosen returns which steps are selected, nil for all. Operands after the file are targets: with all they need.
func chosen(c *cli.Context, f *stepfile.File, targets []string) ([]bool, error) {
	selections := c.StringSlice("select")
	for _, t := range targets {
		if !strings.ContainsAny(t, "+,") && !strings.HasPrefix(t, "tag:") {
			t = "+" + t
		}
		selections = append(selections, t)
	}
	if len(selections) == 0 && len(c.StringSlice("exclude")) == 0 {
		return nil, nil
	}
	selected, err := f.Select(selections, c.StringSlice("exclude"))
	if err != nil {
		return nil, failWith(dag.CodeUsage, err)
	}
	return selected, nil
}

// onlyFile reads the step file that is the only operand, with its parameters.
func (p *program) onlyFile(c *cli.Context) (*stepfile.File, error) {
	if c.NArg() != 1 {
		return nil, usageError(c, "give one step file")
	}
	params, err := parseParams(c)
	if err != nil {
		return nil, err
	}
	return p.readSteps(c, c.Args().First(), params)
}

var errNoSteps = errors.New("the selection leaves no step")
