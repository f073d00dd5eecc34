// Package keeper is what a wrapper knows of the etcd store: its options, and a backend.Backend that talks to a second
// process of the same binary, the keeper, which has the etcd client, owns the lease and renews it.
//
// # Why a second process
//
// An embedded claim is kept by a descriptor that the command inherits; a lease is kept by whoever renews it. Were that
// the wrapper, then ^Z or SIGSTOP of it would let the lease end, and SIGKILL of it leave the command running without
// one. The keeper lives in a session of its own, where no terminal reaches it. It goes on to renew while the wrapper is
// stopped; and when the wrapper dies (its end of the socket closes) or the lease cannot be renewed in time, it kills
// the command with all that belongs to it before the slot can be anybody else's. The wrapper for its part is told of
// every renewal and stops the command by itself when they fail to come: so either of the two may be stopped or killed.
// Where both are, the third guard ends the command (package fence).
//
// Besides, a wrapper of the embedded store need not start the etcd client.
//
// # Agents
//
// On a host with an agent (limit agent) the wrapper needs no keeper of its own: Dial speaks to the agent's socket, with
// the same requests. The agent knows by the socket whose the wrapper is. It may die and be replaced at any time: the
// client connects again, opens the store, asks for each of its claims (resume) and sends again what was under way.
// Until then claims are kept to their last moment, and requests wait up to the connect timeout. Changing limits,
// cancelling and dropping are not sent twice: they fail, and say so.
//
// # Protocol
//
// The keeper is started with one end of a socket pair as descriptor 3. Over it go JSON objects, one a line: requests
// numbered by the wrapper, answers with the same number in any order, and, unasked, the events of claims and the moment
// until which the lease is good, on the boot clock (package boot), which both share. The first request is open, with
// the Options: secrets are never in the arguments or the environment. When the wrapper's end closes the keeper ends.
package keeper
