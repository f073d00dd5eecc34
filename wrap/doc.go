// Package wrap runs one command inside its slots: it enters a claim, starts the command when the claim is held,
// watches over both, and gives the claim back. Its parts: process supervises the command itself, dag runs
// many commands as a graph, cli is what a user types.
package wrap
