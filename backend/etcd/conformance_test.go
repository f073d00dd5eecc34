package etcd

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"limit/backend"
	"limit/backend/backendtest"
	"limit/backend/etcd/keeper"
	"limit/integration/etcdtest"
)

func TestConformance(t *testing.T) {
	t.Run("etcd 3.7", func(t *testing.T) {
		conform(t, etcdtest.Start(t, etcdtest.Options{}), openPlain)
	})
	t.Run("etcd 3.7 through the keeper", func(t *testing.T) {
		conform(t, etcdtest.Start(t, etcdtest.Options{}), openKept)
	})
	t.Run("etcd 3.7 through an agent", func(t *testing.T) {
		c := etcdtest.Start(t, etcdtest.Options{})
		conform(t, c, openAgent(t, c, Options{}))
	})
	t.Run("etcd 3.4", func(t *testing.T) {
		conform(t, etcdtest.Start(t, etcdtest.Options{Binary: etcdtest.Debian(t)}), openPlain)
	})
}

// conform runs the suite of every store.
func conform(t *testing.T, c *etcdtest.Cluster, open func(testing.TB, Options) backend.Backend) {
	t.Run("suite", func(t *testing.T) { // ends after the parallel tests within
		backendtest.Run(t, func(t *testing.T) func() backend.Backend {
			o := Options{Endpoints: c.Endpoints(), Namespace: t.Name(), TTL: time.Minute, Grace: time.Second}
			return func() backend.Backend { return open(t, o) }
		}, backendtest.NoPosition)
	})
}

func openPlain(t testing.TB, o Options) backend.Backend {
	s, err := open(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// openKept opens a store through a keeper, which is a goroutine here.
func openKept(t testing.TB, o Options) backend.Backend {
	return keep(t, o, noKill)
}

func keep(t testing.TB, o Options, kill Kill) *keeper.Client {
	t.Helper()
	ours, theirs := socketPair(t)
	served := make(chan error, 1)
	go func() {
		v := newServer(theirs, newAgent(kill), keeper.Peer{PID: os.Getppid(), UID: os.Geteuid()})
		err := v.serve(context.Background())
		if v.store != nil {
			v.store.Close()
		}
		served <- err
	}()
	t.Cleanup(func() {
		ours.Close()
		select {
		case err := <-served:
			if err != nil {
				t.Errorf("the keeper: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the keeper does not end")
		}
	})
	c, err := keeper.Connect(context.Background(), ours, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// openAgent starts an agent, a goroutine here, and returns how to connect to it.
func openAgent(t testing.TB, c *etcdtest.Cluster, o Options) func(testing.TB, Options) backend.Backend {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	o.Endpoints, o.TTL = c.Endpoints(), time.Minute
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- Agent(ctx, l, keeper.AgentConfig{Options: o, State: t.TempDir()}, nil, noKill,
			slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("the agent: %v", err)
		}
	})
	return func(t testing.TB, o Options) backend.Backend {
		b, err := keeper.Dial(context.Background(), path, o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func noKill(context.Context, int, string) error { return nil }

func socketPair(t testing.TB) (ours, theirs net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	conns := make([]net.Conn, 2)
	for i, fd := range fds {
		syscall.CloseOnExec(fd)
		file := os.NewFile(uintptr(fd), "pair")
		conns[i], err = net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	return conns[0], conns[1]
}
