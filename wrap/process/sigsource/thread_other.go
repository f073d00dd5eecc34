//go:build !linux

package sigsource

import (
	"os"
	"syscall"
)

// Raise sends sig to this process.
func Raise(sig syscall.Signal) { syscall.Kill(os.Getpid(), sig) }

// WithMask runs f. The masks of threads are out of reach here.
func WithMask(_ uint64, f func()) { f() }

func systemFaults() []syscall.Signal { return nil }
