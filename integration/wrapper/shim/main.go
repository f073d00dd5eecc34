// Command shim runs its arguments under wrap/process alone, without a store: for trying the supervision by itself.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"limit/wrap/process"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	s, err := process.NewSupervisor()
	if err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		return process.CodeFailed
	}
	env := process.Environ()
	path, err := process.Find(args[0], env, "")
	if err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		var found *process.FindError
		errors.As(err, &found)
		return found.Code
	}
	c := process.Command{Path: path, Args: args, Env: env, Forward: true, Grace: 10 * time.Second}
	c.Timeout, _ = time.ParseDuration(os.Getenv("SHIM_TIMEOUT"))
	p, err := s.Start(c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		return process.StartCode(err)
	}
	<-p.Done()
	e := p.Exit()
	if e.Reason == process.TimedOut {
		return 124
	}
	if e.Signal != 0 {
		return process.DieOf(e.Signal)
	}
	return e.Code
}
