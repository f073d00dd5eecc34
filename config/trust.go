package config

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"
)

// A limit.yaml that was found in the current directory or above it may be a stranger's: whoever may write to /tmp, or
// gave away the checkout. It says where claims go, with the names and commands in them, and which file is sent as the
// password. So it is taken from those alone who could have replaced the command itself: the caller, root, and a group
// of the caller's. git and ssh do alike.

// openFound opens such a file, and refuses a stranger's. What was opened is what was looked at. It fails with
// fs.ErrNotExist for what is no file: nobody can make others wait for a FIFO of his.
func (at Environment) openFound(name string) (*os.File, error) {
	link, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := at.trust(f, name, link); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (at Environment) trust(f *os.File, name string, link fs.FileInfo) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file: %w", name, fs.ErrNotExist)
	}
	// A link is as good as a file: it may point to whatever of the caller's.
	for _, info := range []fs.FileInfo{link, info} {
		if owner, _ := ownerOf(info); !at.is(owner) {
			return refusal(name, fmt.Sprintf("%s belongs to %s, not to you or root", name, userNamed(owner)))
		}
	}
	_, group := ownerOf(info)
	switch mode := info.Mode().Perm(); {
	case mode&0o002 != 0:
		return refusal(name, fmt.Sprintf("%s can be written by everybody", name))
	case mode&0o020 != 0 && !slices.Contains(at.Groups, group):
		return refusal(name, fmt.Sprintf("%s can be written by group %d, which you are not in", name, group))
	}
	return nil
}

// refusal tells how to go on: who names the file means it.
func refusal(name, fact string) error {
	return fmt.Errorf("%s, and nobody named it; if it is meant, name it: --config %s, or %s=%s", fact, name, EnvConfig,
		name)
}

// is reports whether a user is the caller, root, or he who calls as root by sudo.
func (at Environment) is(uid int) bool {
	if uid == 0 || uid == at.UID {
		return true
	}
	caller, err := strconv.Atoi(at.env("SUDO_UID"))
	return err == nil && at.UID == 0 && uid == caller
}

// ownerOf returns the user and the group of a file, -1 where the system has none.
func ownerOf(info fs.FileInfo) (uid, gid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return -1, -1
}

func userNamed(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return "user " + u.Username
	}
	return "user " + strconv.Itoa(uid)
}
