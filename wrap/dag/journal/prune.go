package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Keep bounds the runs of each dag that are kept. 0: no bound.
type Keep struct {
	Runs  int
	Age   time.Duration
	Bytes int64 // of all runs of the dag together
}

// Prune removes the runs of each dag, which is a file, that are beyond what is to be kept, the oldest first. The latest
// run of a dag and the latest that did not succeed stay, and so does whatever lives. Bytes are counted of one file's
// runs alone, as that takes long. Runs that were killed before they had a journal go too.
func Prune(root, file string, keep Keep, now time.Time) error {
	runs, err := List(root)
	if err != nil {
		return err
	}
	dags := map[string]*kept{}
	first := removeUnborn(root, now)
	for _, r := range runs { // the latest first
		d := dags[r.File]
		if d == nil {
			d = &kept{}
			dags[r.File] = d
		}
		if !d.surplus(r, keep, now, r.File == file) {
			continue
		}
		if err := removeUnlessRunning(r.Dir); err != nil && first == nil {
			first = fmt.Errorf("removing an old run: %w", err)
		}
	}
	return first
}

// birth is far more than a run takes to have a journal.
const birth = time.Hour

// removeUnborn removes directories of runs that were killed before they had a journal.
func removeUnborn(root string, now time.Time) error {
	names, err := runNames(root)
	if err != nil {
		return err
	}
	var first error
	for _, name := range names {
		dir := filepath.Join(root, name)
		info, err := os.Stat(dir)
		if err != nil || now.Sub(info.ModTime()) < birth {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, journalName)); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := os.RemoveAll(dir); err != nil && first == nil {
			first = fmt.Errorf("removing a run without a journal: %w", err)
		}
	}
	return first
}

// kept is what is kept of a dag so far.
type kept struct {
	runs   int
	bytes  int64
	failed bool
}

// surplus reports whether a run is beyond what is to be kept.
func (d *kept) surplus(r Listed, keep Keep, now time.Time, count bool) bool {
	size := int64(0)
	if count && keep.Bytes > 0 {
		size = sizeOf(r.Dir)
	}
	latest, lastFailed := d.runs == 0, (!r.Finished || r.Code != 0) && !d.failed
	beyond := keep.Runs > 0 && d.runs >= keep.Runs || keep.Age > 0 && now.Sub(r.Started) > keep.Age || keep.Bytes > 0 &&
		d.bytes+size > keep.Bytes
	if beyond && !latest && !lastFailed && !r.Running {
		return true
	}
	d.failed = d.failed || lastFailed && !r.Running
	d.runs++
	d.bytes += size
	return false
}

// sizeOf is how many bytes the files of a run have. What vanishes meanwhile has none.
func sizeOf(dir string) (size int64) {
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size
}

func removeUnlessRunning(dir string) error {
	f, err := os.Open(filepath.Join(dir, journalName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil {
		defer f.Close()
		if !tryLock(f) {
			return nil
		}
	}
	return os.RemoveAll(dir)
}
