package etcd

import (
	"context"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"

	"limit/backend/etcd/keeper"
)

// How soon a connection that has gone silent is given up: gRPC sends no ping sooner than after 10 s.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 3 * time.Second
)

// window is how much a server may send before we have read it. That it is given spares the pings by which gRPC would
// find one: a write and a read more for each answer.
const window = 1 << 20

// slowestReconnect is the longest pause between two attempts to connect: gRPC would wait up to two minutes, past the
// end of most leases.
const slowestReconnect = 2 * time.Second

// connect makes a client; it does not wait for a server.
func connect(o keeper.Options, files *credentials, dial []grpc.DialOption) (*clientv3.Client, error) {
	reconnect := grpcbackoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = 100*time.Millisecond, slowestReconnect
	own := []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(failAtOnce),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: tryTimeout}),
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
	}
	secured := files.newTLS()
	if secured != nil && !strings.HasPrefix(o.Endpoints[0], "http://") { // the first endpoint decides for the client
		own = append(own, grpc.WithTransportCredentials(newTransport(files)))
	}
	if o.Username != "" {
		own = append(own, newTokens(o.Username, files).options()...)
	}
	return clientv3.New(clientv3.Config{
		Endpoints:            o.Endpoints,
		TLS:                  secured,
		DialKeepAliveTime:    pingAfter,
		DialKeepAliveTimeout: pingTimeout,
		MaxUnaryRetries:      1, // Store.call repeats, and keeps the reason of a failure
		Logger:               zap.NewNop(),
		DialOptions:          append(own, dial...),
	})
}

// failAtOnce lets a request fail with the reason why there is no connection, where the client library would wait for
// one and say only that time is up.
func failAtOnce(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, next grpc.UnaryInvoker,
	o ...grpc.CallOption) error {
	return next(ctx, method, request, reply, conn, append(o, grpc.WaitForReady(false))...)
}
