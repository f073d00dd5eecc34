//go:build !linux

package proc

import (
	"errors"
	"os"
)

// OpenExit fails: there is no descriptor that tells of a process's end.
func OpenExit(int) (*os.File, error) { return nil, errors.ErrUnsupported }

// AwaitExit is not called.
func AwaitExit(*os.File) bool { return false }
