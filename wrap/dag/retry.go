package dag

import (
	"limit/wrap/dag/journal"
	"limit/wrap/dag/plan"
	"limit/wrap/dag/stepfile"
)

// Resume finds what a run that goes on with an earlier one need not run again: steps that succeeded, were skipped by
// their condition, or failed and were tolerated, as long as nothing that they need runs again. Their outputs are put
// into the record. Steps that had been started, and whose end is not known, are marked: they run again.
func Resume(f *stepfile.File, record *journal.Run, earlier *journal.Run, mask *Mask) map[int]plan.Outcome {
	before := make(map[string]*journal.Step, len(earlier.Steps))
	for _, s := range earlier.Steps {
		before[s.ID] = s
	}
	done := map[int]plan.Outcome{}
	for _, i := range plan.Topological(f) {
		s, now := before[record.Steps[i].ID], record.Steps[i]
		if s == nil {
			continue
		}
		outcome, settled := outcomeBefore(s)
		for _, n := range f.Steps[i].Needs {
			_, ok := done[n]
			settled = settled && ok
		}
		if !settled {
			now.Rerun = s.Outcome.State == plan.Pending && (s.Last() != nil || s.Rerun)
			continue
		}
		outcome.Earlier = true
		done[i] = outcome
		for _, o := range s.Outputs {
			now.Outputs = append(now.Outputs, stepfile.Var{Name: o.Name, Value: mask.Unseal(o.Value)})
		}
	}
	return done
}

// outcomeBefore is how a step ended in the earlier run, and whether that stands.
func outcomeBefore(s *journal.Step) (plan.Outcome, bool) {
	o := s.Outcome
	a := s.Last()
	switch {
	case o.State == plan.Pending && a != nil && a.Ended && a.Code == 0 && a.Reason == "":
		return plan.Outcome{State: plan.Succeeded}, true // the kill came between the two records
	case o.State == plan.Succeeded, o.State == plan.Failed && o.Tolerated, o.State == plan.Unselected:
		return o, true
	case o.State == plan.Skipped:
		return o, s.When != stepfile.OnFailure
	}
	return o, false
}
