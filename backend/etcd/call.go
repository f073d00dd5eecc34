package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"limit/backend"
)

// One try of a request; etcd itself gives one up after about 7 s. The next try goes to another member.
const tryTimeout = 2500 * time.Millisecond

// Between tries.
const (
	firstPause = 30 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// call repeats a request until it is answered, ctx ends or the connect timeout is over. Whatever it is given must be
// safe to repeat. unsure tells that a try failed after it may have been carried out. Once a request was answered, a
// refusal of the credentials is no end: they may be about to be renewed, on the server or in their files.
func (s *Store) call(ctx context.Context, what string, request func(context.Context) error) (unsure bool, err error) {
	bound, cancel := context.WithTimeout(ctx, s.options.ConnectTimeout)
	defer cancel()
	pause := firstPause
	var last error
	for {
		attempt, done := context.WithTimeout(bound, tryTimeout)
		err := request(attempt)
		done()
		if err == nil {
			s.proven.Store(true)
			return unsure, nil
		}
		if bound.Err() == nil && permanent(err) && !(s.proven.Load() && notAllowed(err)) {
			return unsure, fmt.Errorf("%s: %w", what, s.explain(err))
		}
		unsure = unsure || !refusedUnsent(err)
		if last == nil || !isTimeout(err) {
			last = err
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		case <-bound.Done():
			if ctx.Err() != nil {
				return unsure, fmt.Errorf("%s: %w", what, context.Cause(ctx))
			}
			return unsure, fmt.Errorf("%s: %w: %s gave no answer within %s: %w", what,
				backend.ErrUnreachable, s, s.options.ConnectTimeout, s.explain(last))
		}
	}
}

// commit sends a transaction until it is answered. name is its name in the package doc.
func (s *Store) commit(ctx context.Context, name string, t txn) (resp *clientv3.TxnResponse, unsure bool, err error) {
	s.at(name + ":before")
	latest := s.latest.Load()
	unsure, err = s.call(ctx, name, func(ctx context.Context) error {
		r, err := s.client.Txn(ctx).If(t.compare...).Then(t.then...).Else(t.otherwise...).Commit()
		resp = r
		return err
	})
	s.at(name + ":after")
	if err == nil {
		s.reached(latest, resp.Header.Revision)
	}
	return resp, unsure, err
}

// reached notes the revision of an answer to a request that was sent when latest was the highest. One that is lower is
// that of an etcd which has gone back: it may grant slots that are held, and gives tokens a second time.
func (s *Store) reached(latest, revision int64) {
	for known := latest; revision > known && !s.latest.CompareAndSwap(known, revision); {
		known = s.latest.Load()
	}
	if revision >= latest {
		return
	}
	s.latest.Store(revision)
	s.setBack.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		s.session.wake()
	}
}

// txn is a transaction.
type txn struct {
	compare   []clientv3.Cmp
	then      []clientv3.Op
	otherwise []clientv3.Op
}

// at is where tests kill the client.
func (s *Store) at(point string) {
	if s.hook != nil {
		s.hook(point)
	}
}

// get reads until it is answered.
func (s *Store) get(ctx context.Context, what, key string,
	opts ...clientv3.OpOption) (resp *clientv3.GetResponse, err error) {
	latest := s.latest.Load()
	_, err = s.call(ctx, what, func(ctx context.Context) error {
		r, err := s.client.Get(ctx, key, opts...)
		resp = r
		return err
	})
	if err == nil {
		s.reached(latest, resp.Header.Revision)
	}
	return resp, err
}

// notAllowed reports whether etcd refuses the user or what the user may do.
func notAllowed(err error) bool {
	return refusedHandshake(err) || isOneOf(err, rpctypes.ErrAuthFailed, rpctypes.ErrPermissionDenied,
		rpctypes.ErrUserEmpty, rpctypes.ErrUserNotFound)
}

func isOneOf(err error, those ...error) bool {
	return slices.ContainsFunc(those, func(one error) bool { return errors.Is(err, one) })
}

// permanent tells an answer that will be the same next time.
func permanent(err error) bool {
	switch {
	case isOneOf(err, rpctypes.ErrLeaseNotFound, clientv3.ErrNoAvailableEndpoints, rpctypes.ErrNoSpace),
		refusedHandshake(err), tooLarge(err):
		return true
	case isOneOf(err, rpctypes.ErrInvalidAuthToken, rpctypes.ErrAuthOldRevision):
		return false // the client has fetched another token
	}
	switch code(err) {
	case codes.OK, codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted, codes.Aborted:
		return false
	case codes.Unknown:
		return errors.Is(err, rpctypes.ErrPermissionDenied)
	}
	return true
}

// tooLarge reports whether a request is more than the client library sends or than etcd takes.
func tooLarge(err error) bool {
	return errors.Is(err, rpctypes.ErrRequestTooLarge) ||
		strings.Contains(err.Error(), "trying to send message larger than max")
}

// code finds the gRPC code in what the client makes of errors.
func code(err error) codes.Code {
	var e rpctypes.EtcdError
	if errors.As(err, &e) {
		return e.Code()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return codes.DeadlineExceeded
	}
	if errors.Is(err, context.Canceled) {
		return codes.Canceled
	}
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return codes.Unavailable
}

func isTimeout(err error) bool { return code(err) == codes.DeadlineExceeded }

// refusedUnsent tells errors of requests that no server has seen.
func refusedUnsent(err error) bool {
	text := err.Error()
	return refusedHandshake(err) || strings.Contains(text, "connection refused") ||
		errors.Is(err, rpctypes.ErrTooManyRequests) || errors.Is(err, rpctypes.ErrNoLeader)
}

// refusedHandshake tells a certificate that one side does not accept.
func refusedHandshake(err error) bool {
	text := err.Error()
	return strings.Contains(text, "x509: ") || strings.Contains(text, "remote error: tls: ") ||
		strings.Contains(text, "first record does not look like a TLS handshake")
}

// plain is an error without the words that gRPC wraps around its reason.
type plain struct {
	text string
	err  error
}

func (p *plain) Error() string { return p.text }
func (p *plain) Unwrap() error { return p.err }

func plainly(err error) error {
	s, ok := status.FromError(err)
	if !ok || s.Code() == codes.OK {
		return err
	}
	text := s.Message()
	if reason, wrapped := strings.CutPrefix(text, `connection error: desc = "`); wrapped {
		text = strings.TrimSuffix(reason, `"`)
	}
	return &plain{text, err}
}

// explain says the reason alone, and adds a remedy where one is known.
func (s *Store) explain(err error) error {
	err = plainly(err)
	if remedy := s.remedy(err, err.Error()); remedy != "" {
		return fmt.Errorf("%w; %s", err, remedy)
	}
	return err
}

func isHTTPS(endpoint string) bool { return strings.HasPrefix(endpoint, "https://") }

func (s *Store) remedy(err error, text string) string {
	switch {
	case strings.Contains(text, "handshake failed: EOF"),
		strings.Contains(text, "first record does not look like a TLS handshake"):
		return "a server that does not speak TLS answers so: http:// in place of https:// asks without"
	case strings.Contains(text, "server preface: EOF") && !slices.ContainsFunc(s.options.Endpoints, isHTTPS):
		return "a server that speaks TLS answers so: https:// in place of http:// asks with TLS"
	case refusedHandshake(err), hungUp(err): // the refusal may be lost with the connection
		return "check ca, cert and key of backend.etcd.tls, and http:// or https://"
	case strings.Contains(text, "connection refused"):
		return "check that etcd runs there and that this is its port for clients, 2379 as a rule"
	case strings.Contains(text, "no such host"):
		return "check the name of the host in the endpoint"
	case strings.Contains(text, "i/o timeout"), errors.Is(err, context.DeadlineExceeded):
		return "check the address, and what filters packets on the way"
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return "grant the user readwrite on the prefix " + s.keys.prefix
	case tooLarge(err):
		return "give the claim fewer or shorter tags and names"
	case errors.Is(err, rpctypes.ErrAuthFailed):
		return "check username and password_file of backend.etcd"
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return "etcd asks for a user: set username and password_file of backend.etcd"
	case errors.Is(err, rpctypes.ErrNoSpace):
		return "compact and defragment etcd, then: etcdctl alarm disarm"
	}
	return ""
}
