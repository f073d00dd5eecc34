//go:build !linux

package process

import "syscall"

// ending are the signals that end a process which does not catch them, but for faults.
func ending() []syscall.Signal {
	return []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGPIPE,
		syscall.SIGALRM, syscall.SIGTERM, syscall.SIGPROF, syscall.SIGXCPU, syscall.SIGXFSZ, syscall.SIGVTALRM,
	}
}
