//go:build !slim

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"limit/backend"
	"limit/backend/simulate"
	"limit/config"
	"limit/config/grammar"
	"limit/wrap"
	"limit/wrap/serve"
)

// wanted is the body of a change of limits. What is not given stays as it is.
type wanted struct {
	Kind   string          `json:"kind"`  // pool, runs, tag, default
	Name   string          `json:"name"`  // of the pool; KEY or KEY=VALUE of the tag
	Limit  json.RawMessage `json:"limit"` // a number or "unlimited"; null: none of its own
	Rate   *string         `json:"rate"`  // of a pool: N/PERIOD or none
	Paused *bool           `json:"paused"`
	Reason string          `json:"reason"` // of a pause
}

// says is the answer to a change: what it does to whom, or with dry_run=1 would do.
type says struct {
	Says []string `json:"says"`
}

// asked reads what is to be changed, and how things stand.
func (v *views) asked(r *http.Request, body any) (*backend.Snapshot, error) {
	if err := serve.Body(r, body); err != nil {
		return nil, err
	}
	return v.s.Snapshot(r.Context())
}

func isDryRun(r *http.Request) bool { return r.URL.Query().Get("dry_run") == "1" }

// setLimit sets, unsets, pauses or resumes one limit.
func (v *views) setLimit(r *http.Request) (any, error) {
	var want wanted
	snapshot, err := v.asked(r, &want)
	if err != nil {
		return nil, err
	}
	after := snapshot.Settings.Clone()
	if err := want.apply(&after); err != nil {
		return nil, serve.Faultf(http.StatusBadRequest, "%w", err)
	}
	answer := says{effects(snapshot, after)}
	if isDryRun(r) {
		return answer, nil
	}
	err = v.s.ChangeSettings(r.Context(), func(s *backend.Settings, _ bool) error { return want.apply(s) })
	if err != nil {
		return nil, err
	}
	changes := config.Diff(snapshot.Settings, after)
	if want.Paused != nil {
		changes = append(changes, want.limit()+map[bool]string{true: " paused", false: " resumed"}[*want.Paused])
	}
	return answer, v.remember(r.Context(), strings.Join(changes, ", "))
}

// limit is the limit as blocks and statuses name it.
func (w wanted) limit() string {
	names := backend.StoreNames()
	return map[string]string{"pool": names.Pool + w.Name, "runs": names.Runs, "tag": names.Tag + w.Name}[w.Kind]
}

// apply makes the settings what is wanted.
func (w wanted) apply(s *backend.Settings) error {
	if err := w.check(); err != nil {
		return err
	}
	if err := w.setCapacity(s); err != nil {
		return err
	}
	if w.Rate != nil {
		if err := w.setRate(s); err != nil {
			return err
		}
	}
	switch {
	case w.Paused == nil:
	case *w.Paused:
		return pause(s, w.limit(), byServe(), w.Reason)
	default:
		delete(s.Paused, w.limit())
	}
	return nil
}

func (w wanted) check() error {
	switch {
	case w.Kind == "default" && (w.Paused != nil || w.Rate != nil):
		return errors.New("the default limit cannot be paused and has no rate")
	case w.Kind == "default":
		return nil
	case w.limit() == "":
		return fmt.Errorf("kind %q is not one of pool, runs, tag, default", w.Kind)
	case w.Kind == "pool":
		return checkPoolName(w.Name)
	case w.Rate != nil:
		return errors.New("only a pool has a rate")
	case w.Kind == "tag" && w.Paused != nil:
		return errors.New("a tag limit cannot be paused; set it to 0")
	case w.Kind == "tag":
		key, _, _ := strings.Cut(w.Name, "=")
		_, err := grammar.Tags([]string{key})
		return err
	}
	return nil
}

func (w wanted) setCapacity(s *backend.Settings) error {
	switch {
	case len(w.Limit) == 0:
		return nil
	case string(w.Limit) == "null":
		w.unset(s)
		return nil
	}
	n, err := grammar.Limit(strings.Trim(string(w.Limit), `"`))
	switch {
	case err != nil:
		return err
	case w.Kind == "default":
		s.DefaultLimit = &n
	default:
		simulate.Set(s, w.limit(), n)
	}
	return nil
}

// unset takes a limit away.
func (w wanted) unset(s *backend.Settings) {
	key, value, exact := strings.Cut(w.Name, "=")
	switch w.Kind {
	case "pool":
		delete(s.Pools, w.Name)
	case "runs":
		s.MaxRuns = backend.Unlimited
	case "default":
		s.DefaultLimit = nil
	case "tag":
		s.TagLimits = slices.DeleteFunc(slices.Clone(s.TagLimits), func(t backend.TagLimit) bool {
			return t.Key == key && exact == (t.Value != nil) && (!exact || *t.Value == value)
		})
	}
}

func (w wanted) setRate(s *backend.Settings) error {
	if *w.Rate != "none" {
		rate, err := grammar.Rate(*w.Rate)
		if err == nil {
			simulate.SetRate(s, w.Name, rate)
		}
		return err
	}
	if pool, own := s.Pools[w.Name]; own {
		pool.Rate = nil
		s.Pools[w.Name] = pool
	}
	return nil
}

// byServe is who changes something here.
func byServe() string { return userAtHost() + " with limit serve" }

// effects say what other settings do to those who hold and wait.
func effects(s *backend.Snapshot, after backend.Settings) []string {
	lines := config.Diff(s.Settings, after)
	for _, u := range s.Usage {
		var capacity int
		switch u.Kind {
		case backend.KindPool:
			pool, _ := after.Pool(u.Pool)
			capacity = pool.Limit
		case backend.KindRuns:
			capacity = after.MaxRuns
		default:
			continue
		}
		was, is := s.Settings.PauseOf(u.Limit), after.PauseOf(u.Limit)
		switch {
		case is != nil && was == nil:
			lines = append(lines,
				fmt.Sprintf("%s is paused: %s on, %s", u.Limit, wrap.Plural(u.Used, "held slot")+" go",
					"nobody else enters"))
		case is == nil && was != nil:
			lines = append(lines, fmt.Sprintf("%s goes on: %s for it", u.Limit, waiting(u.Waiting)))
		case capacity == u.Capacity || u.Pause != nil:
		case capacity != backend.Unlimited && u.Used > capacity:
			lines = append(lines,
				fmt.Sprintf("%d of %s are held: nobody is stopped, and nobody enters until fewer than %d are",
					u.Used, u.Limit, max(1, capacity)))
		case u.Waiting > 0:
			lines = append(lines, fmt.Sprintf("%s for %s", waiting(u.Waiting), u.Limit))
		}
	}
	for _, w := range s.Waiting {
		for name, slots := range w.Pools {
			if pool, _ := after.Pool(name); pool.Limit > 0 && slots > pool.Limit {
				lines = append(lines,
					fmt.Sprintf("%s %s asks %d of %s and is refused", short(w.ID), shownName(w.Claim, after),
						slots, poolLimit(name)))
			}
		}
	}
	if len(lines) == 0 {
		lines = []string{"nothing changes"}
	}
	return lines
}

func waiting(n int) string {
	if n == 1 {
		return "1 claim waits"
	}
	return fmt.Sprintf("%d claims wait", n)
}

// remember writes a change of limits into the history, as a claim for nothing that ends at once.
func (v *views) remember(ctx context.Context, change string) error {
	c := backend.Claim{ID: backend.NewID(), Name: change}
	c.RunID = c.ID
	v.p.describeOwner(&c, change, nil)
	e, err := v.s.Enter(ctx, c, backend.EnterOptions{NoWait: true})
	if err != nil {
		return fmt.Errorf("the limits are changed; writing that into the history: %w", err)
	}
	e.Conclude(backend.Outcome{How: backend.Changed, Reason: "with limit serve"})
	return e.Release(ctx)
}

// steer is the body of a change of a claim.
type steer struct {
	Action   string `json:"action"` // cancel, bump
	Priority *int32 `json:"priority"`
	Reason   string `json:"reason"`
}

// steerClaim cancels or bumps a claim.
func (v *views) steerClaim(r *http.Request) (any, error) {
	var a steer
	snapshot, err := v.asked(r, &a)
	if err != nil {
		return nil, err
	}
	targets, err := targetsOf(snapshot, []string{r.PathValue("id")})
	if err != nil || len(targets) == 0 {
		return nil, serve.Faultf(http.StatusNotFound, "there is no claim %s any more", r.PathValue("id"))
	}
	t := targets[0]
	held := t.Grant != nil
	who := fmt.Sprintf("%s %s of %s@%s", short(t.ID), shownName(t.Claim, snapshot.Settings), t.User, t.Host)
	var line string
	switch {
	case a.Action == "bump" && a.Priority == nil:
		return nil, serve.Faultf(http.StatusBadRequest, "a priority is needed")
	case a.Action == "bump" && held:
		return nil, serve.Faultf(http.StatusConflict, "%s is held: a priority changes nothing", short(t.ID))
	case a.Action == "bump":
		line = fmt.Sprintf("%s gets the priority %d in place of %d", who, *a.Priority, t.Priority)
	case a.Action != "cancel":
		return nil, serve.Faultf(http.StatusBadRequest, "action %q is not one of cancel, bump", a.Action)
	case t.orphaned:
		return nil, serve.Faultf(http.StatusConflict,
			"the wrapper of %s has died; 'limit cancel %s' on %s ends what it left",
			who, short(t.ID), t.Host)
	case held:
		line = fmt.Sprintf("the command of %s is stopped (TERM, after its grace KILL); it releases %s", who,
			needsText(t.Claim))
	default:
		line = fmt.Sprintf("%s leaves with exit status 75, without having run", who)
	}
	if isDryRun(r) {
		return says{[]string{line}}, nil
	}
	if a.Action == "bump" {
		err = v.s.Bump(r.Context(), t.ID, *a.Priority)
	} else {
		reason := "by " + byServe()
		if a.Reason != "" {
			reason = a.Reason + ", " + reason
		}
		err = v.s.Cancel(r.Context(), t.ID, reason)
	}
	var gone *backend.NotFoundError
	if errors.As(err, &gone) {
		return nil, serve.Faultf(http.StatusNotFound, "%s has ended meanwhile", short(t.ID))
	}
	return says{[]string{line}}, err
}
