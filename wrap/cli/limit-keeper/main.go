// Limit-keeper is the process that keeps the claims of a limit on etcd, as a program of its own: beside a limit that
// was built with the tag slim, which then need not carry the etcd client, whose start-up every command would pay for.
package main

import (
	"context"
	"fmt"
	"os"

	"limit/backend/etcd"
	"limit/wrap/process"
)

func main() {
	if err := etcd.KeeperMain(context.Background(), process.KillTree); err != nil {
		fmt.Fprintln(os.Stderr, "limit-keeper:", err)
		os.Exit(1)
	}
}
