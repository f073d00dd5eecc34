//go:build race

package etcd

// raced tells that the race detector is on, under which the model, of one goroutine, would only be slow.
const raced = true
