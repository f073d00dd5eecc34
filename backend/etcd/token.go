package etcd

import (
	"context"
	"errors"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// tokens gets a token for the user's password and puts it on every request, as the client library would. But the
// library keeps the password that it was made with, asks for a token at each new stream, a tenth of a second of the
// server's time, and sends the old token with the request for a new one: etcd 3.4 refuses that for the old token, and
// the library asks again, in itself, without end.
type tokens struct {
	user  string
	files *credentials

	mu     sync.Mutex
	valid  bool
	token  string      // "": etcd asks for none
	asking *tokenAsked // nil: nobody asks
}

// tokenAsked is a request for a token: all who need one wait for it, none of them longer than its own context lasts.
type tokenAsked struct {
	done chan struct{}
	err  error // once it is done
}

func newTokens(user string, files *credentials) *tokens { return &tokens{user: user, files: files} }

func (t *tokens) options() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithPerRPCCredentials(t), grpc.WithChainUnaryInterceptor(t.unary),
		grpc.WithChainStreamInterceptor(t.stream)}
}

// tokenKey is where a request's context has its token.
type tokenKey struct{}

// GetRequestMetadata is how gRPC asks for what goes with a request.
func (t *tokens) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if token, _ := ctx.Value(tokenKey{}).(string); token != "" {
		return map[string]string{rpctypes.TokenFieldNameGRPC: token}, nil
	}
	return nil, nil
}

// RequireTransportSecurity is false: the configuration decides.
func (t *tokens) RequireTransportSecurity() bool { return false }

// with returns a context with a token, a new one where none is valid.
func (t *tokens) with(ctx context.Context, conn *grpc.ClientConn) (context.Context, string, error) {
	for {
		t.mu.Lock()
		token, valid, asked := t.token, t.valid, t.asking
		if !valid && asked == nil {
			asked = &tokenAsked{done: make(chan struct{})}
			t.asking = asked
			go t.ask(conn, asked)
		}
		t.mu.Unlock()
		if valid {
			return context.WithValue(ctx, tokenKey{}, token), token, nil
		}
		select {
		case <-ctx.Done():
			return nil, "", status.FromContextError(ctx.Err()).Err()
		case <-asked.done:
			if asked.err != nil {
				return nil, "", asked.err
			}
		}
	}
}

// ask asks for a token, for all who wait for one.
func (t *tokens) ask(conn *grpc.ClientConn, asked *tokenAsked) {
	ctx, cancel := context.WithTimeout(context.Background(), tryTimeout)
	defer cancel()
	answer, err := pb.NewAuthClient(conn).Authenticate(ctx,
		&pb.AuthenticateRequest{Name: t.user, Password: t.files.newPassword()})
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case errors.Is(rpctypes.Error(err), rpctypes.ErrAuthNotEnabled):
		t.token, t.valid = "", true
	case err != nil:
		asked.err = err
	default:
		t.token, t.valid = answer.Token, true
	}
	t.asking = nil
	close(asked.done)
}

// heed takes a token for invalid that etcd refuses.
func (t *tokens) heed(err error, token string) {
	if !isOneOf(rpctypes.Error(err), rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision, rpctypes.ErrUserEmpty) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.valid = false
	}
}

func (t *tokens) unary(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	next grpc.UnaryInvoker, o ...grpc.CallOption) error {
	if _, authenticating := request.(*pb.AuthenticateRequest); authenticating {
		return next(ctx, method, request, reply, conn, o...)
	}
	ctx, token, err := t.with(ctx, conn)
	if err == nil {
		err = next(ctx, method, request, reply, conn, o...)
		t.heed(err, token)
	}
	return err
}

func (t *tokens) stream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	next grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, token, err := t.with(ctx, conn)
	if err != nil {
		return nil, err
	}
	s, err := next(ctx, desc, conn, method, o...)
	if err != nil {
		t.heed(err, token)
		return nil, err
	}
	return &tokenStream{s, t, token}, nil
}

// tokenStream heeds what a server answers on a stream.
type tokenStream struct {
	grpc.ClientStream
	tokens *tokens
	token  string
}

// RecvMsg receives an answer. A watch is refused within one.
func (s *tokenStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	s.tokens.heed(err, s.token)
	if answer, ok := m.(*pb.WatchResponse); ok && err == nil && answer.Canceled {
		s.tokens.heed(errors.New(answer.CancelReason), s.token)
	}
	return err
}
