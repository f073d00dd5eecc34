package etcd

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A renewal has little time, and must not stand in line behind others for a token that does not come.
func TestNobodyWaitsForATokenLongerThanItsContextLasts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tokens := newTokens("fleet", &credentials{password: "word"})
	patient := make(chan error, 1)
	go func() {
		_, _, err := tokens.with(t.Context(), conn)
		patient <- err
	}()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := tokens.with(ended, conn); err == nil {
		t.Error("a token, of whom?")
	}
	select {
	case err := <-patient:
		t.Errorf("the first had to be answered before the second could give up: %v", err)
	default:
		if err := <-patient; err == nil {
			t.Error("a token, of whom?")
		}
	}
}
