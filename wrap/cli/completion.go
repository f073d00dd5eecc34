package cli

import (
	_ "embed"
	"io"

	"github.com/urfave/cli/v2"
)

// The functions that the shells call: each asks limit itself what may follow.
var (
	//go:embed completion/limit.bash
	completionBash string
	//go:embed completion/_limit_command
	completionZsh string
	//go:embed completion/limit.fish
	completionFish string
)

func (p *program) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion for a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `Commands, flags, pools and ids complete, the last two from the store.

   source <(limit completion bash)          in ~/.bashrc
   source <(command limit completion zsh)   in ~/.zshrc, after compinit
   limit completion fish | source           in ~/.config/fish/config.fish

zsh has a builtin called limit, for what ulimit does too: its completion disables that.

EXIT STATUS: 0; 125 limit itself failed.`,
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 {
				return usageError(c, "which shell? bash, zsh or fish")
			}
			text := ""
			switch shell := c.Args().First(); shell {
			case "bash":
				text = completionBash
			case "zsh":
				text = completionZsh
			case "fish":
				text = completionFish
			default:
				return usageError(c, "there is no completion for %q; there is for bash, zsh and fish", shell)
			}
			_, err := io.WriteString(p.Out, text)
			return err
		},
	}
}
