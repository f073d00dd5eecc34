package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/config"
)

func (p *program) applyCommand() *cli.Command {
	return &cli.Command{
		Name:      "apply",
		Usage:     "write a file's limits into the store",
		ArgsUsage: "[FILE]",
		Description: `Replaces the store's limits by the concurrency block of FILE (default: the configuration
file in force) and shows what changes. Pools and tag limits that the file does not name lose theirs; with
--keep they keep them. Applying it again changes nothing. Takes effect at once. What is paused stays paused.

EXIT STATUS: 0; 125 limit itself failed.`,
		Flags: []cli.Flag{&cli.BoolFlag{Name: "keep", Usage: "keep limits that the file does not name"}},
		Action: func(c *cli.Context) error {
			return p.withSettings(c, storeOptions{}, func(s *store, wanted backend.Settings) error {
				var changes, removed []string
				err := s.ChangeSettings(c.Context, func(settings *backend.Settings, ok bool) error {
					kept := config.Keep(*settings, wanted)
					if removed = config.Diff(kept, wanted); c.Bool("keep") {
						wanted, removed = kept, nil
					}
					if changes = config.Diff(*settings, wanted); len(changes) == 0 && ok {
						return errSame
					}
					paused := settings.Paused
					*settings = wanted.Clone()
					settings.Paused = paused
					return nil
				})
				if err != nil && !errors.Is(err, errSame) {
					return err
				}
				if len(changes) == 0 {
					_, err := fmt.Fprintln(p.Out, "nothing to change")
					return err
				}
				if len(removed) > 0 {
					p.messages(c).Info("limits that the file does not name were removed (%s); --keep keeps them",
						summarize(removed))
				}
				return p.printLines(changes)
			})
		},
	}
}

func (p *program) diffCommand() *cli.Command {
	return &cli.Command{
		Name:        "diff",
		Usage:       "show what 'limit apply' would change",
		ArgsUsage:   "[FILE]",
		Description: "EXIT STATUS: 0 nothing differs; 1 something does; 125 limit itself failed.",
		Action: func(c *cli.Context) error {
			return p.withSettings(c, storeOptions{look: true}, func(s *store, wanted backend.Settings) error {
				settings, _, err := s.Settings(c.Context)
				if err != nil {
					return err
				}
				changes := config.Diff(settings, wanted)
				if len(changes) == 0 {
					return nil
				}
				if err := p.printLines(changes); err != nil {
					return err
				}
				return exitWith(1)
			})
		},
	}
}

func (p *program) printLines(lines []string) error {
	for _, line := range lines {
		if err := writeLine(p.Out, "%s", line); err != nil {
			return err
		}
	}
	return nil
}

// withSettings opens the store without touching its settings, and hands over those that the file given, or the one in
// force, asks for. The file's own backend counts; where it names none, that of the configuration in force.
func (p *program) withSettings(c *cli.Context, o storeOptions, do func(s *store, wanted backend.Settings) error) error {
	if c.NArg() > 1 {
		return usageError(c, "one file at most")
	}
	wanted, err := p.loadFile(c, c.Args().First())
	if err != nil {
		return err
	}
	if !wanted.HasSettings {
		return noSettings(wanted.File)
	}
	cfg := wanted
	if c.NArg() == 1 && wanted.From("backend") == config.FromDefault {
		if cfg, err = p.load(c); err != nil {
			return err
		}
	}
	s, err := p.connect(c, cfg, o)
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s, wanted.Settings)
}

func noSettings(file string) error {
	if file == "" {
		return errors.New("there is no configuration file; name one, or write limit.yaml with a concurrency block")
	}
	return fmt.Errorf("%s has no concurrency block; there is nothing to apply", file)
}

func (p *program) configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "print the effective configuration, and where each value comes from",
		Description: "The limits are those of the file; 'limit status' shows those of the store, 'limit diff' what " +
			"differs.\n\nEXIT STATUS: 0; 125 limit itself failed.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "as a JSON array"},
			&cli.BoolFlag{Name: "schema", Usage: "print the JSON schema of limit.yaml instead, for editors"},
		},
		Action: func(c *cli.Context) error {
			if c.Bool("schema") {
				_, err := p.Out.Write(config.Schema())
				return err
			}
			cfg, err := p.load(c)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(p.Out).Encode(cfg.Values())
			}
			t := &table{shrink: []int{1, 2}}
			t.add("NAME", "VALUE", "FROM")
			for _, v := range cfg.Values() {
				t.add(v.Name, v.Text, v.From)
			}
			return t.write(p.Out, p.width())
		},
	}
}
