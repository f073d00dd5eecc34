package journal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Listed is a run as a list shows it.
type Listed struct {
	Dir      string
	ID, Name string
	File     string
	Started  time.Time
	Running  bool
	Queued   bool // it runs, and waits in the run queue
	Finished bool
	Code     int
	Signal   string
	Reason   string
	Ended    time.Duration
	Counts   Counts
}

// States returns the words that State begins with.
func States() []string {
	return []string{"queued", "running", "succeeded", "failed", "cancelled", "killed"}
}

// State is one of States, and how it came to that.
func (l *Listed) State() string {
	switch {
	case l.Finished && l.Code == 0:
		return "succeeded"
	case l.Finished && l.Signal != "":
		return "cancelled (" + l.Signal + ")"
	case l.Finished && strings.HasPrefix(l.Reason, "cancelled"):
		return "cancelled"
	case l.Finished:
		return fmt.Sprintf("failed (%d)", l.Code)
	case l.Queued:
		return "queued"
	case l.Running:
		return "running"
	default:
		return "killed"
	}
}

// List returns the runs under root, the latest first. What cannot be read is left out.
func List(root string) ([]Listed, error) {
	names, err := runNames(root)
	if err != nil {
		return nil, err
	}
	runs := make([]Listed, 0, len(names))
	for _, name := range slices.Backward(names) {
		if l, err := look(filepath.Join(root, name)); err == nil {
			runs = append(runs, *l)
		}
	}
	return runs, nil
}

// lastRecord is more than a finish record takes.
const lastRecord = 4 << 10

// look reads the first and the last record of a run that has finished, and all of one that has not.
func look(dir string) (*Listed, error) {
	f, err := os.Open(filepath.Join(dir, journalName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h, err := readHead(f)
	if err != nil {
		return nil, err
	}
	if finish, ok := finishOf(f); ok {
		return &Listed{Dir: dir, ID: h.ID, Name: h.Name, File: h.File, Started: h.Started, Finished: true,
				Code: finish.Code, Signal: finish.Name, Reason: finish.Reason, Ended: finish.At,
				Counts: *finish.Counts},
			nil
	}
	e, err := Load(dir)
	if err != nil {
		return nil, err
	}
	l := e.Listed()
	return &l, nil
}

// finishOf returns a journal's last record if that is the finish.
func finishOf(f *os.File) (*record, bool) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, false
	}
	text := make([]byte, min(size, lastRecord))
	if _, err := f.ReadAt(text, size-int64(len(text))); err != nil {
		return nil, false
	}
	text = bytes.TrimSuffix(text, []byte("\n"))
	var rec record
	if json.Unmarshal(text[bytes.LastIndexByte(text, '\n')+1:], &rec) != nil || rec.Event != "finish" ||
		rec.Counts == nil {
		return nil, false
	}
	return &rec, true
}

// tryLock reports whether the lock of a file is this process's now.
func tryLock(f *os.File) bool { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil }

// alive reports whether anybody holds the lock of a journal.
func alive(f *os.File) bool { return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil }
