package local

import (
	"bytes"
	"testing"
)

// FuzzTheKernelsTexts reads what /proc and inotify say.
func FuzzTheKernelsTexts(f *testing.F) {
	f.Add([]byte("1: FLOCK  ADVISORY  WRITE 77 08:01:1234 0 EOF\n1: -> FLOCK  ADVISORY  WRITE 78 08:01:1234 0 EOF\n"))
	f.Add([]byte("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"))
	f.Add(bytes.Repeat([]byte{0, 0, 0, 1}, 8))
	f.Fuzz(func(t *testing.T, b []byte) {
		if pid := lockHolder(string(b), 1234); pid < 0 {
			t.Errorf("process %d in %q", pid, b)
		}
		mountType(string(b), "98:0")
		parseUUID(b)
	})
}
