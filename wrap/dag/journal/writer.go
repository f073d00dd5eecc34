package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"limit/wrap"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// Writer writes the journal of one run. It is used by one goroutine.
type Writer struct {
	Dir    string // of the run
	file   *os.File
	out    *wrap.Outlet // to file
	buffer []byte
}

// The names within a run's directory.
const (
	journalName = "journal"
	fileName    = "steps.yaml"
	logDir      = "log"
	outputDir   = "out"
)

// DefaultDir is where runs are kept: /var/lib/limit/runs for root, else in the user's state directory.
func DefaultDir(uid int, getenv func(string) string) string {
	switch {
	case uid == 0:
		return "/var/lib/limit/runs"
	case getenv("XDG_STATE_HOME") != "":
		return filepath.Join(getenv("XDG_STATE_HOME"), "limit", "runs")
	default:
		return filepath.Join(getenv("HOME"), ".local", "state", "limit", "runs")
	}
}

// Hash identifies the text of a step file.
func Hash(source []byte) string {
	sum := sha256.Sum256(source)
	return hex.EncodeToString(sum[:])
}

// Create makes the directory of a run under root, which is made too, and begins its journal: with its head, the steps
// that run again though they may have run before (Step.Rerun), and those that an earlier run has settled, by index:
// seal hides secrets in their outputs. The journal is there with all of that or not at all. The directory is its
// owner's alone: logs are nobody else's business.
func Create(root string, r *Run, source []byte, settled map[int]plan.Outcome,
	seal func(string) string) (*Writer, error) {
	dir := filepath.Join(root, r.Started.UTC().Format("20060102T150405.000")+"-"+r.ID)
	for _, d := range []string{dir, filepath.Join(dir, logDir), filepath.Join(dir, outputDir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("making the run's directory: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), source, 0o600); err != nil {
		return nil, fmt.Errorf("keeping the step file: %w", err)
	}
	path := filepath.Join(dir, journalName)
	file, err := os.OpenFile(path+".new", os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making the journal: %w", err)
	}
	w := &Writer{Dir: dir, file: file}
	w.begin(r, settled, seal)
	_, err = file.Write(w.buffer)
	if err == nil && !tryLock(file) {
		err = errors.New("it is locked")
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("making the journal: %w", err)
	}
	w.buffer, w.out = w.buffer[:0], wrap.NewOutlet(file)
	return w, nil
}

// begin adds the records that a journal begins with.
func (w *Writer) begin(r *Run, settled map[int]plan.Outcome, seal func(string) string) {
	h := head{
		Event: "run", Version: version, ID: r.ID, Name: r.Name, File: r.File, Hash: r.Hash, Retries: r.Retries,
		Host: r.Host,
		PID:  r.PID, Params: r.Sealed, Selected: r.Selected, Started: r.Started, Max: r.Max, TagLimits: r.TagLimits,
		Given: &r.Given,
	}
	for _, s := range r.Steps {
		if s.Hidden {
			h.Shown = append(h.Shown, s.Step)
		}
	}
	w.add(appendJSON(w.buffer, h))
	for i, s := range r.Steps {
		if s.Rerun {
			w.add(appendJSON(w.buffer, record{Event: "rerun", Step: s.ID}))
		}
		if o, ok := settled[i]; ok {
			outputs := slices.Clone(s.Outputs)
			for i := range outputs {
				outputs[i].Value = seal(outputs[i].Value)
			}
			w.buffer = appendSettled(w.buffer, s.ID, o, 0, outputs)
		}
	}
}

// Lock returns the file whose descriptor tells that the run lives, for its steps to inherit.
func (w *Writer) Lock() *os.File { return w.file }

// Granted, Blocked, Check, Passed, Start, End, Settled and Finish add records; Flush hands them to the kernel.
//
// Granted says that the run queue has let the run in.
func (w *Writer) Granted(r *Run) {
	w.add(appendJSON(w.buffer, record{Event: "granted", At: r.Granted, Waits: r.Waits, Pools: r.Pools,
		Limits: r.PoolLimits}))
}

// Blocked says what blocks steps.
func (w *Writer) Blocked(b *Blocked) {
	w.add(appendJSON(w.buffer, record{Event: "blocked", At: b.Since, Steps: b.Steps, Blocks: b.Blocks,
		InStore: b.InStore, Step: b.Behind}))
}

// Check says that a step's condition is about to run, Passed that it was met.
func (w *Writer) Check(step string, at time.Duration) {
	w.add(appendJSON(w.buffer, record{Event: "check", Step: step, At: at}))
}

func (w *Writer) Passed(step string, at time.Duration) {
	w.add(appendJSON(w.buffer, record{Event: "passed", Step: step, At: at}))
}

// Start says that an attempt is about to start.
func (w *Writer) Start(step string, a *Attempt) {
	w.buffer = appendStart(w.buffer, step, a.Number, a.Ready, a.Start, a.Waits)
}

// End says how an attempt has ended.
func (w *Writer) End(step string, a *Attempt, outputs []stepfile.Var) {
	w.buffer = appendEnd(w.buffer, step, a, outputs)
}

// Settled says how a step has ended.
func (w *Writer) Settled(step string, o plan.Outcome, at time.Duration) {
	w.buffer = appendSettled(w.buffer, step, o, at, nil)
}

// Finish is the last record.
func (w *Writer) Finish(r *Run) {
	counts := r.Count()
	w.add(appendJSON(w.buffer, record{Event: "finish", At: r.Ended, Code: r.Code, Name: r.Signal, Reason: r.Reason,
		Counts: &counts}))
}

func (w *Writer) add(buffer []byte) { w.buffer = append(buffer, '\n') }

// Flush writes what was added. After a failure (a full disk) nothing more is written, and a file system that does not
// answer is waited for only a moment: the run goes on, and Complete tells.
func (w *Writer) Flush() {
	w.out.WriteWithin(flushFor, w.buffer)
	w.buffer = w.buffer[:0]
}

// flushFor is how long a file system may take before the run goes on without having its journal written.
const flushFor = time.Second

// Complete writes what is left, as Outlet.Close does, and returns why the journal is incomplete, or nil.
func (w *Writer) Complete(patience time.Duration, hurry <-chan struct{}) error {
	w.Flush()
	err := w.out.Close(patience, hurry)
	if errors.Is(err, wrap.ErrUnread) {
		err = wrap.ErrHangs
	}
	if err != nil {
		return fmt.Errorf("writing the journal: %w; a retry will run steps again that have ended since", err)
	}
	return nil
}

// Close completes, removes what is empty, and lets go of the lock.
func (w *Writer) Close() error {
	w.Complete(flushFor, nil)
	err := os.Remove(filepath.Join(w.Dir, outputDir))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTEMPTY) {
		err = nil
	}
	return errors.Join(err, w.file.Close())
}

// LogName is the name of an attempt's log within the run's directory.
func LogName(step string, attempt int) string {
	name := escape(step)
	if attempt > 1 {
		name += fmt.Sprintf(".%d", attempt)
	}
	return logDir + "/" + name + ".log"
}

// OutputName is the path of the file that an attempt writes its outputs to.
func (w *Writer) OutputName(step string, attempt int) string {
	return filepath.Join(w.Dir, outputDir, fmt.Sprintf("%s.%d", escape(step), attempt))
}

// InputName is the path of the directory with the outputs of what an attempt needs.
func (w *Writer) InputName(step string, attempt int) string {
	return w.OutputName(step, attempt) + ".in"
}

// escape makes a file name of a step's id. Long ones end in a hash.
func escape(id string) string {
	const longest = 200
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("-_[],=@", r)
	}
	var b strings.Builder
	for i, r := range id {
		if plain(r) || r == '.' && i > 0 {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(string(r)) {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() <= longest {
		return b.String()
	}
	sum := sha256.Sum256([]byte(id))
	return b.String()[:longest-20] + "~" + hex.EncodeToString(sum[:8])
}
