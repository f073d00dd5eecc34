// Package backend is the domain of limit: claims, limits, the order in which claims are granted, and
// the contract of the stores that keep them. It does no I/O and imports the standard library only.
//
// One rule decides everything: State. The embedded store, the etcd store and the executor of a
// dag run are three places to keep its state.
//
// # The life of a claim
//
// Enter. The store adds the claim behind those that wait and asks the rule. A claim that is admitted is held when Enter
// returns; the wrapper then starts the command.
//
//	embedded  One change: lock the state, read it, ask the rule, lock a file of claims/ (the claim's life, which
//	          the command inherits), write the state, unlock.
//	etcd      The keeper process takes a lease and reads the limits that concern the claim; one transaction grants it,
//	          which compares that nothing was added meanwhile.
//
// Wait. A claim that is not admitted stays in the store in its place. One of those who wait, the gatekeeper, watches
// for what nobody reports: deaths and time. The others sleep until they are told something.
//
//	embedded  Each waits for a byte in its FIFO, and for the end of the gatekeeper.
//	etcd      Each watches its own keys, and the gate for its deletion.
//
// Grant. Somebody makes room and the rule admits the next in order; the owner's event is Granted.
//
//	embedded  Whoever makes room asks the rule in the same change, marks the next as held and wakes it. The woken
//	          locks the state and reads its own record.
//	etcd      The gatekeeper sees the deletion of the slot, asks the rule, and writes the grant if it still keeps the
//	          gate. The claim's keeper sees its key change, and tells the wrapper.
//
// Hold. The claim lives as long as its processes.
//
//	embedded  The kernel keeps the lock of the claim's file until the last of them has closed it or ended; a second
//	          witness is the file processes. There is nothing to renew.
//	etcd      The keeper renews the lease. A claim that could not be renewed in time is Lost, and its command is ended
//	          before another can have the slot.
//
// Release. The claim goes, and what it leaves is for the next.
//
//	embedded  One change removes it and admits who is next; then the gate is handed on, and the claim is remembered in
//	          the history. Without a Release (kill -9) the gatekeeper sees the file closed and does the same.
//	etcd      One transaction deletes its keys and remembers it; the lease is revoked. Without a Release the server
//	          deletes the keys when the lease ends.
package backend

import (
	"context"
	"os"
	"time"
)

// Backend keeps the claims and limits of one namespace. Its methods may be called by several
// goroutines at once. backendtest.Run is this contract as code.
type Backend interface {
	// String names the store as status shows it: local:/var/lib/limit, etcd://h1:2379,h2:2379.
	String() string

	// Enter puts a claim before the limits, all or nothing. The claim is held when Enter returns and
	// its first event is Granted, or it waits in order. It fails with *ImpossibleError for a claim
	// that can never be granted, and, with NoWait, with *BusyError for one that is not granted at
	// once. On failure nothing of the claim stays behind. A cancelled ctx withdraws a claim that
	// Enter has not returned yet; afterwards the Entry owns it.
	Enter(ctx context.Context, c Claim, o EnterOptions) (Entry, error)

	// Snapshot reads one consistent state. Claims of processes that are gone are not in it.
	Snapshot(ctx context.Context) (*Snapshot, error)

	// Changes sends (without blocking, so that many changes may become one) after every change
	// of claims or settings until ctx ends, then closes. It sends once at the start.
	Changes(ctx context.Context) (<-chan struct{}, error)

	// Settings returns the limits in force; ok is false where nobody has ever set any.
	Settings(ctx context.Context) (s Settings, ok bool, err error)

	// ChangeSettings applies change to the settings in force, in one atomic step: change may be called
	// several times. An error of change is returned as it is, and nothing is written. Waiters that
	// the new limits admit are woken at once; those that became impossible are refused.
	ChangeSettings(ctx context.Context, change func(s *Settings, ok bool) error) error

	// Cancel asks a waiting claim to leave, or the holder of a held one to stop its command and release.
	// It returns when the request is stored, or *NotFoundError. id is a whole id.
	Cancel(ctx context.Context, id, reason string) error

	// Drop removes a claim whoever holds it: for a machine that does not answer. Its command may
	// still run. *NotFoundError where there is none.
	Drop(ctx context.Context, id string) error

	// Bump gives a waiting claim a new priority. *NotFoundError, or ErrHeld for a held claim.
	Bump(ctx context.Context, id string, priority int32) error

	// Close frees what the Backend itself uses. Entries must be released before.
	Close() error
}

// EnterOptions modify Enter.
type EnterOptions struct {
	NoWait bool // fail with *BusyError rather than wait
	// ask the oldest holders in the way to stop, and the waiters in the way that came with Replace; then wait
	Replace     bool
	WatchBlocks bool // send a Blocked event whenever what blocks the claim changes
}

// Entry is a claim that Enter has put into a store, as its owner sees it.
type Entry interface {
	// Claim returns the claim as it stands, with its Seq, and its Grant once it is held.
	Claim() Claim

	// Events tells what happens to the claim, in order. It is never closed and never blocks the store: the owner reads
	// it until it releases. The first event of a claim that waits is Blocked, where the store knows from entering what
	// stands in the way; more of them come with WatchBlocks only.
	Events() <-chan Event

	// Inherit returns the descriptor that keeps the claim alive for as long as a process holds it open, or nil
	// where the store has none. The command inherits it; the Entry keeps it open until Release.
	Inherit() *os.File

	// Started says which processes run under the held claim, more of them with each call. A store where nothing that
	// they inherit keeps the claim (Inherit is nil) ends the one it was told last where the claim is lost or its owner
	// dies; elsewhere the claim lives as long as one of them.
	Started(pids ...int)

	// Yield gives back a granted claim, or takes a waiting one out of the order, so that it is not
	// granted while it stands aside; its place in the order stays its own. Reacquire puts it back; a Granted event
	// follows when it is admitted.
	Yield(ctx context.Context) error
	Reacquire(ctx context.Context) error

	// Obstacles reads what keeps the claim from being granted now: nothing where it does not wait. The first Blocked
	// event has what Enter has seen already, so this is for one who waits long. It must not cost a read of the whole
	// where the store can help it.
	Obstacles(ctx context.Context) (Obstacles, error)

	// Conclude says how the use of the claim has ended, for the history. It is to be called before Release; the last
	// call counts.
	Conclude(o Outcome)

	// Release gives the claim back, held or waiting. It may be called more than once and at any time; only the
	// first call does anything. A claim that was lost or cancelled meanwhile is not an error.
	// ctx bounds it: afterwards the claim frees itself as that of a dead process does.
	Release(ctx context.Context) error
}

// Surveyed is an Entry that has learnt on entering what people are to know of the claim's limits, where reading the
// settings for that would take a round trip more.
type Surveyed interface{ Survey() Survey }

// Survey is what a claim's limits are worth.
type Survey struct {
	Unset     []string `json:"unset,omitempty"`     // pools of the claim, in order, that nobody has given a limit
	Unlimited bool     `json:"unlimited,omitempty"` // no limit concerns it: it never waits
}

// EventKind says what happened to a claim.
type EventKind int

const (
	Granted EventKind = iota // held from now on; Entry.Claim has the Grant
	// Obstacles is what stands in the way: on entering, and with WatchBlocks when it has changed
	Blocked
	Cancelled // a waiting claim is gone; the holder of a held one is asked to stop, then to Release
	// a waiting claim is gone: Err is the *ImpossibleError or *LackingError that settings changed meanwhile brought
	Refused
	Unreachable // the store does not answer; the claim is still held until KillBy
	Reachable   // it answers again, in time
	Lost        // the claim will be or is given away: no process of the command may live after KillBy
)

// Event is one thing that happened to a claim.
type Event struct {
	Kind EventKind
	Obstacles
	Reason string    // Cancelled, Unreachable, Lost
	Err    error     // Refused
	KillBy time.Time // Unreachable, Lost: the last moment, on the monotonic clock; zero: at once
}

// Block is one limit that keeps a claim from being granted.
type Block struct {
	Limit    string   `json:"limit"` // pool:NAME, runs, tag:KEY, tag:KEY=VALUE; in a dag max_concurrent, step-tag:…
	Used     int      `json:"used"`
	Capacity int      `json:"capacity"`
	By       []string `json:"by"` // ids of the holders; and of the waiter it is kept for
	// Why tells a limit that is full from one that has room: "full", "rate" (Used starts of Capacity in the period),
	// "paused" (see Pause; without one the limit is 0), "behind" (an earlier claim in By needs more than is free),
	// "reserved" (kept for the claim in By), "aside".
	Why   string `json:"why"`
	Pause *Pause `json:"pause,omitempty"`
}

// Snapshot is the state of a namespace at one instant.
type Snapshot struct {
	Settings    Settings
	SettingsSet bool // false: nobody has ever set any
	Usage       []Usage
	Held        []HeldClaim    // by token
	Waiting     []WaitingClaim // in order
}

// Claims are all of a snapshot, held ones first.
func (s *Snapshot) Claims() []Claim {
	var claims []Claim
	for _, h := range s.Held {
		claims = append(claims, h.Claim)
	}
	for _, w := range s.Waiting {
		claims = append(claims, w.Claim)
	}
	return claims
}

// HeldClaim is a claim with what the store knows of its holder.
type HeldClaim struct {
	Claim
	Orphaned bool   // its wrapper is gone, processes of its command live on
	PIDs     []int  // of an orphaned claim: the processes that hold it, where the store can tell
	Asked    string // a cancellation was asked for, with this reason
}

// WaitingClaim is a claim with its place and what blocks it.
type WaitingClaim struct {
	Claim        // as a grant at this moment would settle it
	Position int // from 1, in the order of the namespace
	Aside    bool
	Blocks   []Block
}

// Usage is a limit and what is used of it.
type Usage struct {
	Limit    string // as in Block
	Kind     LimitKind
	Pool     string   // of a pool
	Tag      TagLimit // of a tag limit; Value is set for one value of a per-value limit
	Capacity int      // Unlimited
	Pause    *Pause   // nil where it is not paused, though its capacity may be 0
	Used     int
	Waiting  int // claims that need it
	Started  int // of a pool with a rate: slots started within the last period
}
