//go:build linux

package wrapper

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// BenchmarkResidentMemory reports the most memory that a wrapper had resident, while it waits and while its command
// runs. The aim is 16 MiB.
func BenchmarkResidentMemory(b *testing.B) {
	t := newBench(b, limit(limitBinary(b)))
	for b.Loop() {
		runs := t.record(t.w.argv(t), ownSession, int(syscall.SIGUSR1))
		waits := t.queued("true")
		b.ReportMetric(float64(peakResident(runs.pid())), "KiB-running")
		b.ReportMetric(float64(peakResident(waits.pid())), "KiB-waiting")
		runs.finish()
		waits.wait(patience)
	}
}

// peakResident is in KiB, 0 where it cannot be read.
func peakResident(pid int) (kilobytes int) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Sscan(rest, &kilobytes)
	return kilobytes
}
