package process

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// defaultPath is where commands are looked for when there is no PATH, as the C library has it.
const defaultPath = "/bin:/usr/bin"

// Exit codes of a command that did not start, as shells have them.
const (
	CodeFailed        = 125 // not the command's fault
	CodeNotExecutable = 126
	CodeNotFound      = 127
)

// Find returns the file that a shell would run for name: a name with a slash is that file, others are looked for in
// PATH of env (without PATH: the system's default path; empty entries are the current directory), relative to dir where
// that is not "". The error is a *FindError with the shell's exit code.
func Find(name string, env []string, dir string) (string, error) {
	if strings.Contains(name, "/") {
		if err := executable(name, dir); err != nil {
			return "", findError(name, err)
		}
		return name, nil
	}
	path, ok := lookup(env, "PATH")
	if !ok {
		path = defaultPath
	}
	var denied error
	for _, entry := range strings.Split(path, ":") {
		if entry == "" {
			entry = "."
		}
		file := entry + "/" + name
		err := executable(file, dir)
		switch {
		case name == "":
		case err == nil:
			return file, nil
		case denied == nil && !absent(err):
			denied = err
		}
	}
	if denied != nil {
		return "", findError(name, denied)
	}
	return "", &FindError{Name: name, Code: CodeNotFound, Err: errors.New("command not found")}
}

// executable returns nil where this process could execute a file.
func executable(file, dir string) error {
	if dir != "" && !filepath.IsAbs(file) {
		file = dir + "/" + file
	}
	st, err := os.Stat(file)
	switch {
	case err != nil:
		return errors.Unwrap(err)
	case st.IsDir():
		return syscall.EISDIR
	case !st.Mode().IsRegular():
		return fs.ErrPermission
	}
	return unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS)
}

// absent reports whether err means that there is no such file, rather than one that cannot be executed.
func absent(err error) bool { return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR) }

func findError(name string, err error) *FindError {
	code := CodeNotExecutable
	if errors.Is(err, syscall.ENOENT) {
		code = CodeNotFound
	}
	return &FindError{Name: name, Code: code, Err: err}
}

// FindError says that there is no such command (CodeNotFound), or that it cannot be executed (CodeNotExecutable).
type FindError struct {
	Name string
	Code int
	Err  error
}

func (e *FindError) Error() string { return e.Name + ": " + e.Err.Error() }

func (e *FindError) Unwrap() error { return e.Err }

// StartCode returns the exit code for an error of Find or Start, by what exec said: CodeNotFound for a file (or its
// interpreter) that is gone, CodeNotExecutable for one that cannot be executed, CodeFailed where no process could be
// made.
func StartCode(err error) int {
	var find *FindError
	switch {
	case errors.As(err, &find):
		return find.Code
	case errors.Is(err, syscall.ENOENT):
		return CodeNotFound
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE),
		errors.Is(err, syscall.ENFILE):
		return CodeFailed
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return CodeNotExecutable
	}
	return CodeFailed
}
