package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// recent is how much the latest duration of a step counts against what was known before.
const recent = 0.5

// weightsPath is where the durations of a file's steps are kept, beside the runs.
func weightsPath(root, file string) string {
	return filepath.Join(root, "durations", Hash([]byte(file))[:32]+".json")
}

// Weights returns how long each step of the file took in earlier runs, by index, and for how many of them that is
// known. An unknown one gets the mean of the others. nil: nothing is known.
func Weights(root, path string, f *stepfile.File) ([]time.Duration, int) {
	known := readWeights(weightsPath(root, path))
	if len(known) == 0 {
		return nil, 0
	}
	weights, count, sum := make([]time.Duration, len(f.Steps)), 0, time.Duration(0)
	for i, s := range f.Steps {
		if seconds, ok := known[s.ID]; ok {
			weights[i] = time.Duration(seconds * float64(time.Second))
			count, sum = count+1, sum+weights[i]
		}
	}
	if count == 0 {
		return nil, 0
	}
	for i, s := range f.Steps {
		if _, ok := known[s.ID]; !ok {
			weights[i] = sum / time.Duration(count)
		}
	}
	return weights, count
}

func readWeights(path string) map[string]float64 {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var known map[string]float64
	if json.Unmarshal(text, &known) != nil {
		return nil // damaged: as if nothing were known
	}
	return known
}

// KeepWeights adds the durations of a run's successful steps to what is known of its file.
func KeepWeights(root string, r *Run) error {
	path := weightsPath(root, r.File)
	known := readWeights(path)
	if known == nil {
		known = map[string]float64{}
	}
	fresh := make(map[string]float64, len(r.Steps)) // steps that are no longer in the file are forgotten
	for _, s := range r.Steps {
		before, ok := known[s.ID]
		took := s.Took().Seconds()
		switch {
		case s.Outcome.State != plan.Succeeded || s.Outcome.Earlier:
			if ok {
				fresh[s.ID] = before
			}
		case ok:
			fresh[s.ID] = before + recent*(took-before)
		default:
			fresh[s.ID] = took
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return writeWhole(path, appendJSON(nil, fresh))
}

// writeWhole replaces a file so that a reader sees the old or the new one.
func writeWhole(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keeping durations: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("keeping durations: %w", err)
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("keeping durations: %w", err)
	}
	return nil
}
