package memory_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
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

// generous is a store that admits one more than the limit of a pool says.
type generous struct{ backend.Backend }

func (g generous) ChangeSettings(ctx context.Context, change func(*backend.Settings, bool) error) error {
	return g.Backend.ChangeSettings(ctx, func(s *backend.Settings, ok bool) error {
		if err := change(s, ok); err != nil {
			return err
		}
		for name, p := range s.Pools {
			p.Limit++
			s.Pools[name] = p
		}
		return nil
	})
}

// wrongVariable makes the test below run the suite on a wrong store.
const wrongVariable = "LIMIT_TEST_WRONG_STORE"

func TestTheCrowdFindsAStoreThatAdmitsOneTooMany(t *testing.T) {
	if os.Getenv(wrongVariable) != "" {
		backendtest.Run(t, func(*testing.T) func() backend.Backend {
			space := memory.NewSpace()
			return func() backend.Backend { return generous{space.Open()} }
		})
		return
	}
	const runs = 20
	crowd := "^" + t.Name() + "$/^crowds$/200_claims"
	cmd := exec.Command(os.Args[0], "-test.run", crowd, "-test.count", "20", "-test.v")
	cmd.Env = append(os.Environ(), wrongVariable+"=1")
	out, _ := cmd.CombinedOutput() // it fails
	if found := strings.Count(string(out), "--- FAIL: "+t.Name()+" "); found != runs {
		t.Errorf("it was found in %d of %d runs\n%s", found, runs, out)
	}
}
