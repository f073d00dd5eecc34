package backend

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// Claim is what one command asks for. It is waiting until it has a Grant, then held.
// Whoever hands a Claim to a Backend or a State does not change it afterwards.
type Claim struct {
	ID    string `json:"id"`     // 128 random bits in hexadecimal, see NewID
	RunID string `json:"run_id"` // the run it belongs to

	Pools map[string]int    `json:"pools,omitempty"` // slots asked of each pool, each at least 1
	Runs  int               `json:"runs,omitempty"`  // slots asked of the run queue (a run: 1), 0 for a nested claim
	Tags  map[string]string `json:"tags,omitempty"`  // matched by tag limits where Runs > 0; a tag without value has ""

	Priority int32 `json:"priority"`       // higher first
	Rank     int64 `json:"rank,omitempty"` // among equals in priority, higher first; stores leave it 0
	Seq      int64 `json:"seq"`            // order of arrival, set by the store

	// Replaces says that the claim came with EnterOptions.Replace. Stores set it.
	Replaces bool `json:"replaces,omitempty"`

	// Ancestors are the claims that will be held for as long as this one waits or is held:
	// those of the run it is nested in, outermost first.
	Ancestors []string `json:"ancestors,omitempty"`

	// The rest decides nothing: it tells people who asks.
	Name     string    `json:"name"`
	Command  []string  `json:"command"`
	Host     string    `json:"host"`
	PID      int       `json:"pid"`
	User     string    `json:"user"`
	QueuedAt time.Time `json:"queued_at"` // by the wall clock of the claimant

	Grant *Grant `json:"grant,omitempty"` // nil while waiting
}

// Grant is the proof that a claim is held.
type Grant struct {
	Token     int64            `json:"token"`           // grows with every grant of a namespace
	Slots     map[string][]int `json:"slots,omitempty"` // numbers within each limited pool of which it has MaxNumbered at most, 0 to limit-1, shared with no other holder
	GrantedAt time.Time        `json:"granted_at"`      // by the wall clock of the granter
}

// NewID returns 128 random bits in hexadecimal.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}
