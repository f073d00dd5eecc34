package local

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

func newerError(file string) error {
	return fmt.Errorf("%s was written by a newer limit; use that version here too, or another directory", file)
}

// remedyDescriptors is what to do where no file can be opened.
const remedyDescriptors = "close some files, or allow more (ulimit -n; of the machine: sysctl fs.file-max)"

// advise adds to an error of the file system what to do about it.
func (s *Store) advise(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w; free some space or inodes there, nothing was changed", err)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		return fmt.Errorf("%w; %s", err, remedyDescriptors)
	case errors.Is(err, unix.ELOOP):
		return fmt.Errorf("%w: %w", err, errPlanted)
	case errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%w, or something before it is none; choose another with --backend local:DIR", err)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EBADF):
		return fmt.Errorf("%w; choose a directory that can be written, with --backend local:DIR", err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w; ask the owner of %s for access (to share it: chgrp GROUP, chmod g+rwxs), or choose "+
			"another with --backend local:DIR", err, s.opts.Dir)
	}
	return err
}

// damagedError says that the state cannot be read while claims live.
type damagedError struct {
	file  string
	alive int
	first string // of the files of those that live
}

func (e *damagedError) Error() string {
	return fmt.Sprintf("%s is damaged while claims are alive (%d, the first holds %s open); end them, those that "+
		"wait too: the next command then starts the store anew",
		e.file, e.alive, e.first)
}
