package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	me       = 54400
	myGroup  = 2000
	stranger = 65534
)

// TestAFoundFileIsTakenOnlyFromThoseWhoMayBeTrusted gives one file to one user after the other.
func TestAFoundFileIsTakenOnlyFromThoseWhoMayBeTrusted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: files are given to others by root alone")
	}
	for _, c := range []struct {
		caller     int
		owner, gid int
		mode       fs.FileMode
		sudo       string
		refused    string // "": it is taken
	}{
		{me, me, myGroup, 0o644, "", ""},
		{me, 0, 0, 0o644, "", ""},
		{me, me, myGroup, 0o664, "", ""}, // a group of the caller's: the usual umask 002
		{me, 0, myGroup, 0o664, "", ""},
		{me, me, 4321, 0o664, "", "can be written by group 4321, which you are not in"},
		{me, me, myGroup, 0o666, "", "can be written by everybody"},
		{me, 0, 0, 0o646, "", "can be written by everybody"},
		{me, stranger, myGroup, 0o644, "", "belongs to " + userNamed(stranger) + ", not to you or root"},
		{me, 54321, myGroup, 0o644, "", "belongs to user 54321, not to you or root"},
		{0, me, myGroup, 0o644, "", "belongs to user 54400, not to you or root"}, // a container whose checkout is another's
		{0, me, myGroup, 0o644, "54400", ""},
		{0, me, myGroup, 0o644, "54401", "belongs to user 54400"},
		{me, stranger, myGroup, 0o644, "65534", "belongs to " + userNamed(stranger)}, // only root has come by sudo
	} {
		root := machine(t, map[string]string{"limit.yaml": "namespace: found", "sub/x": ""})
		file := filepath.Join(root, FileName)
		if err := errors.Join(os.Chown(file, c.owner, c.gid), os.Chmod(file, c.mode)); err != nil {
			t.Fatal(err)
		}
		at := surroundings(root, "sub", "SUDO_UID="+c.sudo)
		at.UID, at.Groups = c.caller, []int{myGroup}
		got, err := Load(Flags{}, at)
		switch {
		case c.refused == "" && (err != nil || got.Namespace != "found"):
			t.Errorf("%+v: %v", c, err)
		case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused) ||
			!strings.Contains(err.Error(), "--config "+file) || !strings.Contains(err.Error(), "LIMIT_CONFIG="+file)):
			t.Errorf("%+v: %v, want that it %q, and how to go on", c, err, c.refused)
		}
		at.Env = func(name string) string { return map[string]string{EnvConfig: file, "HOME": "/h"}[name] }
		if named, err := Load(Flags{}, at); err != nil || named.Namespace != "found" {
			t.Errorf("%+v: named: %v", c, err)
		}
	}
}

func TestALinkOfAStrangersIsNotFollowedThoughItPointsToAFileOfTheCallers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: files are given to others by root alone")
	}
	root := machine(t, map[string]string{"private": "secret: of mine", "mine/x": "", "theirs/x": ""})
	target := filepath.Join(root, "private")
	for dir, owner := range map[string]int{"mine": me, "theirs": stranger} {
		link := filepath.Join(root, dir, FileName)
		if err := errors.Join(os.Symlink(target, link), os.Lchown(link, owner, owner), os.Chown(target, me, me)); err != nil {
			t.Fatal(err)
		}
		at := surroundings(root, dir)
		at.UID = me
		_, err := Load(Flags{}, at)
		shown := strings.Contains(fmt.Sprint(err), "secret")
		if dir == "theirs" && (err == nil || shown || !strings.Contains(err.Error(), userNamed(stranger))) || dir == "mine" && !shown {
			t.Errorf("the link in %s: %v", dir, err)
		}
	}
}

func TestAFIFOInTheWayIsToldAndNobodyWaitsForIt(t *testing.T) {
	root := machine(t, map[string]string{"sub/x": "", "limit.yaml": "namespace: above"})
	fifo := filepath.Join(root, "sub", FileName)
	if err := syscall.Mkfifo(fifo, 0o666); err != nil {
		t.Fatal(err)
	}
	loaded := make(chan error, 1)
	go func() {
		_, err := Load(Flags{}, surroundings(root, "sub"))
		if err == nil || !strings.Contains(err.Error(), "limit.yaml is not a regular file; remove it, or name a file with --config") {
			err = fmt.Errorf("the FIFO is told as %w", err)
		} else {
			err = nil
		}
		if _, opened := surroundings(root, "sub").openFound(fifo); !errors.Is(opened, fs.ErrNotExist) { // put there after the first look
			err = errors.Join(err, fmt.Errorf("opened: %w", opened))
		}
		loaded <- err
	}()
	select {
	case err := <-loaded:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it waits for the FIFO")
	}
}
