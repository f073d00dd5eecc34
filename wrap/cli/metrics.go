package cli

import (
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
)

func (p *program) metricsCommand() *cli.Command {
	return &cli.Command{
		Name:  "metrics",
		Usage: "the state as OpenMetrics text, once or for scraping",
		Description: `Prints limits, use and waiting as OpenMetrics text, for a textfile collector:

   cd /var/lib/prometheus/node-exporter
   limit metrics >limit.prom.new && mv limit.prom.new limit.prom

With --listen it serves them at http://ADDR/metrics until INT or TERM. A port alone is of 127.0.0.1: whoever
can reach it sees names of pools, tags and their values, no commands. 0.0.0.0:PORT listens to all.

EXIT STATUS: 0; 125 limit itself failed.`,
		Flags: []cli.Flag{&cli.StringFlag{Name: "listen", Usage: "serve at `ADDR`: PORT, HOST:PORT"}},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageError(c, "no operand is taken")
			}
			if c.String("listen") != "" {
				return p.serveMetrics(c)
			}
			return p.onlyLooking(c, func(s *store) error {
				snapshot, err := s.Snapshot(c.Context)
				if err != nil {
					return err
				}
				_, err = io.WriteString(p.Out, metricsText(snapshot, s.namespace, time.Now()))
				return err
			})
		},
	}
}

// metricsText is a snapshot as OpenMetrics text.
func metricsText(s *backend.Snapshot, namespace string, now time.Time) string {
	x := &exposition{}
	x.gauge("limit_up", "1 where the store answers.").value(1, "namespace", namespace)
	each := func(name, help string, of func(u backend.Usage) (float64, bool)) {
		x.gauge(name, help)
		for _, u := range s.Usage {
			if v, ok := of(u); ok {
				x.value(v, append([]string{"namespace", namespace}, labelsOf(u)...)...)
			}
		}
	}
	each("limit_slots", "Slots of a limit, where it has any bound.", func(u backend.Usage) (float64, bool) {
		return float64(u.Capacity), u.Capacity != backend.Unlimited
	})
	each("limit_slots_used", "Slots held.", func(u backend.Usage) (float64, bool) { return float64(u.Used), true })
	each("limit_waiting", "Claims that wait and need the limit.",
		func(u backend.Usage) (float64, bool) { return float64(u.Waiting), true })
	each("limit_rate_slots", "Slots that may be started within a period, of pools with a rate.",
		func(u backend.Usage) (float64, bool) {
			rate := rateOf(u, s.Settings)
			return float64(rate.Slots), rate.Slots > 0
		})
	each("limit_rate_started", "Slots started within the last period, of pools with a rate.",
		func(u backend.Usage) (float64, bool) {
			return float64(u.Started), rateOf(u, s.Settings).Slots > 0
		})
	orphans := 0
	var oldest, longest time.Duration
	for _, h := range s.Held {
		longest = max(longest, now.Sub(h.Grant.GrantedAt))
		if h.Orphaned {
			orphans++
		}
	}
	for _, w := range s.Waiting {
		oldest = max(oldest, now.Sub(w.QueuedAt))
	}
	whole := func(name, help string, v float64) { x.gauge(name, help).value(v, "namespace", namespace) }
	whole("limit_claims_held", "Claims that are held.", float64(len(s.Held)))
	whole("limit_claims_waiting", "Claims that wait.", float64(len(s.Waiting)))
	whole("limit_claims_orphaned", "Held claims whose wrapper has died while their command runs.", float64(orphans))
	whole("limit_longest_hold_seconds", "Age of the oldest grant.", longest.Seconds())
	whole("limit_longest_wait_seconds", "Age of the oldest waiting claim.", oldest.Seconds())
	return x.end()
}

// labelsOf names a limit: kind, and pool or key and value.
func labelsOf(u backend.Usage) []string {
	switch u.Kind {
	case backend.KindPool:
		return []string{"kind", "pool", "pool", u.Pool}
	case backend.KindRuns:
		return []string{"kind", "runs"}
	}
	labels := []string{"kind", "tag", "key", u.Tag.Key}
	if u.Tag.Value != nil {
		labels = append(labels, "value", *u.Tag.Value)
	}
	return labels
}

func rateOf(u backend.Usage, settings backend.Settings) backend.Rate {
	if u.Kind == backend.KindPool {
		if p, _ := settings.Pool(u.Pool); p.Rate != nil {
			return *p.Rate
		}
	}
	return backend.Rate{}
}
