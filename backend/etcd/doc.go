// Package etcd keeps the claims of a fleet in etcd. It is the only one that imports the etcd client.
//
// # Keys
//
// Below /limit/1/NAMESPACE/, names path-escaped:
//
//	settings          the limits, one JSON document                      no lease
//	queue             there while limits of runs are set                 no lease
//	about/ID          who asks: for people                               lease of the owner
//	claim/ID          what the rule needs to know; held if it has a      lease of the owner
//	                  grant; its revision makes the token
//	claim/ID/ask      a request to cancel                                lease of the owner
//	claim/ID/turn     the gate was left to this claim's process          lease of the owner
//	wait/ID           there while the claim waits in the order           lease of the owner
//	slot/DIM/ID       there while the claim is held, for each dimension  lease of the owner
//	                  that it takes from: pool:NAME or runs; the same record
//	cool/POOL/ID      a start that a rate remembers                      own lease of the period, never renewed
//	stats/TIME-ID     a claim that has ended, at most so many            no lease
//	gate              who grants while anybody waits: host and pid      own lease of 4 s, renewed every second
//
// Everything that a process owns hangs on its lease, so death cleans up by itself. There is no counter: usage is what is
// there. The keys claim/ to settings stand side by side, so that one read or one watch sees all that decides, in order.
//
// # Safety: a grant compares that nothing was added
//
// Whoever grants has read the state at some revision R and asked the rule (backend.State). The grant's transaction then compares
// that settings are those of R and, for each limited dimension it takes from, that no key below slot/DIM/ was written
// after R; for a rated pool the same of cool/POOL/. A range compare holds for every key of the range and for an empty
// one, and deletions do not break it: they only make room. So at the instant of the grant no more is used than the rule has
// counted, whoever grants, however late the transaction arrives and whatever else went wrong: the limits
// hold by this alone, and no key need be rewritten by every grant, as an epoch per limit would. The
// gate below is for order and economy, not for safety: two gatekeepers at once could only get into each other's way.
//
// # Order: the gatekeeper
//
// A newcomer reads the limits that concern it. If nobody waits (no key below wait/) and the rule admits it, it grants itself: lease and
// read at the same time, the grant, and at the end the revocation of the lease, three round trips one after the other, as
// many as etcdctl lock takes. Otherwise it becomes a waiter, and the gatekeeper decides: one of the waiting processes, which has written
// gate, holds the state in memory, brings it forward with one watch, asks the rule after each event and writes grants in
// batches. The others watch their own claim, and gate for deletion alone, so that a release costs the same whether
// 10 or 10,000 wait. When no claim of its process waits any more, the keeper leaves the gate to the last in order, which will wait
// longest. When it dies, the gate's lease ends within 5 s; of those who see it go, the first to write gate is next.
// A newcomer that may not wait does not join while others do: it reads the whole state, puts itself at the end of the order, asks the rule
// and grants itself if the rule admits it: the comparison above makes that safe beside a gatekeeper.
//
// # Transactions
//
// Each can be sent again: it compares the revision of what it changes, or its own key's absence, and the other branch reads what
// was found; so one whose outcome is unknown is sent again until it is answered, and a late arrival of the first sending fails.
//
//	grant      newcomer    claim/ID absent, settings, slots,    → about, claim, slot, cool
//	                       nothing added to wait/
//	wait       newcomer    claim/ID absent, settings            → about, claim, wait
//	admit      gatekeeper  gate, claims, settings, slots        → claim, slot, cool, not wait; many claims at once
//	refuse     gatekeeper  gate, claim, settings                → claim with the reason, not wait
//	gate       waiter      gate absent                          → gate
//	hand over  gatekeeper  gate, claim of the next              → gate, turn of the next
//	turn       the next    gate as it was handed over           → gate under its own lease
//	shut       gatekeeper  gate, nothing added to wait/         → not gate
//	aside, up  owner       claim                                → claim, not slot, not cool, not wait; or claim, wait
//	waited     owner       claim                                → claim: it has waited long enough to reserve
//	withdraw   owner       claim                                → nothing of the claim
//	release    owner       -                                    → nothing of the claim; the last claim revokes the lease
//	ask, bump, drop  anybody  claim                             → ask; claim; nothing of the claim
//	settings   anybody     settings                             → settings, queue
//
// An owner that gives up a claim while an earlier "grant" or "wait" of it may still arrive leaves a record that says so (Gone) and
// keeps it from succeeding, until the lease ends.
//
// # Leases
//
// One lease for all claims of a process, renewed three times before it could run out. The last moment for a command is the
// sending of the last answered renewal + 0.9·TTL − 1 s, on a clock that counts suspension (package boot): the server's clock may
// run a tenth faster than ours, and answers may have been on their way for as long as they like. Grace before that moment
// a claim that could not be renewed is told lost (backend.Lost). A waiting claim whose lease has ended enters again
// in its old place. The keeper process (package keeper, and Serve here) enforces that moment when the wrapper cannot.
//
// # Reading again
//
// Watches start at the revision that was read plus one, never at now. They end by compaction and when a server has no leader;
// then, and every 30 to 60 s, what they follow is read again. Waiting times are measured by their owners and gatekeepers each with
// its own clock; rates by etcd's, through leases. No wall clock decides.
package etcd
