package etcd

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"

	"limit/backend/etcd/keeper"
	"limit/backend/proc"
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
	of := proc.Numbers(peer)
	if len(of) == 1 {
		return pid
	}
	for _, seen := range proc.All() {
		n := proc.Numbers(seen)
		if len(n) > 0 && len(n) == len(of) && n[len(n)-1] == pid && descends(seen, peer) {
			return seen
		}
	}
	return 0
}

// descends reports whether a process comes from another.
func descends(pid, from int) bool {
	for parent := proc.Of(pid).Parent; parent > 1; parent = proc.Of(parent).Parent {
		if parent == from {
			return true
		}
	}
	return false
}
