package backend

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"time"
)

// Claim is what one command asks for. It is waiting until it has a Grant, then held.
// Whoever hands a Claim to a Backend or a State does not change it afterwards.
type Claim struct {
	ID    string `json:"id"`     // 128 random bits in hexadecimal, see NewID
	RunID string `json:"run_id"` // the run it belongs to: its own ID, where it is the first claim of a run

	Pools map[string]int `json:"pools,omitempty"` // slots asked of each pool, each at least 1, or AllSlots
	// slots asked of the run queue (a run: 1), 0 for a claim within a run
	Runs int               `json:"runs,omitempty"`
	Tags map[string]string `json:"tags,omitempty"` // matched by tag limits where Runs > 0; a tag without value has ""

	Priority int32 `json:"priority"`       // higher first
	Rank     int64 `json:"rank,omitempty"` // among equals in priority, higher first; stores leave it 0
	Seq      int64 `json:"seq"`            // order of arrival, set by the store

	// Replaces says that the claim came with EnterOptions.Replace. Stores set it.
	Replaces bool `json:"replaces,omitempty"`

	// Ancestors are the claims that will be held for as long as this one waits or is held:
	// those of the run it is nested in, outermost first.
	Ancestors []string `json:"ancestors,omitempty"`

	// Within is the run that the claim says it is nested in, nil for none. The rule checks it: as long as a claim of
	// that run is held, this one takes no run slot and matches no tag limit; else it is a run of its own, as RunID,
	// Runs and Tags say. A grant settles it: RunID, Runs and Ancestors are then those of the outer run, or as they
	// were, and Within is nil.
	Within *Within `json:"within,omitempty"`

	// The rest decides nothing: it tells people who asks.
	Name     string    `json:"name"`
	Command  []string  `json:"command"`
	Host     string    `json:"host"`
	PID      int       `json:"pid"`
	User     string    `json:"user"`
	QueuedAt time.Time `json:"queued_at"` // by the wall clock of the claimant
	// the process that the claim is held for, which PID has not started; 0: a command of PID
	Holds int `json:"holds,omitempty"`

	Grant *Grant `json:"grant,omitempty"` // nil while waiting
}

// AllSlots in place of a number of slots asks for the whole limit of the pool as it is at the grant, which settles the
// number.
const AllSlots = -1

// Whole reports whether the claim asks for all slots of a pool, whose number no grant has settled yet.
func (c *Claim) Whole() bool {
	for _, slots := range c.Pools {
		if slots == AllSlots {
			return true
		}
	}
	return false
}

// SlotsText is a number of slots as a claim asks for it.
func SlotsText(slots int) string {
	if slots == AllSlots {
		return "all"
	}
	return strconv.Itoa(slots)
}

// Within names the run that a claim says it is nested in, and the claim of that run whose command asks.
type Within struct {
	Run   string `json:"run"`
	Claim string `json:"claim,omitempty"`
}

// Grant is the proof that a claim is held.
type Grant struct {
	Token int64 `json:"token"` // grows with every grant of a namespace
	// numbers within each limited pool of which it has MaxNumbered at most, 0 to limit-1, shared with no other holder
	Slots     map[string][]int `json:"slots,omitempty"`
	GrantedAt time.Time        `json:"granted_at"` // by the wall clock of the granter
}

// NewID returns 128 random bits in hexadecimal.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}
