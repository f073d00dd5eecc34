// Package soak lets workers, each a stream of calls of the real binary, use one store while faults are injected, and
// judges by what the commands themselves saw. scripts/soak.sh runs it for as long as wanted; go test runs a few seconds
// of it.
//
//	store.go    what a store under test is, and what a fault is      field.go    whom faults can hit
//	worker.go   the calls                                            history.go  the calls that porcupine judges
//	journal.go  what happened when                                   sweep.go    limits, tokens and stalls
//	command/    what the calls run: it takes a lock for each slot    soak.go     epochs, quiet moments, the table
//
// Everything is drawn from PCG(seed, worker) and PCG(seed, lane); which process a fault hits depends on the machine as
// well.
package soak
