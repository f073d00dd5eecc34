package dag

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// stepEnvironment adds to the run's environment what is a step's own: its variables, its matrix, how its needs have
// ended, and their outputs.
func (l *loop) stepEnvironment(e *execution, s *journal.Step) ([]string, error) {
	added := []string{"LIMIT_DAG=" + l.r.File.Name, "LIMIT_STEP=" + e.real.ID, wrap.EnvAttempt + "=" +
		strconv.Itoa(e.number)}
	if e.step < 0 {
		added = append(added, l.ending()...)
	}
	for _, v := range e.real.Env {
		added = append(added, v.Name+"="+v.Value)
	}
	for _, v := range e.real.Matrix {
		added = append(added, "MATRIX_"+stepfile.VariableName(v.Name)+"="+v.Value)
	}
	var outputs []stepfile.Var
	for _, n := range e.real.Needs {
		name := stepfile.VariableName(l.r.File.Steps[n].ID)
		added = append(added, "NEED_"+name+"="+needed(l.plan.Outcome(n).State))
		for _, o := range l.record.Steps[n].Outputs {
			outputs = append(outputs, stepfile.Var{Name: "OUT_" + name + "_" + stepfile.VariableName(o.Name),
				Value: o.Value})
		}
	}
	inputs, err := l.inputs(e, s, outputs)
	return wrap.Setenv(l.env, append(added, inputs...)), err
}

// needed is how a need has ended, in a word. What is not part of the run is as good as skipped.
func needed(state plan.State) string {
	if state == plan.Unselected {
		state = plan.Skipped
	}
	return state.String()
}

// maxInputs is how many bytes of outputs an environment is given: the kernel bounds it, with the arguments, to 2 MiB or
// less.
const maxInputs = 256 << 10

// inputs hands the outputs of its needs to a step: each as a file in the directory $LIMIT_INPUTS, and as a variable of
// the same name, unless they are too much for an environment.
func (l *loop) inputs(e *execution, s *journal.Step, outputs []stepfile.Var) ([]string, error) {
	if len(outputs) == 0 {
		return nil, nil
	}
	dir := l.journal.InputName(s.ID, e.number)
	e.inputs = dir
	if err := l.r.files.Try(func() error { return writeInputs(dir, outputs) }); err != nil {
		return nil, fmt.Errorf("handing on outputs: %w", err)
	}
	variables, size := []string{"LIMIT_INPUTS=" + dir}, 0
	for _, o := range outputs {
		size += len(o.Name) + len(o.Value) + 2
		variables = append(variables, o.Name+"="+o.Value)
	}
	if size > maxInputs {
		l.r.Messages.Info("the outputs that step %s needs are %d KiB, too much for an environment: it has them as "+
			"files in $LIMIT_INPUTS alone", s.ID, size>>10)
		return variables[:1], nil
	}
	return variables, nil
}

// writeInputs writes outputs as files of a directory, which it makes.
func writeInputs(dir string, outputs []stepfile.Var) error {
	err := os.MkdirAll(dir, 0o700)
	for _, o := range outputs {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, o.Name), []byte(o.Value), 0o600)
		}
	}
	return err
}

// command is what starts a step's script.
func (l *loop) command(e *execution, s *journal.Step) (process.Command, error) {
	script := e.real.Run
	if e.condition {
		script = e.real.If
	}
	argv := append(append(make([]string, 0, len(s.Shell)+1), s.Shell...), script)
	output := envOutput + "=" + l.journal.OutputName(s.ID, e.number)
	env, err := l.stepEnvironment(e, s)
	if err != nil {
		return process.Command{}, err
	}
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
func (l *loop) outputs(e *execution, s *journal.Step) ([]stepfile.Var, error) {
	path, inputs := l.journal.OutputName(s.ID, e.number), e.inputs
	var text []byte
	err := l.r.files.Try(func() (err error) {
		text, err = takeOutputs(path, inputs)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading its outputs: %w", err)
	}
	return parseOutputs(text)
}

// takeOutputs reads an output file, if it was written, and removes it and the directory of inputs.
func takeOutputs(path, inputs string) ([]byte, error) {
	if inputs != "" {
		os.RemoveAll(inputs)
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer os.Remove(path)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxOutput+1))
}

// sealed are outputs as the journal keeps them.
func (l *loop) sealed(outputs []stepfile.Var) []stepfile.Var {
	sealed := slices.Clone(outputs)
	for i := range sealed {
		sealed[i].Value = l.mask.Seal(sealed[i].Value)
	}
	return sealed
}

// parseOutputs reads key=value lines, and key<<WORD with the lines of a value up to the one that is WORD, as GitHub
// Actions has it; a later value of the same key takes the place of an earlier one.
func parseOutputs(text []byte) ([]stepfile.Var, error) {
	if len(text) > maxOutput {
		return nil, fmt.Errorf("it wrote more than %d KiB to $%s", maxOutput>>10, envOutput)
	}
	var vars []stepfile.Var
	lines := strings.Split(string(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimSuffix(lines[i], "\r")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if key, word, long := strings.Cut(line, "<<"); long && (!ok || len(key) < len(name)) {
			end := slices.IndexFunc(lines[i+1:], func(l string) bool { return strings.TrimSuffix(l, "\r") == word })
			if word == "" || end < 0 {
				return nil, fmt.Errorf("the value of %s that begins at line %d of what it wrote to $%s has no end: "+
					"a line that is %q", key, i+1, envOutput, word)
			}
			name, value, ok = key, strings.Join(lines[i+1:i+1+end], "\n"), true
			i += 1 + end
		}
		if !ok || stepfile.VariableName(name) == "" || strings.ContainsAny(name, " \t") ||
			strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("line %d that it wrote to $%s is not key=value", i+1, envOutput)
		}
		vars = slices.DeleteFunc(vars, func(v stepfile.Var) bool { return v.Name == name })
		vars = append(vars, stepfile.Var{Name: name, Value: value})
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
