package etcd

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"limit/backend/etcd/keeper"
)

// peerOf is who is at the other end: the process that has connected, as the kernel knows it.
func peerOf(conn *net.UnixConn) (keeper.Peer, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return keeper.Peer{}, err
	}
	var ucred *unix.Ucred
	var groups []int
	var failed error
	err = raw.Control(func(fd uintptr) {
		if ucred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); failed == nil {
			groups, failed = peerGroups(fd)
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return keeper.Peer{}, err
	}
	return keeper.Peer{PID: int(ucred.Pid), UID: int(ucred.Uid), GID: int(ucred.Gid), Groups: groups}, nil
}

// peerGroups are the groups that the process was in when it connected. A table of users need not know them all.
func peerGroups(fd uintptr) ([]int, error) {
	gids := make([]uint32, 32)
	for {
		size := uint32(4 * len(gids))
		_, _, failed := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&gids[0])), uintptr(unsafe.Pointer(&size)), 0)
		count := int(size / 4)
		switch {
		case failed == unix.ERANGE && count > len(gids):
			gids = make([]uint32, count)
			continue
		case failed != 0:
			return nil, failed
		}
		groups := make([]int, count)
		for i, gid := range gids[:count] {
			groups[i] = int(gid)
		}
		return groups, nil
	}
}

// seenAs is how this process sees the process that a peer calls pid: under another number where the peer is in a
// container, as one that descends from it. 0: it is not seen.
func seenAs(peer, pid int) int {
	of := numbers(peer)
	if len(of.names) == 1 {
		return pid
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	name := []byte(strconv.Itoa(pid))
	for _, e := range entries {
		seen, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		n := numbers(seen)
		if len(n.names) == len(of.names) && bytes.Equal(n.names[len(n.names)-1], name) && descends(n, peer) {
			return seen
		}
	}
	return 0
}

// descends reports whether a process comes from another.
func descends(n pids, from int) bool {
	for len(n.names) > 0 && n.parent > 1 {
		if n.parent == from {
			return true
		}
		n = numbers(n.parent)
	}
	return false
}

// pids are the numbers of a process, that of the innermost container last, and of its parent.
type pids struct {
	names  [][]byte
	parent int
}

func numbers(pid int) (n pids) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return n
	}
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		switch {
		case len(fields) < 2:
		case string(fields[0]) == "PPid:":
			n.parent, _ = strconv.Atoi(string(fields[1]))
		case string(fields[0]) == "NSpid:":
			n.names = slices.Clone(fields[1:])
		}
	}
	return n
}
