// Package wrapper puts limit run, and the peers that stand in front of commands as it does, through the same cases:
// from inside and outside the command, nobody may be able to tell that somebody stands in front of it.
//
// The cases drive the binary with real terminals, shells, make and namespaces. TestLimit runs them on limit; with
// -peers, TestPeers runs those that make sense elsewhere on flock, timeout, tini and dumb-init too and writes peers.md.
package wrapper
