package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/simulate"
	"limit/config/grammar"
	"limit/wrap/dag"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/report"
	"limit/wrap/dag/stepfile"
)

func whatIfFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "what-if",
		Usage:    "also say what other limits would do, `LIMITS`: -j=8,database=4,step-tag:key=2; repeatable",
		Category: "Steps"}
}

// forecast is a run that is to be simulated.
type forecast struct {
	file    *stepfile.File
	slots   []int // that the steps ask for, as the file says
	options plan.Options
	world   plan.World
	changes []string
}

// whatIf returns the forecast with other limits: -j=8,database=4.
func (f forecast) whatIf(text string) (*forecast, error) {
	f.options.TagLimits = slices.Clone(f.options.TagLimits)
	if f.world.Pools != nil {
		pools := f.world.Pools.Clone()
		f.world.Pools = &pools
	}
	for change := range strings.SplitSeq(text, ",") {
		name, value, _ := cutLast(change, "=")
		n, err := grammar.Limit(value)
		if err == nil && n < 1 {
			err = fmt.Errorf("%q is not a number of slots", value)
		}
		if err == nil {
			err = f.set(name, n)
		}
		if err != nil {
			return nil, fmt.Errorf("flag --what-if: %q: %w; give limits such as -j=8,database=4", change, err)
		}
	}
	file := *f.file
	file.Steps = slices.Clone(file.Steps)
	for i, s := range file.Steps {
		step := *s
		step.Slots = min(f.slots[i], f.options.MaxConcurrent)
		file.Steps[i] = &step
	}
	file.Executor.TagLimits = f.options.TagLimits
	f.file = &file
	return &f, nil
}

func (f *forecast) set(name string, n int) error {
	names := backend.ExecutorNames()
	change := func(name string, from int) {
		f.changes = append(f.changes, fmt.Sprintf("%s %s → %d", name, limitText(from), n))
	}
	switch name {
	case "-j", names.Runs:
		change(names.Runs, f.options.MaxConcurrent)
		f.options.MaxConcurrent = n
		return nil
	}
	if strings.HasPrefix(name, names.Tag) {
		for i, t := range f.options.TagLimits {
			if report.LimitOf(t, name) {
				change(name, t.Limit)
				f.options.TagLimits[i].Limit = n
				return nil
			}
		}
		return fmt.Errorf("the file has no such tag limit")
	}
	pool := strings.TrimPrefix(name, names.Pool)
	if !slices.ContainsFunc(f.file.Steps, func(s *stepfile.Step) bool { return s.Pools[pool] > 0 }) {
		return fmt.Errorf("no step claims this pool")
	}
	if f.world.Pools == nil {
		return fmt.Errorf("pools do not limit this simulation")
	}
	was, _ := f.world.Pools.Pool(pool)
	change(pool, was.Limit)
	simulate.Set(f.world.Pools, poolLimit(pool), n)
	return nil
}

// run is the forecast as if it had happened.
func (f *forecast) run() (*journal.Run, error) {
	spans, p, err := plan.Simulate(f.file, f.options, f.world)
	if err != nil {
		return nil, err
	}
	var pools map[string]int
	if f.world.Pools != nil {
		pools = dag.PoolLimits(f.file, *f.world.Pools)
	}
	return report.Simulated(f.file, f.options.MaxConcurrent, pools, spans, p), nil
}
