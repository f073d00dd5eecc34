// Limit puts concurrency limits in front of any shell command.
package main

import (
	"os"

	"limit/wrap/cli"
)

func main() {
	os.Exit(cli.Main(os.Args, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
