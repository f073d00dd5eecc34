package backend

import "context"

// Lister is a Backend that knows which namespaces its store has.
type Lister interface {
	// Namespaces returns the names of those in which anything is kept, in order.
	Namespaces(ctx context.Context) ([]string, error)
}
