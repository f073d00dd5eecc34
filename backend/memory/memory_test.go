package memory_test

import (
	"testing"

	"limit/backend"
	"limit/backend/backendtest"
	"limit/backend/memory"
)

func TestTheStoreInMemoryKeepsTheContract(t *testing.T) {
	backendtest.Run(t, func(*testing.T) func() backend.Backend {
		space := memory.NewSpace()
		return func() backend.Backend { return space.Open() }
	})
}
