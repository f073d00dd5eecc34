//go:build !linux

package local

import "golang.org/x/sys/unix"

func dupOnto(from, to int) error {
	err := unix.Dup2(from, to)
	unix.CloseOnExec(to)
	return err
}

// openElsewhere finds nothing: this system does not show the files of other processes.
func (*Store) openElsewhere(string) int { return -1 }
