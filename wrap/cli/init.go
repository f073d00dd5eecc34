package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/local"
	"limit/config"
)

func (p *program) initCommand() *cli.Command {
	return &cli.Command{
		Name:  "init",
		Usage: "make an embedded store, for a group of users or for one",
		Description: `Makes the directory of the store, with modes such that all members of GROUP can use it
and nobody else, and says what to write into /etc/limit/limit.yaml, so that root's cron jobs and everybody's
shells use it. Without --shared the store is for the user who makes it. A store that is there already is
left as it is.

EXIT STATUS: 0; 125 limit itself failed.

EXAMPLES:
   sudo limit init --shared ops
   limit init --backend local:/srv/limit`,
		Flags: []cli.Flag{&cli.StringFlag{Name: "shared", Usage: "all members of `GROUP` share it"}},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageError(c, "no operand is taken; --backend local:DIR says where")
			}
			cfg, err := p.load(c)
			if err != nil {
				return err
			}
			if cfg.Backend.Etcd != nil {
				return errors.New("a store in etcd is made by the first command that uses it; 'limit doctor' looks " +
					"whether it can be")
			}
			made := "made"
			if _, err := local.Namespaces(cfg.Backend.Dir); err == nil {
				made = "there is already"
			}
			with := ""
			if name := c.String("shared"); c.IsSet("shared") {
				if err := shareDirectory(cfg.Backend.Dir, name, made == "made"); err != nil {
					return err
				}
				with = ", shared by the group " + name
			}
			s, err := p.connect(c, cfg, storeOptions{})
			if err != nil {
				return err
			}
			defer s.Close()
			if err := writeLine(p.Out, "%s the store %s%s", made, s, with); err != nil {
				return err
			}
			return p.adviseStore(cfg)
		},
	}
}

// adviseStore says how others come to the store, where they do not by themselves.
func (p *program) adviseStore(cfg *config.Config) error {
	const file = "/etc/limit/limit.yaml"
	switch from := cfg.From("backend"); {
	case strings.HasPrefix(from, file+":"):
		return writeLine(p.Out, "%s names it: everybody on this machine uses it", file)
	case from == config.FromDefault:
		if err := writeLine(p.Out, "it is the default store of %s; other users have others",
			userNamed(os.Getuid())); err != nil {
			return err
		}
	}
	dir := cfg.Backend.Dir
	if strings.ContainsFunc(dir, func(r rune) bool { return !strings.ContainsRune("/._-", r) && !isWordRune(r) }) {
		dir = strconv.Quote(dir)
	}
	_, err := fmt.Fprintf(p.Out, "for everybody on this machine to use it, %s has to say:\n\nbackend:\n  local:\n   "+
		" dir: %s\n", file, dir)
	return err
}

func isWordRune(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// shareMode is that of a directory in which what is made belongs to its group.
const shareMode = fs.ModeSetgid | 0o770

// shareDirectory makes a directory for the members of a group, or fails for one that is there and is not so.
func shareDirectory(dir, group string, fresh bool) error {
	g, err := user.LookupGroup(group)
	if err != nil {
		return fmt.Errorf("there is no group %q; 'groupadd %s' makes it", group, group)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return err
	}
	if !fresh {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Gid) != gid || info.Mode()&shareMode != shareMode {
			return fmt.Errorf("the store %s is there already and not of the group %s; choose another with --backend "+
				"local:DIR, "+
				"or move it away while nobody uses it", dir, group)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is not empty; choose another directory with --backend local:DIR", dir)
	}
	if err := os.Chown(dir, -1, gid); err != nil {
		return fmt.Errorf("giving the store to the group %s: %w; be a member of it, or root", group, err)
	}
	return os.Chmod(dir, shareMode)
}

func (p *program) namespacesCommand() *cli.Command {
	return &cli.Command{
		Name:        "namespaces",
		Usage:       "list the namespaces of the store",
		Description: "One a line, those in which anything is kept.\n\nEXIT STATUS: 0; 125 limit itself failed.",
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return usageError(c, "no operand is taken")
			}
			return p.onlyLooking(c, func(s *store) error {
				names, err := s.namespaces(c)
				if err != nil {
					return err
				}
				return p.printLines(names)
			})
		},
	}
}

func (s *store) namespaces(c *cli.Context) ([]string, error) {
	if lister, ok := s.Backend.(backend.Lister); ok {
		return lister.Namespaces(c.Context)
	}
	names, err := local.Namespaces(s.config.Backend.Dir) // its namespace is not there yet, others may be
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}
