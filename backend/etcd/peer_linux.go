package etcd

import (
	"net"

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
	var failed error
	err = raw.Control(func(fd uintptr) { ucred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return keeper.Peer{}, err
	}
	return keeper.NewPeer(int(ucred.Pid), int(ucred.Uid), int(ucred.Gid)), nil
}
