package dag

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
	"limit/wrap/process"
)

// envOutput is the variable with the path of the file that a step writes its outputs to.
const envOutput = "LIMIT_OUTPUT"

// maxOutput is how much a step may write to it.
const maxOutput = 64 << 10

// environment is what all steps of a run share: env, the file's variables and parameters, and the run's claim.
func environment(r *Run, env []string) []string {
	var added []string
	for _, p := range r.File.Params {
		if p.Value != nil {
			added = append(added, "PARAM_"+stepfile.VariableName(p.Name)+"="+*p.Value)
		}
	}
	for _, v := range r.File.Env {
		added = append(added, v.Name+"="+v.Value)
	}
	return wrap.Setenv(env, added)
}

// stepEnvironment adds to the run's environment what is a step's own: its variables, its matrix, the outputs of its needs.
func (l *loop) stepEnvironment(s *stepfile.Step) []string {
	var added []string
	for _, v := range s.Env {
		added = append(added, v.Name+"="+v.Value)
	}
	for _, v := range s.Matrix {
		added = append(added, "MATRIX_"+stepfile.VariableName(v.Name)+"="+v.Value)
	}
	for _, n := range s.Needs {
		for _, o := range l.record.Steps[n].Outputs {
			added = append(added, "OUT_"+stepfile.VariableName(l.r.File.Steps[n].ID)+"_"+stepfile.VariableName(o.Name)+"="+o.Value)
		}
	}
	if len(added) == 0 {
		return l.env
	}
	return wrap.Setenv(l.env, added)
}

// command is what starts a step's script.
func (l *loop) command(e *execution, s *journal.Step) (process.Command, error) {
	real := l.r.File.Steps[e.step] // the record's is masked
	script := real.Run
	if e.condition {
		script = real.If
	}
	argv := append(append(make([]string, 0, len(s.Shell)+1), s.Shell...), script)
	output := envOutput + "=" + l.journal.OutputName(s.ID, e.number)
	env := l.stepEnvironment(real)
	command := process.Command{
		Args: argv, Dir: s.Dir, Group: true, Session: true, Mark: output,
		Stdin: l.null, Grace: s.Grace, Timeout: s.Timeout,
		Keep: l.keep, Unkillable: l.r.Messages.Unkillable,
	}
	if c := e.claim; c != nil {
		env = wrap.Environment(env, c.Held(), l.namespace)
		if f := c.Inherit(); f != nil {
			command.Keep = append(append([]*os.File(nil), l.keep...), f)
		}
	}
	command.Env = append(env[:len(env):len(env)], output)
	return command, nil
}

// find returns the file of a step's shell. It is looked for once for each shell and directory.
func (l *loop) find(s *journal.Step, env []string) (string, error) {
	key := s.Shell[0]
	if !strings.HasPrefix(key, "/") {
		key += "\x00" + s.Dir + "\x00" + wrap.Getenv(env, "PATH")
	}
	if path, ok := l.shells[key]; ok {
		return path, nil
	}
	path, err := process.Find(s.Shell[0], env, s.Dir)
	if err == nil {
		l.shells[key] = path
	}
	return path, err
}

// outputs reads what a step has written to its output file, and removes that.
func (l *loop) outputs(s *journal.Step, attempt int) ([]stepfile.Var, error) {
	path := l.journal.OutputName(s.ID, attempt)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading its outputs: %w", err)
	}
	defer os.Remove(path)
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxOutput+1))
	if err != nil {
		return nil, fmt.Errorf("reading its outputs: %w", err)
	}
	return parseOutputs(text)
}

// sealed are outputs as the journal keeps them.
func (l *loop) sealed(outputs []stepfile.Var) []stepfile.Var {
	sealed := slices.Clone(outputs)
	for i := range sealed {
		sealed[i].Value = l.mask.Seal(sealed[i].Value)
	}
	return sealed
}

// parseOutputs reads key=value lines; a later line of the same key takes the place of an earlier one.
func parseOutputs(text []byte) ([]stepfile.Var, error) {
	if len(text) > maxOutput {
		return nil, fmt.Errorf("it wrote more than %d KiB to $%s", maxOutput>>10, envOutput)
	}
	var vars []stepfile.Var
	number := 0
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		number++
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			continue
		}
		name, value, ok := strings.Cut(string(line), "=")
		if !ok || stepfile.VariableName(name) == "" || strings.ContainsAny(name, " \t") || strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("line %d that it wrote to $%s is not key=value", number, envOutput)
		}
		replaced := false
		for i := range vars {
			if vars[i].Name == name {
				vars[i].Value, replaced = value, true
			}
		}
		if !replaced {
			vars = append(vars, stepfile.Var{Name: name, Value: value})
		}
	}
	return vars, nil
}

// exitOf turns a command's end into the plan's words.
func exitOf(e process.Exit, timeout time.Duration) plan.Exit {
	exit := plan.Exit{Code: e.Status(), Signal: int(e.Signal)}
	switch e.Reason {
	case process.TimedOut:
		exit.Code, exit.Reason = wrap.CodeTimeout, "timed out after "+timeout.String()
		if e.Killed {
			exit.Reason += " and had to be killed"
		}
	case process.Lost:
		exit.Code, exit.Reason, exit.Final = wrap.CodeLost, "its slot was lost", true
	case process.Stopped:
		exit.Reason, exit.Final = "stopped", true
	}
	return exit
}

// describeExit is exit 3, or SIGKILL.
func describeExit(e plan.Exit) string {
	switch {
	case e.Reason != "":
		return e.Reason
	case e.Signal != 0:
		return "killed by signal " + strconv.Itoa(e.Signal)
	default:
		return "exit " + strconv.Itoa(e.Code)
	}
}
