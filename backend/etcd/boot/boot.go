// Package boot is a clock that goes on while the machine is suspended, and an alarm on it. A lease goes on running
// on the server while its holder sleeps: time.Now's monotonic reading does not see that, this clock does.
package boot

import "time"

// At converts a moment of this clock into a time.Time whose monotonic reading is right unless the machine is suspended
// in between.
func At(moment time.Duration) time.Time { return time.Now().Add(moment - Now()) }
