//go:build !linux

package process

// Preflight finds nothing lacking here.
func Preflight() error { return nil }
