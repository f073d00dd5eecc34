package process

import (
	"io"
	"os"

	"golang.org/x/sys/unix"

	"limit/wrap/process/inherited"
)

// Output returns the standard output of this program, f, as it was inherited: the runtime opens /dev/null in the place
// of one that is closed, and what is written there would be lost without an error.
func Output(f io.Writer) io.Writer {
	if f == os.Stdout && inherited.AtStart().Closed[1] {
		return closedOutput{}
	}
	return f
}

type closedOutput struct{}

func (closedOutput) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: os.Stdout.Name(), Err: unix.EBADF}
}
