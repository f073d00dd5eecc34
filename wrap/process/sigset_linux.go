package process

import "syscall"

// ending are the signals that end a process which does not catch them, but for faults (see sigsource.Faults)
// and those that the C library or the Go runtime keep for themselves (32 to 34, URG).
func ending() []syscall.Signal {
	set := []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGPIPE,
		syscall.SIGALRM, syscall.SIGTERM, syscall.SIGPROF, syscall.SIGXCPU, syscall.SIGXFSZ, syscall.SIGVTALRM,
		syscall.SIGIO, syscall.SIGPWR,
	}
	for sig := syscall.Signal(35); sig <= 64; sig++ {
		set = append(set, sig)
	}
	return set
}
