package backend

import (
	"errors"
	"fmt"
	"strings"
)

// ErrHeld says that a claim is held where a waiting one was needed.
var ErrHeld = errors.New("the claim is held, not waiting")

// ErrUnreachable says that the store did not answer.
var ErrUnreachable = errors.New("store unreachable")

// BusyError says that a claim was not granted at once.
type BusyError struct{ Obstacles }

func (e *BusyError) Error() string {
	names := make([]string, len(e.Blocks))
	for i, b := range e.Blocks {
		names[i] = b.String()
	}
	return "busy: " + strings.Join(names, ", ")
}

// String is a limit with its use: pool:database 2/2.
func (b Block) String() string {
	if b.Capacity == Unlimited { // it is paused
		return fmt.Sprintf("%s %d/-", b.Limit, b.Used)
	}
	return fmt.Sprintf("%s %d/%d", b.Limit, b.Used, b.Capacity)
}

// ImpossibleError says that a claim can never be granted under the limits in force.
type ImpossibleError struct {
	Limit    string // as in Block
	Asked    int
	Capacity int
	Rate     *Rate          // the rate that Asked exceeds
	Held     map[string]int // by each ancestor, which will not release before this claim is done
	Circle   []Bind         // the claims that would wait for each other, this one among them

	Undeclared string // the pool, where settings are strict and it has no limit of its own
}

func (e *ImpossibleError) Error() string {
	switch {
	case e.Undeclared != "":
		return fmt.Sprintf("asks for pool %q, which has no limit of its own, and concurrency.pools.strict refuses "+
			"that; "+
			"'limit pool set %s N' gives it one", e.Undeclared, ShellWord(e.Undeclared))
	case e.Asked == AllSlots:
		return fmt.Sprintf("asks all slots of %s, which is unlimited; give it a limit", e.Limit)
	case len(e.Circle) > 0:
		return fmt.Sprintf("asks %d of %s and would wait for ever, as claims wait for each other: %s; "+
			"raise the limit or claim all of it once, outside", e.Asked, e.Limit, joinBinds(e.Circle))
	case len(e.Held) > 0:
		held := make([]string, 0, len(e.Held))
		for _, id := range sortedKeys(e.Held) {
			held = append(held, fmt.Sprintf("%s holds %d", id, e.Held[id]))
		}
		return fmt.Sprintf("asks %d of %s, which its own run keeps from it for ever: %s of %d; "+
			"raise the limit or claim it once, outside", e.Asked, e.Limit, strings.Join(held, ", "), e.Capacity)
	case e.Rate != nil:
		return fmt.Sprintf("asks %d of %s, more than its rate %s ever admits", e.Asked, e.Limit, e.Rate)
	default:
		return fmt.Sprintf("asks %d of %s, whose limit is %d; ask for less or raise the limit", e.Asked, e.Limit,
			e.Capacity)
	}
}

// NotFoundError says that a namespace has no such claim.
type NotFoundError struct{ ID string }

func (e *NotFoundError) Error() string { return fmt.Sprintf("no claim %s", e.ID) }
