package cli

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/config/grammar"
	"limit/wrap"
)

func (p *program) poolCommand() *cli.Command {
	return &cli.Command{
		Name:  "pool",
		Usage: "set and show the limits of pools",
		Subcommands: []*cli.Command{
			p.poolSetCommand(), p.poolGetCommand(), p.poolListCommand(), p.poolUnsetCommand(),
			p.pauseCommand("NAME", poolOperand), p.resumeCommand("NAME", poolOperand),
		},
	}
}

func (p *program) poolSetCommand() *cli.Command {
	return &cli.Command{
		Name:      "set",
		Usage:     "give a pool a limit of its own",
		ArgsUsage: "NAME N|unlimited",
		Description: `Takes effect at once, on all machines of the store. Raising wakes who waits; lowering
stops nobody, and nobody enters until use is below. 0 lets nobody in; 'limit pool pause' does so and keeps
the limit. A rate bounds how many slots may be started in any window of its period; without --rate an
earlier rate is kept, --rate none ends it.

EXAMPLES:
   limit pool set database 2
   limit pool set api 4 --rate 10/1m

EXIT STATUS: 0; 125 limit itself failed.`,
		Flags: []cli.Flag{&cli.StringFlag{Name: "rate", Usage: "`N/PERIOD`, at least 2s, or none"}},
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return usageError(c, "NAME and a limit are needed")
			}
			name := c.Args().First()
			if err := checkPoolName(name); err != nil {
				return usageError(c, "%v", err)
			}
			limit, err := grammar.Limit(c.Args().Get(1))
			if err != nil {
				return usageError(c, "%v", err)
			}
			rate, keep, err := parseRateFlag(c)
			if err != nil {
				return usageError(c, "%v", err)
			}
			var pause *backend.Pause
			err = p.changeSettings(c, func(s *backend.Settings) error {
				pause = s.PauseOf(poolLimit(name))
				if keep {
					rate = s.Pools[name].Rate
				}
				s.SetPool(name, backend.Pool{Limit: limit, Rate: rate})
				return nil
			})
			if err == nil && pause != nil {
				p.messages(c).Info("pool %s stays %s; 'limit pool resume %s' lets claims in", name,
					wrap.PauseText(pause, time.Now()), backend.ShellWord(name))
			}
			return err
		},
	}
}

func (p *program) poolUnsetCommand() *cli.Command {
	return &cli.Command{
		Name:        "unset",
		Usage:       "take a pool's own limit away: it follows the default again",
		ArgsUsage:   "NAME",
		Description: "EXIT STATUS: 0; 125 limit itself failed, or the pool has no limit of its own.",
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usageError(c, "NAME is needed")
			}
			name := c.Args().First()
			return p.changeSettings(c, func(s *backend.Settings) error {
				if _, ok := s.Pools[name]; !ok { // an odd name may be there: earlier versions took it
					if err := checkPoolName(name); err != nil {
						return usageError(c, "%v", err)
					}
					return fmt.Errorf("pool %q has no limit of its own; 'limit pool list' shows those that have", name)
				}
				delete(s.Pools, name)
				return nil
			})
		},
	}
}

func (p *program) poolGetCommand() *cli.Command {
	return &cli.Command{
		Name:      "get",
		Usage:     "print a pool's limit",
		ArgsUsage: "NAME",
		Description: `Prints the number of slots, or unlimited, and the rate where there is one: 4 10/1m. Of a
pool that is paused a second line says by whom.

EXIT STATUS: 0; 125 limit itself failed, or there is no such pool.`,
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usageError(c, "NAME is needed")
			}
			return p.onlyLooking(c, func(s *store) error {
				name := c.Args().First()
				if err := s.mustKnow(c.Context, name); err != nil {
					return err
				}
				settings, _, err := s.Settings(c.Context)
				if err != nil {
					return err
				}
				pool, _ := settings.Pool(name)
				lines := []string{poolText(pool)}
				if pause := settings.PauseOf(poolLimit(name)); pause != nil {
					lines = append(lines, wrap.PauseText(pause, time.Now()))
				}
				return p.printLines(lines)
			})
		},
	}
}

func (p *program) poolListCommand() *cli.Command {
	return &cli.Command{
		Name:        "list",
		Usage:       "print all pools that have a limit of their own, are held or waited for",
		Description: "EXIT STATUS: 0; 125 limit itself failed.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "json",
			Usage: "as a JSON array, with the fields of 'limit status --json'"}},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageError(c, "no operand is taken; did you mean 'limit pool get %s'?",
					backend.ShellWord(c.Args().First()))
			}
			return p.onlyLooking(c, func(s *store) error {
				snapshot, err := s.Snapshot(c.Context)
				if err != nil {
					return err
				}
				pools := newStatus(snapshot, s).Pools
				if c.Bool("json") {
					return json.NewEncoder(p.Out).Encode(pools)
				}
				t := &table{right: map[int]bool{1: true, 2: true, 3: true}, shrink: []int{0, 6}}
				t.add("POOL", "LIMIT", "USED", "WAITING", "RATE", "SOURCE", "")
				for _, row := range pools {
					pool, _ := snapshot.Settings.Pool(row.Name)
					rate := "-"
					if pool.Rate != nil {
						rate = pool.Rate.String()
					}
					paused := ""
					if row.Paused != nil {
						paused = wrap.PauseText(row.Paused, time.Now())
					}
					t.add(row.Name, limitText(pool.Limit), strconv.Itoa(row.Used), strconv.Itoa(row.Waiting), rate,
						row.Source, paused)
				}
				return t.write(p.Out, p.width())
			})
		},
	}
}

// changeSettings opens the store and changes its settings.
func (p *program) changeSettings(c *cli.Context, change func(*backend.Settings) error) error {
	return p.withStore(c, func(s *store) error {
		return s.ChangeSettings(c.Context, func(settings *backend.Settings, _ bool) error { return change(settings) })
	})
}

// checkPoolName refuses a name that no flag or file could ask for.
func checkPoolName(name string) error {
	if fault := grammar.PoolFault(name); fault != "" {
		return fmt.Errorf("pool %q: the name %s", name, fault)
	}
	return nil
}

// parseRateFlag reads --rate; keep says that it was not given.
func parseRateFlag(c *cli.Context) (rate *backend.Rate, keep bool, err error) {
	if whereSet(c, "rate") == nil {
		return nil, true, nil
	}
	if c.String("rate") == "none" {
		return nil, false, nil
	}
	r, err := grammar.Rate(c.String("rate"))
	if err != nil {
		return nil, false, err
	}
	return &r, false, nil
}

func limitText(limit int) string {
	if limit == backend.Unlimited {
		return "unlimited"
	}
	return strconv.Itoa(limit)
}

func poolText(pool backend.Pool) string {
	if pool.Rate != nil {
		return limitText(pool.Limit) + " " + pool.Rate.String()
	}
	return limitText(pool.Limit)
}
