package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"limit/wrap/dag/journal"
	"limit/wrap/dag/report"
)

// reportFlags are those that ask for reports.
func reportFlags() []cli.Flag {
	const reports = "Reports"
	return []cli.Flag{
		&cli.StringFlag{Name: "junit", Usage: "write JUnit XML to `FILE`", Category: reports},
		&cli.StringFlag{Name: "trace", Usage: "write a Chrome trace to `FILE`", Category: reports},
		&cli.StringFlag{Name: "report", Usage: "write one HTML page to `FILE`", Category: reports},
	}
}

// reportFiles are the reports that were asked for, by flag. They are opened before anything runs: a run whose report
// cannot be written is not to find out at its end.
type reportFiles struct {
	files   map[string]*os.File
	written bool
}

func openReports(c *cli.Context) (*reportFiles, error) {
	r := &reportFiles{files: map[string]*os.File{}}
	for _, flag := range []string{"junit", "trace", "report"} {
		path := c.String(flag)
		if path == "" {
			continue
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666) // what is in it stays until there is something new
		if err != nil {
			return nil, fmt.Errorf("flag --%s: %w", flag, err)
		}
		r.files[flag] = f
	}
	return r, nil
}

// write writes them all, once. One that cannot be written does not keep the others from being.
func (r *reportFiles) write(run *journal.Run, dir string) error {
	if r.written {
		return nil
	}
	r.written = true
	var all error
	for flag, write := range map[string]func(io.Writer, *journal.Run) error{
		"junit":  func(w io.Writer, r *journal.Run) error { return report.JUnit(w, r, dir) },
		"trace":  report.Trace,
		"report": func(w io.Writer, r *journal.Run) error { return report.Page(w, r, dir) },
	} {
		if f := r.files[flag]; f != nil {
			err := replace(f, func() error { return write(f, run) })
			if err = errors.Join(err, f.Close()); err != nil {
				all = errors.Join(all, fmt.Errorf("writing --%s: %w", flag, err))
			}
		}
	}
	return all
}

// replace writes a file anew.
func replace(f *os.File, write func() error) error {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		if err := f.Truncate(0); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return write()
}
