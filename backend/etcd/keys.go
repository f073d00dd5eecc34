package etcd

import (
	"fmt"
	"net/url"
	"strings"

	"limit/backend"
)

// keyspace names the keys of one namespace; see the package doc for what they mean. Names of
// namespaces, pools and claims are path-escaped, so that a slash always separates.
type keyspace struct{ prefix string }

// allNamespaces begins every key.
const allNamespaces = "/limit/1/"

func newKeyspace(namespace string) keyspace {
	return keyspace{allNamespaces + url.PathEscape(namespace) + "/"}
}

func (k keyspace) settings() string        { return k.prefix + "settings" }
func (k keyspace) queue() string           { return k.prefix + "queue" }
func (k keyspace) gate() string            { return k.prefix + "gate" }
func (k keyspace) about(id string) string  { return k.prefix + "about/" + url.PathEscape(id) }
func (k keyspace) claims() string          { return k.prefix + "claim/" }
func (k keyspace) claim(id string) string  { return k.claims() + url.PathEscape(id) }
func (k keyspace) ask(id string) string    { return k.claim(id) + "/ask" }
func (k keyspace) turn(id string) string   { return k.claim(id) + "/turn" }
func (k keyspace) waits() string           { return k.prefix + "wait/" }
func (k keyspace) wait(id string) string   { return k.waits() + url.PathEscape(id) }
func (k keyspace) slots(dim string) string { return k.prefix + "slot/" + dim + "/" }
func (k keyspace) slot(dim, id string) string {
	return k.slots(dim) + ownSlot + url.PathEscape(id)
}

// firstSlots is the range of the slots that the first releases have granted. Those know of no epoch.
func (k keyspace) firstSlots(dim string) (from, to string) {
	return k.slots(dim), k.slots(dim) + ownSlot
}
func (k keyspace) epoch(dim string) string { return k.prefix + "epoch/" + dim }
func (k keyspace) allCools() string        { return k.prefix + "cool/" }
func (k keyspace) cools(pool string) string {
	return k.allCools() + url.PathEscape(pool) + "/"
}
func (k keyspace) pasts() string { return k.prefix + "stats/" }
func (k keyspace) past(p *backend.Past) string {
	return fmt.Sprintf("%s%016x-%s", k.pasts(), p.Ended.UnixNano(), url.PathEscape(p.ID))
}
func (k keyspace) cool(pool, id string) string { return k.cools(pool) + url.PathEscape(id) }

// ofClaim is the range of a claim's own record and what is asked of it: claim/ID, claim/ID/ask, claim/ID/turn.
func (k keyspace) ofClaim(id string) (from, to string) {
	return k.claim(id), k.claim(id) + "0" // '0' follows '/'
}

// state is the range that decides: claim/, cool/, gate, queue, settings stand side by side in the order of keys.
func (k keyspace) state() (from, to string) { return k.claims(), k.settings() + "\x00" }

// all is state and what is known about each claim.
func (k keyspace) all() (from, to string) { return k.prefix + "about/", k.settings() + "\x00" }

// kind tells what a key is: the part after the prefix, with up to two unescaped names.
type kind int

const (
	keyOther kind = iota
	keySettings
	keyGate
	keyAbout
	keyClaim
	keyAsk
	keyTurn
	keyCool
	keyEpoch
)

// ownSlot begins the last part of a slot that a grant has written that knows of epochs. No id as the first releases
// make them begins with it.
const ownSlot = "~"

// parse takes a key apart; names that no version of ours has written are keyOther.
func (k keyspace) parse(key string) (kind kind, first, second string) {
	rest, ours := strings.CutPrefix(key, k.prefix)
	if !ours {
		return keyOther, "", ""
	}
	parts := strings.Split(rest, "/")
	for i, p := range parts {
		name, err := url.PathUnescape(p)
		if err != nil {
			return keyOther, "", ""
		}
		parts[i] = name
	}
	switch {
	case strings.HasPrefix(rest, "epoch/"):
		return keyEpoch, strings.TrimPrefix(rest, "epoch/"), ""
	case rest == "settings":
		return keySettings, "", ""
	case rest == "gate":
		return keyGate, "", ""
	case len(parts) == 2 && parts[0] == "about":
		return keyAbout, parts[1], ""
	case len(parts) == 2 && parts[0] == "claim":
		return keyClaim, parts[1], ""
	case len(parts) == 3 && parts[0] == "claim" && parts[2] == "ask":
		return keyAsk, parts[1], ""
	case len(parts) == 3 && parts[0] == "claim" && parts[2] == "turn":
		return keyTurn, parts[1], ""
	case len(parts) == 3 && parts[0] == "cool":
		return keyCool, parts[1], parts[2]
	}
	return keyOther, "", ""
}

// holder tells whose slot a key below slot/ is.
func (k keyspace) holder(key string) (id, dim string, ok bool) {
	rest, ok := strings.CutPrefix(key, k.prefix+"slot/")
	if !ok {
		return "", "", false
	}
	dim, escaped, _ := strings.Cut(rest, "/")
	id, err := url.PathUnescape(strings.TrimPrefix(escaped, ownSlot))
	return id, dim, err == nil
}

// waiterOf is whose a key below wait/ is; "?" where it cannot be read.
func (k keyspace) waiterOf(key string) string {
	id, err := url.PathUnescape(strings.TrimPrefix(key, k.waits()))
	if err != nil {
		return "?"
	}
	return id
}

// maxDimensions bounds what one claim may ask for, so that its grant fits into one transaction of etcd (128 operations
// by default): each dimension is a slot, an epoch, perhaps a rate, and a comparison of each.
const maxDimensions = 36

// dimRuns is the dimension of the run queue and of all tag limits, which are limits of runs.
const dimRuns = "runs"

// dimensions are what slots are counted in: a pool each, and the run queue. They do not depend on the settings, so that
// limits declared later count the holders of today. A claim of a run that began with another is found below the run.
func dimensions(c *backend.Claim) []string {
	var dims []string
	if c.RunID != c.ID {
		dims = append(dims, dimRun(c.RunID))
	}
	for pool := range c.Pools {
		dims = append(dims, dimPool(pool))
	}
	if c.Runs > 0 {
		dims = append(dims, dimRuns)
	}
	return dims
}

func dimPool(pool string) string { return "pool:" + url.PathEscape(pool) }
func dimRun(run string) string   { return "run:" + url.PathEscape(run) }

// poolOf is the pool of a dimension; ok is false for the run queue.
func poolOf(dim string) (pool string, ok bool) {
	escaped, ok := strings.CutPrefix(dim, "pool:")
	if !ok {
		return "", false
	}
	pool, err := url.PathUnescape(escaped)
	return pool, err == nil
}
