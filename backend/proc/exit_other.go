//go:build !linux

package proc

import (
	"errors"
	"os"
)

// OpenExit fails: this system has no such descriptor.
func OpenExit(int) (*os.File, error) { return nil, errors.ErrUnsupported }

// AwaitExit is not called.
func AwaitExit(*os.File) bool { return false }
