package process

// Find returns the file that a shell would run for name: a name with a slash is that file, others are looked for in PATH
// of env (without PATH: the system's default path; empty entries are the current directory), relative
// to dir where that is not "". The error is a *FindError with the shell's exit code.
func Find(name string, env []string, dir string) (string, error) { panic("not yet") }

// FindError says that there is no such command (Code 127), or that it cannot be executed (126).
type FindError struct {
	Name string
	Code int
	Err  error
}

func (e *FindError) Error() string { return e.Name + ": " + e.Err.Error() }

func (e *FindError) Unwrap() error { return e.Err }

// StartCode returns the shell's exit code for an error of Start: 127 for a file that is gone, 126 for one that cannot be
// executed, 125 where this machine could not start any process.
func StartCode(err error) int { panic("not yet") }

// Environ returns the environment as it was handed to this program, byte for byte: duplicates, empty entries
// and those without = included, which os.Environ drops.
func Environ() []string { panic("not yet") }
