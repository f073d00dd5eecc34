package keeper

import (
	"fmt"
	"os"
)

// AgentConfig is how an agent works. It travels as JSON from limit to limit-keeper.
type AgentConfig struct {
	Options Options `json:"options"` // without Namespace and WarnOnLost
	State   string  `json:"state"`   // the directory of what the next agent has to know
	Policy  Policy  `json:"policy"`
}

// Peer is who has connected.
type Peer struct {
	PID, UID, GID int
	Groups        []int
	User          string
}

// NewPeer finds out more about who has connected.
func NewPeer(pid, uid, gid int) Peer { return Peer{PID: pid, UID: uid, GID: gid} }

// Policy says who may do what.
type Policy struct{}

// Allow fails where the policy does not let the peer do what the request asks for.
func (p *Policy) Allow(peer Peer, namespace string, r *Request) error {
	if peer.UID == 0 || peer.UID == os.Geteuid() {
		return nil
	}
	return fmt.Errorf("this agent does not serve the user %d", peer.UID)
}
