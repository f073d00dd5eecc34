package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/config/yamlread"
	"limit/wrap"
	"limit/wrap/dag"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/report"
	"limit/wrap/dag/stepfile"
)

func (p *program) dagValidateCommand() *cli.Command {
	return &cli.Command{
		Name:      "validate",
		Usage:     "tell every mistake of step files, with its place",
		UsageText: "limit dag validate [--format text|json|github] FILE...",
		Description: `Reads the files and runs nothing. --format json prints a list of problems on standard
output; github prints workflow commands that annotate a pull request.

EXIT STATUS: 0 all are valid, 2 one is not.`,
		Flags:  []cli.Flag{&cli.StringFlag{Name: "format", Value: "text", Usage: "`text|json|github`"}, paramFlag()},
		Action: p.dagValidate,
	}
}

func (p *program) dagValidate(c *cli.Context) error {
	format := c.String("format")
	if !slices.Contains([]string{"text", "json", "github"}, format) {
		return usageError(c, "flag --format: %q is none of text, json, github", format)
	}
	if c.NArg() == 0 {
		return usageError(c, "no step file is given")
	}
	params, err := parseParams(c)
	if err != nil {
		return err
	}
	problems := []*yamlread.Problem{}
	bad := false
	for _, path := range c.Args().Slice() {
		f, warnings, err := stepfile.Read(path, stepfile.Options{Params: params})
		found := yamlread.Problems(err)
		if err != nil && len(found) == 0 {
			found = []*yamlread.Problem{{File: path, Line: 1, Col: 1, Message: err.Error()}}
		}
		bad = bad || err != nil
		problems = append(append(problems, found...), warnings...)
		if err == nil && format == "text" {
			fmt.Fprintf(p.Out, "%s: valid, %s\n", path, wrap.Plural(len(f.Steps), "step"))
		}
	}
	if err := writeProblems(p.Out, format, problems); err != nil {
		return err
	}
	if bad {
		return exitWith(dag.CodeUsage)
	}
	return nil
}

func writeProblems(w io.Writer, format string, problems []*yamlread.Problem) error {
	switch format {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(problems)
	case "github":
		escape := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
		property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
		for _, problem := range problems {
			level, message := "error", problem.Message
			if problem.Warning {
				level = "warning"
			}
			if problem.Suggestion != "" {
				message += "; " + problem.Suggestion
			}
			fmt.Fprintf(w, "::%s file=%s,line=%d,col=%d::%s\n", level, property.Replace(problem.File), problem.Line,
				problem.Col, escape.Replace(message))
		}
		return nil
	}
	for _, problem := range problems {
		writeProblem(w, problem)
	}
	return nil
}

// writeProblem writes a problem, with the line of a file in which it is.
func writeProblem(w io.Writer, problem *yamlread.Problem) {
	for line := range strings.SplitSeq(problem.Error(), "\n") {
		writeLine(w, "%s", line)
	}
}

func (p *program) dagPlanCommand() *cli.Command {
	return &cli.Command{
		Name:      "plan",
		Usage:     "say what would run when, and which limits bind",
		UsageText: "limit dag plan [flags] FILE",
		Description: `Simulates the run with the durations of earlier runs, or one second for each step where
there are none: the order, the critical
path, the time, and how long steps would wait for which limit. Pools have the limits that the store has now, as
if nobody else used
them. --what-if says in one line for each what other limits would do to it: -j, pools, tag limits of the file
(step-tag:KEY=VALUE).

EXIT STATUS: 0; 2 usage, or FILE is not valid; 125 limit itself failed.`,
		Flags:  append(selectFlags(), jFlag(), whatIfFlag(), paramFlag(), logDirFlag()),
		Action: p.dagPlan,
	}
}

func (p *program) dagPlan(c *cli.Context) error {
	f, err := p.onlyFile(c)
	if err != nil {
		return err
	}
	selected, err := chosen(c, f, nil)
	if err != nil {
		return err
	}
	return p.showPlan(c, f, selected)
}

// showPlan simulates the run and prints what came out.
func (p *program) showPlan(c *cli.Context, f *stepfile.File, selected []bool) error {
	asked := make([]int, len(f.Steps))
	for i, s := range f.Steps {
		asked[i] = s.Slots
	}
	n, err := slots(c, f)
	if err != nil {
		return err
	}
	root, err := p.runsDir(c)
	if err != nil {
		return err
	}
	weights, known := journal.Weights(root, absolutePath(f.Path), f)
	durations := weights
	if durations == nil {
		durations = make([]time.Duration, len(f.Steps))
		for i := range durations {
			durations[i] = time.Second
		}
	}
	world := plan.World{Durations: durations}
	if len(f.Tags) > 0 || slices.ContainsFunc(f.Steps, func(s *stepfile.Step) bool { return len(s.Pools) > 0 }) {
		settings, err := p.limitsNow(c)
		warnOfTags(settings, p.messages(c), f.Tags)
		if err != nil {
			p.messages(c).Info("pools are left out: %v", err)
		} else if settings.Granularity != backend.GranularityRun { // with that, the run holds them from its start on
			world.Pools = &settings
		}
	}
	now := forecast{file: f, slots: asked, world: world,
		options: plan.Options{MaxConcurrent: n, TagLimits: f.Executor.TagLimits, Weights: weights, Selected: selected}}
	run, err := now.run()
	if err != nil {
		return failWith(dag.CodeUsage, err)
	}
	if err := report.Plan(p.Out, run, durations, known); err != nil {
		return err
	}
	for _, text := range c.StringSlice("what-if") {
		other, err := now.whatIf(text)
		if err != nil {
			return failWith(dag.CodeUsage, err)
		}
		changed, err := other.run()
		if err != nil {
			return failWith(dag.CodeUsage, err)
		}
		if err := writeLine(p.Out, "%s", report.WhatIf(other.changes, run, changed)); err != nil {
			return err
		}
	}
	return nil
}

// limitsNow are those of the store.
func (p *program) limitsNow(c *cli.Context) (backend.Settings, error) {
	settings, ok := backend.Settings{}, false
	err := p.onlyLooking(c, func(s *store) (err error) {
		settings, ok, err = s.Settings(c.Context)
		return err
	})
	if err == nil && !ok {
		settings = backend.NewSettings()
	}
	return settings, err
}

func (p *program) dagStepsCommand() *cli.Command {
	return &cli.Command{
		Name:      "steps",
		Usage:     "list the parameters and steps of a step file",
		UsageText: "limit dag steps FILE",
		Description: `Prints each parameter with its default, choices and description, and each step with its
description, or with the first
line of its command. A step with a matrix has the number of its combinations after it.

EXIT STATUS: 0; 2 usage, or FILE is not valid.`,
		Flags:  []cli.Flag{paramFlag()},
		Action: p.dagSteps,
	}
}

func (p *program) dagSteps(c *cli.Context) error {
	f, err := p.onlyFile(c)
	if err != nil {
		return err
	}
	return report.Steps(p.Out, f)
}

func (p *program) dagGraphCommand() *cli.Command {
	return &cli.Command{
		Name:        "graph",
		Usage:       "print the graph of a step file",
		UsageText:   "limit dag graph [--format text|mermaid|dot|svg] FILE",
		Description: "EXIT STATUS: 0; 2 usage, or FILE is not valid; 125 limit itself failed.",
		Flags: []cli.Flag{&cli.StringFlag{Name: "format", Value: "text", Usage: "`text|mermaid|dot|svg`"},
			paramFlag()},
		Action: p.dagGraph,
	}
}

func (p *program) dagGraph(c *cli.Context) error {
	write, ok := map[string]func(io.Writer, *stepfile.File) error{
		"text": report.GraphText, "mermaid": report.GraphMermaid, "dot": report.GraphDot, "svg": report.GraphSVG,
	}[c.String("format")]
	if !ok {
		return usageError(c, "flag --format: %q is none of text, mermaid, dot, svg", c.String("format"))
	}
	f, err := p.onlyFile(c)
	if err != nil {
		return err
	}
	return write(p.Out, f)
}

func (p *program) dagSchemaCommand() *cli.Command {
	return &cli.Command{
		Name:      "schema",
		Usage:     "print the JSON schema of step files",
		UsageText: "limit dag schema > limit-dag.schema.json",
		Description: `Editors with a YAML language server check and complete step files that begin with

   # yaml-language-server: $schema=limit-dag.schema.json

EXIT STATUS: 0; 2 usage.`,
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageError(c, "schema takes no operands")
			}
			_, err := io.WriteString(p.Out, stepfile.Schema())
			return errors.Join(err)
		},
	}
}
