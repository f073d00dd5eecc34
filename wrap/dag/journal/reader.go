package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// Entry is a run that is kept, with its steps.
type Entry struct {
	Dir     string
	Running bool // it, or a process of one of its steps, lives
	*Run
	file *stepfile.File
	at   int64 // how much of the journal has been read
}

// StepFile is the file as it was when the run began.
func (e *Entry) StepFile() *stepfile.File { return e.file }

// State is as that of Listed.
func (e *Entry) State() string {
	l := e.Listed()
	return l.State()
}

// Listed is the run as a list shows it.
func (e *Entry) Listed() Listed {
	return Listed{Dir: e.Dir, ID: e.ID, Name: e.Name, File: e.Run.File, Started: e.Started, Running: e.Running,
		Finished: e.Finished,
		Queued:   e.Running && e.Granted == 0, Code: e.Code, Signal: e.Signal, Reason: e.Reason, Ended: e.Ended,
		Counts: e.Count()}
}

// Step returns a step by its id, or nil.
func (e *Entry) Step(id string) *Step { return e.step(id) }

// runNames are the names of runs' directories, the oldest first.
func runNames(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the earlier runs: %w", err)
	}
	var names []string
	for _, e := range entries {
		if when, id, ok := strings.Cut(e.Name(), "-"); ok && e.IsDir() && strings.Contains(when, "T") && len(id) >= 8 {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Latest returns the latest run under root of a file that is wanted, or nil.
func Latest(root string, wanted func(file string) bool) (*Entry, error) {
	names, err := runNames(root)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(names) {
		dir := filepath.Join(root, name)
		if h, err := headOf(dir); err == nil && wanted(h.File) {
			return Load(dir)
		}
	}
	return nil, nil
}

// headOf reads the first record of a run.
func headOf(dir string) (*head, error) {
	f, err := os.Open(filepath.Join(dir, journalName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readHead(f)
}

func readHead(r io.Reader) (*head, error) {
	line, err := readLine(bufio.NewReader(r))
	if err != nil {
		return nil, err
	}
	var h head
	return &h, json.Unmarshal(line, &h)
}

// Find returns the one run under root whose id begins with prefix, or the latest one where prefix is "".
func Find(root, prefix string) (*Entry, error) {
	names, err := runNames(root)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Stat(filepath.Join(root, name, journalName))
		return errors.Is(err, os.ErrNotExist) // killed before it began
	})
	var found []string
	for _, name := range names {
		if _, id, _ := strings.Cut(name, "-"); strings.HasPrefix(id, prefix) {
			found = append(found, name)
		}
	}
	switch {
	case len(found) == 0 && prefix == "":
		return nil, fmt.Errorf("there is no earlier run in %s", root)
	case len(found) == 0:
		return nil, fmt.Errorf("there is no run %q in %s; 'limit dag list' shows those there are", prefix, root)
	case len(found) > 1 && prefix != "":
		return nil, fmt.Errorf("%q names %d runs; give more of the id", prefix, len(found))
	}
	return Load(filepath.Join(root, found[len(found)-1]))
}

// Load reads a run from its directory: everything up to the last whole line of its journal.
func Load(dir string) (*Entry, error) {
	f, err := os.Open(filepath.Join(dir, journalName))
	if err != nil {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	defer f.Close()
	running := alive(f)
	lines := bufio.NewReaderSize(f, 1<<16)
	first, err := readLine(lines)
	if err != nil {
		return nil, fmt.Errorf("%s is not a journal: its first line is not whole", f.Name())
	}
	var h head
	if err := json.Unmarshal(first, &h); err != nil || h.Event != "run" {
		return nil, fmt.Errorf("%s is not a journal", f.Name())
	}
	if h.Version > version {
		return nil, fmt.Errorf("%s was written by a newer limit", f.Name())
	}
	source, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		return nil, fmt.Errorf("reading the step file of the run: %w", err)
	}
	params := make(map[string]string, len(h.Params))
	for name, value := range h.Params {
		params[name] = unsealed(value)
	}
	file, _, err := stepfile.Parse(h.File, source, stepfile.Options{Params: params, Masked: true})
	if err != nil {
		return nil, fmt.Errorf("reading the step file of the run: %w", err)
	}
	r := NewRun(file)
	r.ID, r.Name, r.File, r.Hash, r.Retries, r.Host, r.PID = h.ID, h.Name, h.File, h.Hash, h.Retries, h.Host, h.PID
	r.Params, r.Sealed, r.Selected, r.Started, r.Max, r.TagLimits = params, h.Params, h.Selected, h.Started, h.Max,
		h.TagLimits
	if h.Given != nil {
		r.Given = *h.Given
	}
	for _, p := range file.Params {
		if p.Value != nil {
			r.Params[p.Name] = *p.Value
		}
	}
	for _, s := range h.Shown {
		if s != nil && s.Index >= 0 && s.Index < len(r.Steps) {
			s.Needs = r.Steps[s.Index].Needs
			r.Steps[s.Index].Step = s
		}
	}
	r.Leave()
	e := &Entry{Dir: dir, Running: running, Run: r, file: file, at: int64(len(first)) + 1}
	e.read(lines)
	return e, nil
}

// read applies the records up to the last whole line.
func (e *Entry) read(lines *bufio.Reader) {
	for {
		line, err := readLine(lines)
		if err != nil {
			return
		}
		var rec record
		if json.Unmarshal(line, &rec) != nil {
			return // nothing after a damaged line can be trusted to be in order
		}
		e.at += int64(len(line)) + 1
		e.apply(rec)
	}
}

// Update reads what has been added to the journal since the run was read.
func (e *Entry) Update() error {
	f, err := os.Open(filepath.Join(e.Dir, journalName))
	if err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	defer f.Close()
	e.Running = alive(f) // before the reading: what it said before its end is read then
	if _, err := f.Seek(e.at, io.SeekStart); err != nil {
		return fmt.Errorf("reading the journal: %w", err)
	}
	e.read(bufio.NewReader(f))
	return nil
}

// readLine returns a whole line, or an error for one without an end.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line, []byte("\n")), nil
}

// apply adds a record to the run.
func (r *Run) apply(rec record) {
	switch rec.Event {
	case "granted":
		r.Granted, r.Waits, r.Pools, r.PoolLimits = rec.At, rec.Waits, rec.Pools, rec.Limits
	case "blocked":
		b := &Blocked{Since: rec.At, Blocks: rec.Blocks, InStore: rec.InStore, Behind: rec.Step}
		for _, id := range rec.Steps {
			if s := r.step(id); s != nil {
				s.Blocked = b
			}
		}
	case "finish":
		r.Finished, r.Ended, r.Code, r.Signal, r.Reason = true, rec.At, rec.Code, rec.Name, rec.Reason
	default:
		if s := r.step(rec.Step); s != nil {
			s.Blocked = nil
			s.apply(rec)
			r.Ended = max(r.Ended, rec.At)
		}
	}
}

func (s *Step) apply(rec record) {
	switch rec.Event {
	case "check":
		s.Checked = rec.At
	case "passed":
		s.Passed = rec.At
	case "start":
		a := s.Attempt(rec.Attempt)
		a.Ready, a.Start, a.Waits = rec.Ready, rec.At, rec.Waits
	case "end":
		a := s.Attempt(rec.Attempt)
		a.End, a.Ended, a.PID, a.Code, a.Signal, a.Reason, a.Log = rec.At, true, rec.PID, rec.Code, rec.Signal,
			rec.Reason, rec.Log
		s.Outputs = rec.Outputs
	case "rerun":
		s.Rerun = true
	case "settled":
		s.Settled = rec.At
		if rec.Earlier {
			s.Outputs = rec.Outputs
		}
		s.Outcome = plan.Outcome{State: stateOf(rec.State), Tolerated: rec.OK, Earlier: rec.Earlier, Reason: rec.Reason}
		if a := s.Last(); a != nil && a.Ended {
			s.Outcome.Exit = plan.Exit{Code: a.Code, Signal: a.Signal, Reason: a.Reason}
		}
	}
}

func stateOf(word string) plan.State {
	for s := plan.Pending; s <= plan.Unselected; s++ {
		if s.String() == word {
			return s
		}
	}
	return plan.Pending
}

// Log opens an attempt's log.
func (e *Entry) Log(name string) (*os.File, error) {
	f, err := os.Open(filepath.Join(e.Dir, filepath.FromSlash(name)))
	if err != nil {
		return nil, fmt.Errorf("reading the log: %w", err)
	}
	return f, nil
}

// Tail copies the last lines of a log, at most so many bytes of them, to w.
func Tail(f io.ReadSeeker, w io.Writer, lines, most int) error {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	from := max(0, size-int64(most))
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(most)))
	if err != nil {
		return err
	}
	at := len(bytes.TrimRight(text, "\n"))
	for ; lines > 0 && at > 0; lines-- {
		at = bytes.LastIndexByte(text[:at], '\n')
	}
	if at >= 0 && lines == 0 {
		text = text[at+1:]
	} else if from > 0 {
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	_, err = w.Write(text)
	return err
}
