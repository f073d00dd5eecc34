//go:build !slim

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"limit/backend"
	"limit/backend/simulate"
	"limit/config/grammar"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/report"
	"limit/wrap/serve"
)

// views are what limit serve shows: the JSON of the verbs.
type views struct {
	p       *program
	s       *store
	runs    string // the directory of the runs of dags
	changes bool   // they are allowed
}

func (v *views) options() serve.Options {
	o := serve.Options{
		Views: map[string]serve.View{
			"GET /api/v1/me":         v.me,
			"GET /api/v1/status":     func(r *http.Request) (any, error) { return v.status(r.Context()) },
			"GET /api/v1/why/{id}":   v.why,
			"GET /api/v1/stats":      v.stats,
			"GET /api/v1/history":    v.history,
			"GET /api/v1/series":     v.series,
			"POST /api/v1/simulate":  v.simulate,
			"GET /api/v1/dags":       v.dags,
			"GET /api/v1/dags/{run}": v.dag,
		},
		Changes: map[string]serve.View{
			"POST /api/v1/limits":      v.setLimit,
			"POST /api/v1/claims/{id}": v.steerClaim,
		},
		Raw: map[string]http.HandlerFunc{
			"GET /dags/{run}":                    v.dagPage,
			"GET /api/v1/dags/{run}/logs/{step}": v.dagLog,
		},
		Status: func(ctx context.Context) (any, error) { return v.status(ctx) },
		Follow: v.s.Changes, Metrics: v.s.metrics,
	}
	for _, all := range []map[string]serve.View{o.Views, o.Changes} {
		for pattern, view := range all {
			all[pattern] = reachable(view)
		}
	}
	return o
}

// reachable gives the error of a store that does not answer its HTTP status.
func reachable(view serve.View) serve.View {
	return func(r *http.Request) (any, error) {
		value, err := view(r)
		if errors.Is(err, backend.ErrUnreachable) {
			err = &serve.Fault{Status: http.StatusServiceUnavailable, Err: err}
		}
		return value, err
	}
}

func (v *views) me(r *http.Request) (any, error) {
	return map[string]any{"changes": serve.MayChange(r.Context()), "allowed": v.changes, "namespace": v.s.namespace,
		"backend": v.s.String(), "version": version()}, nil
}

func (v *views) status(ctx context.Context) (status, error) {
	snapshot, err := v.s.Snapshot(ctx)
	if err != nil {
		return status{}, err
	}
	return newStatus(snapshot, v.s), nil
}

// why is the claim as status has it, and the text of limit why.
func (v *views) why(r *http.Request) (any, error) {
	snapshot, err := v.s.Snapshot(r.Context())
	if err != nil {
		return nil, err
	}
	id, err := findClaim(snapshot, r.PathValue("id"))
	if err != nil {
		return nil, &serve.Fault{Status: http.StatusNotFound, Err: err}
	}
	var text bytes.Buffer
	if err := writeWhy(&text, snapshot, id, time.Now()); err != nil {
		return nil, err
	}
	found := map[string]any{"text": text.String()}
	for _, h := range snapshot.Held {
		if h.ID == id {
			found["held"] = newStatusHeld(h, snapshot.Settings)
		}
	}
	for _, w := range snapshot.Waiting {
		if w.ID == id {
			found["waiting"] = newStatusWaiter(w, snapshot.Settings)
		}
	}
	return found, nil
}

// since is the moment that the parameter since means: so long ago, or a time; the zero time where it is not given.
func since(r *http.Request) (time.Time, error) {
	at, err := parseTime(r.URL.Query().Get("since"), time.Now())
	if err != nil {
		return at, serve.Faultf(http.StatusBadRequest, "since: %w", err)
	}
	return at, nil
}

// countOf is a parameter that is a number from 1 to most; fallback where it is not given.
func countOf(r *http.Request, name string, fallback, most int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return fallback, nil
	}
	n, err := grammar.Number(text)
	if err != nil || n < 1 || n > most {
		return 0, serve.Faultf(http.StatusBadRequest, "%s: %q is not a number from 1 to %d", name, text, most)
	}
	return n, nil
}

func (v *views) stats(r *http.Request) (any, error) {
	from, err := since(r)
	if err != nil {
		return nil, err
	}
	return v.s.stats(r.Context(), from)
}

// mostListed is how many ended claims are listed where nobody says how many.
const mostListed = 500

func (v *views) history(r *http.Request) (any, error) {
	from, err := since(r)
	if err != nil {
		return nil, err
	}
	most, err := countOf(r, "limit", mostListed, 1_000_000)
	if err != nil {
		return nil, err
	}
	pasts, err := v.s.History(r.Context())
	if err != nil {
		return nil, err
	}
	pasts = ofPool(r.URL.Query().Get("pool"), endedSince(from, pasts))
	return newHistory(pasts[max(0, len(pasts)-most):], v.s), nil
}

// asked is the body of a simulation: other limits; null is unlimited.
type asked struct {
	Pools        map[string]*int `json:"pools"`
	Runs         *int            `json:"runs"`
	DefaultLimit *int            `json:"default_limit"`
	TagLimits    map[string]int  `json:"tag_limits"` // by KEY or KEY=VALUE
	Since        string          `json:"since"`
}

// simulate is limit simulate --json.
func (v *views) simulate(r *http.Request) (any, error) {
	var a asked
	if err := serve.Body(r, &a); err != nil {
		return nil, err
	}
	from, err := parseTime(a.Since, time.Now())
	if err != nil {
		return nil, serve.Faultf(http.StatusBadRequest, "since: %w", err)
	}
	work, now, err := v.s.work(r.Context(), nil, simulate.Options{From: from})
	if err != nil {
		return nil, err
	}
	wanted, err := a.limits(now)
	if err != nil {
		return nil, serve.Faultf(http.StatusBadRequest, "%w", err)
	}
	return simulation{v.s.namespace, v.s.String(),
		simulate.Compare(work, now, []simulate.Variant{variant(now, wanted)})}, nil
}

func (a asked) limits(now backend.Settings) (backend.Settings, error) {
	wanted := now.Clone()
	set := func(name string, n int) error {
		if n != backend.Unlimited && (n < 0 || n > grammar.MaxSlots) {
			return errors.New(name + ": a limit is a number from 0 to " + strconv.Itoa(grammar.MaxSlots))
		}
		simulate.Set(&wanted, name, n)
		return nil
	}
	var failed error
	for name, n := range a.Pools {
		limit := backend.Unlimited
		if n != nil {
			limit = *n
		}
		failed = errors.Join(failed, checkPoolName(name), set(poolLimit(name), limit))
	}
	for tag, n := range a.TagLimits {
		failed = errors.Join(failed, set(backend.StoreNames().Tag+tag, n))
	}
	if a.Runs != nil {
		failed = errors.Join(failed, set(backend.StoreNames().Runs, *a.Runs))
	}
	if a.DefaultLimit != nil {
		wanted.DefaultLimit = a.DefaultLimit
	}
	return wanted, failed
}

// dags are the runs of this user on this machine.
func (v *views) dags(r *http.Request) (any, error) {
	most, err := countOf(r, "limit", 100, 100_000)
	if err != nil {
		return nil, err
	}
	runs, err := journal.List(v.runs)
	if err != nil {
		return nil, err
	}
	runs = runs[:min(most, len(runs))]
	return encoded(func(w io.Writer) error { return report.ListJSON(w, runs, time.Now()) })
}

func (v *views) run(r *http.Request) (*journal.Entry, error) {
	e, err := journal.Find(v.runs, r.PathValue("run"))
	if err != nil {
		return nil, &serve.Fault{Status: http.StatusNotFound, Err: err}
	}
	return e, nil
}

func (v *views) dag(r *http.Request) (any, error) {
	e, err := v.run(r)
	if err != nil {
		return nil, err
	}
	return encoded(func(w io.Writer) error { return report.ShowJSON(w, report.NewRunView(e, time.Now(), false)) })
}

// encoded is JSON that somebody else writes.
func encoded(write func(io.Writer) error) (any, error) {
	var b bytes.Buffer
	err := write(&b)
	return json.RawMessage(b.Bytes()), err
}

// pagePolicy keeps the page of a run, which has its scripts in itself, from everything else: it is no page of this
// origin.
const pagePolicy = "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; " +
	"style-src 'unsafe-inline'; " +
	"img-src data:; frame-ancestors 'self'"

// dagPage is the page of a run as limit dag show --report writes it.
func (v *views) dagPage(w http.ResponseWriter, r *http.Request) {
	e, err := v.run(r)
	var page bytes.Buffer
	if err == nil {
		err = report.Page(&page, e.Run, e.Dir)
	}
	if err != nil {
		serve.Fail(w, err)
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("X-Frame-Options", "SAMEORIGIN")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(page.Bytes()) // a client that is gone is no concern
}

// dagLog is the log of a step's last attempt; with follow=1 all attempts, as they grow.
func (v *views) dagLog(w http.ResponseWriter, r *http.Request) {
	e, err := v.run(r)
	if err != nil {
		serve.Fail(w, err)
		return
	}
	step := e.Step(r.PathValue("step"))
	if step == nil {
		serve.Fail(w, serve.Faultf(http.StatusNotFound, "run %s has no step %q", short(e.ID), r.PathValue("step")))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := printing{serve.Flushing(w)}
	switch {
	case r.URL.Query().Get("follow") == "1":
		err = followLog(r.Context(), out, e, step)
	case step.Last() != nil:
		err = copyLog(out, e, step, 0)
	}
	if err != nil {
		wrap.NewMessages(out, wrap.Normal).Error("%v", err)
	}
}

// printing hides that its writer may be read from: io.Copy would not flush.
type printing struct{ io.Writer }
