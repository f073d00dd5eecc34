package local

import (
	"time"

	"golang.org/x/sys/unix"
)

// identify returns what a copy of a file does not have, and when the file was last changed in any way: nobody can set
// that.
func identify(fd int) (self uint64, changed time.Time) {
	var st unix.Statx_t
	if unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st) != nil {
		return 0, time.Time{}
	}
	made := uint64(st.Btime.Sec)*1e9 + uint64(st.Btime.Nsec)
	return st.Ino ^ made, time.Unix(st.Ctime.Sec, int64(st.Ctime.Nsec))
}

// fileClock is the clock of a file's times.
func fileClock() time.Time {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts)
	return time.Unix(ts.Unix())
}
