package wrap

import (
	"syscall"
	"testing"

	"limit/wrap/process"
)

func TestWhoHasSentASignalDoesNotWaitForReaders(t *testing.T) {
	calm := Exit{Code: 3}.Patience()
	for _, e := range []Exit{{Signal: syscall.SIGTERM}, exitOf(process.Exit{Told: true})} {
		if e.Patience() >= calm {
			t.Errorf("%+v waits for %s, as one does without a signal", e, e.Patience())
		}
	}
}
