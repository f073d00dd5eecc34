package cli

import "github.com/urfave/cli/v2"

// withStore opens the store for a verb that runs no command, and closes it when that is done.
func (p *program) withStore(c *cli.Context, do func(s *store) error) error {
	s, err := p.open(c)
	if err != nil {
		return err
	}
	defer s.Close()
	return do(s)
}
