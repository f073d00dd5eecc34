package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"limit/backend"
	"limit/backend/etcd/keeper"
)

// How soon a connection that has gone silent is given up: gRPC sends no ping sooner than after 10 s.
const (
	pingAfter   = 10 * time.Second
	pingTimeout = 3 * time.Second
)

// window is how much a server may send before we have read it. That it is given spares the pings by which gRPC would find one: a write
// and a read more for each answer.
const window = 1 << 20

// connect makes a client; it does not wait for a server.
func connect(o keeper.Options, dial []grpc.DialOption) (*clientv3.Client, error) {
	if len(o.Endpoints) == 0 {
		return nil, errors.New("no endpoints of etcd are given; name at least one, such as etcd://localhost:2379")
	}
	secured, err := tlsConfig(o)
	if err != nil {
		return nil, err
	}
	c, err := clientv3.New(clientv3.Config{
		Endpoints:            o.Endpoints,
		TLS:                  secured,
		Username:             o.Username,
		Password:             o.Password,
		DialTimeout:          o.ConnectTimeout,
		DialKeepAliveTime:    pingAfter,
		DialKeepAliveTimeout: pingTimeout,
		MaxUnaryRetries:      1, // Store.call repeats, and keeps the reason of a failure
		Logger:               zap.NewNop(),
		DialOptions: append([]grpc.DialOption{
			grpc.WithChainUnaryInterceptor(failAtOnce), grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
		}, dial...),
	})
	switch { // with a password the client asks for a token at once
	case err == nil:
		return c, nil
	case !permanent(err):
		return nil, fmt.Errorf("%w: %s: %w", backend.ErrUnreachable, o, explain(err))
	default:
		return nil, fmt.Errorf("%s: %w", o, explain(err))
	}
}

// failAtOnce lets a request fail with the reason why there is no connection, where the client library would wait for one and say only
// that time is up.
func failAtOnce(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, next grpc.UnaryInvoker, o ...grpc.CallOption) error {
	return next(ctx, method, request, reply, conn, append(o, grpc.WaitForReady(false))...)
}

// tlsConfig is nil where neither the endpoints nor the options ask for TLS.
func tlsConfig(o keeper.Options) (*tls.Config, error) {
	t := o.TLS
	wanted := t != keeper.TLS{}
	for _, e := range o.Endpoints {
		wanted = wanted || strings.HasPrefix(e, "https://")
	}
	if !wanted {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.SkipVerify}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the CA certificate of etcd: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate; it should be the CA of etcd's servers", t.CA)
		}
	}
	switch {
	case t.Cert != "" && t.Key != "":
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	case t.Cert != "" || t.Key != "":
		return nil, errors.New("a client certificate needs both its cert and its key; give the other one too")
	}
	return c, nil
}
