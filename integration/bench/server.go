package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// etcdServer is a server of one member on loopback, with its data on the disk where temporary files are.
type etcdServer struct {
	address string
	cmd     *exec.Cmd
	conn    *grpc.ClientConn
}

// startEtcd starts one and waits until it answers.
func startEtcd(program, dir string) (*etcdServer, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	peer, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(dir + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(program, "--name", "bench", "--data-dir", dir, "--log-level", "error",
		"--listen-client-urls", "http://"+address, "--advertise-client-urls", "http://"+address,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer, "--initial-cluster",
		"bench=http://"+peer)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &etcdServer{address: address, cmd: cmd}
	s.conn, err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err == nil {
		err = s.untilReady()
	}
	if err != nil {
		s.end()
		return nil, fmt.Errorf("etcd: %w", err)
	}
	return s, nil
}

// freeAddress is an address of loopback at which nobody listens.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *etcdServer) untilReady() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		_, err := pb.NewKVClient(s.conn).Put(ctx, &pb.PutRequest{Key: []byte("ready")}, grpc.WaitForReady(true))
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
}

// put times one put over a connection that stands, the median of some, in milliseconds.
func put(b *bench) (float64, error) {
	kv := pb.NewKVClient(b.server.conn)
	var taken []float64
	for i := range 20 {
		begun := time.Now()
		if _, err := kv.Put(context.Background(),
			&pb.PutRequest{Key: []byte("put"), Value: fmt.Append(nil, i)}); err != nil {
			return 0, err
		}
		taken = append(taken, float64(time.Since(begun))/1e6)
	}
	return median(taken), nil
}

func (s *etcdServer) end() {
	if s.conn != nil {
		s.conn.Close()
	}
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// debianCtl is the etcdctl that Debian 12 ships.
const debianCtl = "etcdctl 3.4"

func findDebianCtl() (string, error) {
	path, err := exec.LookPath("etcdctl")
	if err != nil {
		return "", err
	}
	out, err := exec.Command(path, "version").Output()
	if err == nil && !strings.Contains(string(out), "etcdctl version: 3.4.") {
		err = errors.New("it is of another version")
	}
	return path, err
}
