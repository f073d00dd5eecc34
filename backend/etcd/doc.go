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
//	slot/DIM/~ID      there while the claim is held, for each dimension  lease of the owner
//	                  that it takes from: pool:NAME or runs; the same record
//	slot/DIM/ID       the same, as the first releases have granted it    lease of the owner
//	epoch/DIM         at least what the holders of a dimension have,     no lease
//	                  where they are more than a few
//	cool/POOL/ID      a start that a rate remembers                      own lease of the period, another where that
//	                                                                     changes
//	stats/TIME-ID     a claim that has ended, at most so many            no lease
//	gate              who grants while anybody waits: host and pid      own lease of 4 s, renewed every second
//
// Everything that a process owns hangs on its lease, so death cleans up by itself. There is no counter: usage is what
// is there; an epoch only spares newcomers to read it. The keys claim/ to settings stand side by side, so that one read
// or one watch sees all that decides, in order.
//
// # Safety: a grant compares that nothing was added
//
// Whoever grants has read the state at some revision R and asked the rule (backend.State). The grant's transaction then
// compares that settings are those of R and, for each limited dimension it takes from, that no key below slot/DIM/ was
// written after R; for a rated pool the same of cool/POOL/. A range compare holds for every key of the range and for an
// empty one, and deletions do not break it: they only make room. So at the instant of the grant no more is used than
// the rule has counted, whoever grants, however late the transaction arrives and whatever else went wrong: the limits
// hold by this alone. The gate below is for order and economy, not for safety: two gatekeepers at once could only get
// into each other's way.
//
// # Safety: many holders are summed up
//
// The server walks a range that it compares, and a newcomer would read all that it counts. So a dimension with more
// than a few holders (fewHolders) has an epoch: how many slots are used, and which numbers are taken. A grant from a
// dimension that has one compares, in place of the range, that the epoch is the very one that was read, and rewrites it
// with its own slots added, or deletes it where few are left. A grant from a dimension that has none compares the
// range, and writes the epoch where its own slot is one too many. Two things hold by that:
//
//   - No grant is missed. Say a grant G has read at R. If it compares the epoch, every other grant between R and G has
//     either found an epoch and so rewritten or deleted it, or has found none, which means that it read before the
//     epoch was written: the grant that wrote the epoch added a slot after that, and the range does not compare. If G
//     compares the range, every other grant added a slot to it.
//   - An epoch counts at least what is used. Whoever writes it adds his own to what he has counted, which by the above
//     is all that is granted. A claim that ends may leave it too high: who takes himself out does so in the step that
//     deletes his slots, and where the epoch is as his own grant has written it.
//
// An epoch that is too high keeps nobody out: who may not wait reads the claims themselves before he is refused, and
// who may waits, and the gatekeeper knows the claims. Each of its grants writes what it knows. An epoch counts for the
// settings under which it was written. Claims with a limit of their tags read all runs, as epochs have no tags. The
// first releases do not know of epochs: they count slots of both kinds, and where they hold any, which shows in the
// range slot/DIM/ up to ~, the others read the claims.
//
// # Costs
//
// A run that nobody contends with takes a lease, a read, a grant, and a revocation beside a last transaction: 3 round
// trips one after the other, and a few KB, whatever the number of holders of its pools (each dimension that it takes
// from has up to 9 records of 300 bytes, and perhaps an epoch: a bit for each slot). The read is in no nested
// transaction, which etcd would write to its disk. An agent has the lease already, and keeps it for a while (idleFor):
// etcd writes twice, for the grant and the release. Starts that a rate remembers are read one by one. A release while
// others wait takes the server a constant number of requests and events, whatever the numbers of holders and waiters. A
// gatekeeper reads every claim when it begins. The wait message takes one read of up to 3 claims. WatchBlocks (-v,
// --events, dag runs) reads the whole state at most every 300 ms and 30 ms for each waiter; status reads everything.
// The tests of costs fail when these grow.
//
// # Order: the gatekeeper
//
// A newcomer reads the limits that concern it, and who uses them. If nobody waits (no key below wait/) and the rule
// admits it, it grants itself: lease and read at the same time, the grant, and at the end the revocation of the lease,
// three round trips one after the other, as many as etcdctl lock takes. Otherwise it becomes a waiter, and the
// gatekeeper decides: one of the waiting processes, which has written gate, holds the state in memory, brings it
// forward with one watch, asks the rule after each event and writes grants in batches. The others watch their own
// claim, and gate for deletion alone, so that a release costs the same whether 10 or 10,000 wait. When no claim of its
// process waits any more, the keeper leaves the gate to the last in order, which will wait longest. When it dies, the
// gate's lease ends within 5 s; of those who see it go, the first to write gate is next. A newcomer that may not wait
// does not join while others do: it reads the whole state, puts itself at the end of the order, asks the rule and
// grants itself if the rule admits it: the comparison above makes that safe beside a gatekeeper.
//
// # Transactions
//
// Each can be sent again: it compares the revision of what it changes, or its own key's absence, and the other branch
// reads what was found; so one whose outcome is unknown is sent again until it is answered, and a late arrival of the
// first sending fails.
//
//	grant      newcomer    claim/ID absent, settings, slots,    → about, claim, slot, epoch, cool
//	                       nothing added to wait/
//	wait       newcomer    claim/ID absent, settings            → about, claim, wait
//	admit      gatekeeper  gate, claims, settings, slots        → claim, slot, epoch, cool, not wait; many claims at
//	                                                              once
//	refuse     gatekeeper  gate, claim, settings                → claim with the reason, not wait
//	gate       waiter      gate absent                          → gate
//	hand over  gatekeeper  gate, claim of the next              → gate, turn of the next
//	turn       the next    gate as it was handed over           → gate under its own lease
//	shut       gatekeeper  gate, nothing added to wait/         → not gate
//	aside, up  owner       claim                                → claim, not slot, not cool, not wait; or claim, wait
//	waited     owner       claim                                → claim: it has waited long enough to reserve
//	withdraw   owner       claim                                → nothing of the claim
//	release    owner       - (epochs, no gate)                  → nothing of the claim; stats; (epochs without it)
//	remember   owner       - (epochs, no gate)                  → stats; (nothing of the claim, epochs without it),
//	                                                              beside the revocation of the lease by the last
//	                                                              claim
//	ask, bump, drop  anybody  claim                             → ask; claim; nothing of the claim
//	fit        anybody     cool                                 → cool under a lease of the period that is set
//	settings   anybody     settings, nothing added to cool/     → settings, queue
//	trim       anybody     -                                    → not the oldest stats
//	doctor     doctor      -                                    → a key under a short lease
//
// "slots" is for each limited dimension its epoch, where it has one, else that nothing was added below slot/DIM/.
//
// An owner that gives up a claim while an earlier "grant" or "wait" of it may still arrive leaves a record that says so
// (Gone) and keeps it from succeeding, until the lease ends.
//
// # Leases
//
// One lease for all claims of a process, renewed three times before it could run out. The last moment for a command is
// the sending of the last answered renewal + 0.9·TTL − 1 s, on a clock that counts suspension (package boot): the
// server's clock may run a tenth faster than ours, and answers may have been on their way for as long as they like.
// Grace before that moment a claim that could not be renewed is told lost (backend.Lost). A waiting claim whose lease
// has ended enters again in its old place. The keeper process (package keeper, and Serve here) enforces that moment
// when the wrapper cannot, and a third process (package fence) when neither can.
//
// # Agents
//
// A keeper serves one wrapper, an agent all of a host: over one connection, and with one Store, lease and gate for each
// namespace. It is the same code (agent, kept, server, charge). What one wrapper does must not concern another:
//
//   - A wrapper that is stopped reads nothing. Renewals are not held up by that: the last moment that a wrapper is to
//     be told is kept and goes ahead of the next message to it (server.owe).
//   - Each claim has its wrapper's grace; the lease is renewed as often as the longest grace needs.
//   - A claim leaves by its own keys. What cannot be removed is tried again, for the lease lives on (entry.sweep).
//   - Commands are ended with the rights of their own user (fence.As): a pid and a mark are what a wrapper says.
//
// Before anything can come of it, an agent writes down what the next one has to know (notes): a claim before it is
// entered, before its wrapper learns that it has entered or is held, and with its command; the lease at each answered
// renewal. The lease's note is removed before the lease is revoked. So of a claim that is not noted as entered no
// wrapper knows more than that it has asked, and of one that is not noted as held no command runs.
//
// The next agent takes over before it serves (kept.takeOver): it ends the commands whose last moment has passed, renews
// the lease, and looks for each claim. One that is found under the lease goes on as it stands. One that was held and is
// gone is lost, and where the lease is gone its command is ended before anybody is served. One that waited enters again
// in its old place. One whose entering was cut short is what its wrapper asks for again; a transaction of it that is
// still on its way is kept from succeeding afterwards, as it is for an owner that gives up, and what does that is
// removed when nothing can come any more. Wrappers come back by themselves (keeper.Client); one that has died is seen
// to, as by any keeper, and one that is stopped keeps its claim as long as it exists. A claim comes back to its own
// user only.
//
// The third guard of an agent that has died finds the later moment, and that the next agent has a guard of its own, in
// the lease's note.
//
// # Failures
//
// What fails is tried again, at most 5 s later, and its owner is told once what fails and when it works again
// (entry.fails). Files with credentials are read again at each connection and each refusal (credentials). An etcd that
// is restored from a snapshot needs etcdutl snapshot restore --bump-revision --mark-compacted: tokens are revisions,
// and must not go back.
//
// # Versions
//
// Settings name the features that they need (backend.Lacking); a process that lacks one decides nothing by them: its
// waiting claims are refused. A record has a format, and the fields that a newer version has added to it survive
// whoever rewrites it.
//
// # Reading again
//
// Watches start at the revision that was read plus one, never at now. They end by compaction and when a server has no
// leader; then, and every 30 to 60 s, what they follow is read again. Waiting times are measured by their owners and
// gatekeepers each with its own clock; rates by etcd's, through leases. No wall clock decides.
package etcd
