package cli

import (
	"fmt"
	"strings"

	"limit/config"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/stepfile"
)

// runsGiven is the directory of runs that the words name.
func (p *program) runsGiven(q *completion) string {
	if dir := q.given["log-dir"]; dir != "" {
		return dir
	}
	at := config.OS()
	at.Env = func(name string) string { return wrap.Getenv(p.env, name) }
	cfg, err := config.Load(config.Flags{Config: q.given["config"]}, at)
	if err != nil {
		cfg = &config.Config{}
	}
	return p.runsDirOf(cfg)
}

// runs are the dags that were run.
func (p *program) runs(q *completion) []candidate {
	runs, err := journal.List(p.runsGiven(q))
	if err != nil {
		return nil
	}
	var found []candidate
	for _, r := range runs {
		found = append(found, candidate{short(r.ID), fmt.Sprintf("%s, %s", r.Name, r.State())})
	}
	return found
}

// stepsOfRun are the steps of a run, each after the prefix.
func stepsOfRun(root, run, prefix string) []candidate {
	if run == "-" {
		run = ""
	}
	e, err := journal.Find(root, run)
	if err != nil {
		return nil
	}
	return stepsOfEntry(e, prefix)
}

func stepsOfEntry(e *journal.Entry, prefix string) []candidate {
	var found []candidate
	for _, s := range e.Steps {
		found = append(found, candidate{prefix + s.ID, fmt.Sprintf("step of %s, run %s", e.Name, short(e.ID))})
	}
	return found
}

// stepsToExplain are the steps of runs that live, and runs to be followed by a slash; behind a run and a slash, its
// steps.
func (p *program) stepsToExplain(q *completion) []candidate {
	root := p.runsGiven(q)
	if run, _, ok := strings.Cut(q.word, "/"); ok {
		return stepsOfRun(root, run, run+"/")
	}
	runs, err := journal.List(root)
	if err != nil {
		return nil
	}
	var found []candidate
	for _, r := range runs {
		found = append(found, candidate{short(r.ID) + "/", fmt.Sprintf("%s, %s", r.Name, r.State())})
		if !r.Running {
			continue
		}
		if e, err := journal.Load(r.Dir); err == nil {
			found = append(found, stepsOfEntry(e, "")...)
		}
	}
	return found
}

// stepsOfFile are the steps of the step file that is the first operand, for the last name of a selection such as a,+b.
func stepsOfFile(q *completion, selection string) []candidate {
	if len(q.operands) == 0 {
		return nil
	}
	f, _, err := stepfile.Read(q.operands[0], stepfile.Options{})
	if err != nil {
		return nil
	}
	before := selection[:strings.LastIndexAny(selection, ",+")+1]
	var found []candidate
	for _, s := range f.Steps {
		found = append(found, candidate{before + s.ID, ""})
	}
	return found
}
