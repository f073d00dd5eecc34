package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend/etcd/boot"
)

// errLeaseGone says that the server does not know the lease any more.
var errLeaseGone = errors.New("the lease has ended")

// renewer keeps one lease alive over a stream of its own. The client library's keep-alive counts from the receipt of an
// answer and looks once a second; here everything counts from the moment a renewal was sent.
type renewer struct {
	client pb.LeaseClient
	lease  clientv3.LeaseID

	stream pb.Lease_LeaseKeepAliveClient
	cancel context.CancelFunc
}

// newLease asks for a lease. sent is the moment before the request that was answered.
func (s *Store) newLease(ctx context.Context, what string,
	ttl time.Duration) (lease clientv3.LeaseID, sent time.Duration, err error) {
	_, err = s.call(ctx, what, func(ctx context.Context) error {
		sent = boot.Now()
		r, err := s.client.Grant(ctx, int64((ttl+time.Second-1)/time.Second))
		if err == nil {
			lease = r.ID
		}
		return err
	})
	return lease, sent, err
}

func (s *Store) newRenewer(lease clientv3.LeaseID) *renewer {
	return &renewer{client: pb.NewLeaseClient(s.client.ActiveConnection()), lease: lease}
}

// renew sends one renewal and waits for the answer: the moment of sending, or errLeaseGone, or why there was no answer.
func (r *renewer) renew(ctx context.Context, timeout time.Duration) (sent time.Duration, err error) {
	if r.stream == nil {
		var streaming context.Context
		streaming, r.cancel = context.WithCancel(clientv3.WithRequireLeader(ctx))
		opening := time.AfterFunc(timeout, r.cancel)
		r.stream, err = r.client.LeaseKeepAlive(streaming)
		if !opening.Stop() {
			err = errPatience(timeout)
		}
		if err != nil {
			r.close()
			return 0, err
		}
	}
	sent = boot.Now()
	impatience := time.AfterFunc(timeout, r.cancel)
	err = r.stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(r.lease)})
	var answer *pb.LeaseKeepAliveResponse
	if err == nil {
		answer, err = r.stream.Recv()
	}
	if !impatience.Stop() {
		err = errPatience(timeout)
	}
	if err != nil {
		r.close()
		return 0, err
	}
	if answer.TTL <= 0 {
		r.close()
		return 0, errLeaseGone
	}
	return sent, nil
}

func errPatience(timeout time.Duration) error {
	return fmt.Errorf("no answer within %s", timeout.Round(time.Millisecond))
}

// close ends the stream; the next renewal opens another, with the next member.
func (r *renewer) close() {
	if r.cancel != nil {
		r.cancel()
	}
	r.stream, r.cancel = nil, nil
}
