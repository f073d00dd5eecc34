package wrap

import (
	"fmt"
	"strconv"
	"time"

	"limit/backend"
)

// BlockLine is a limit in the way, for people: pool:db: 2 of 2 used, full.
func BlockLine(b backend.Block, now time.Time) string {
	reasons := map[string]string{
		backend.WhyFull:     "full",
		backend.WhyRate:     "that many have started within the period",
		backend.WhyPaused:   PauseText(b.Pause, now),
		backend.WhyBehind:   "an earlier claim needs more than is free",
		backend.WhyReserved: "the rest is kept for a claim that waited long",
	}
	of := strconv.Itoa(b.Capacity)
	if b.Capacity == backend.Unlimited {
		of = "unlimited"
	}
	return Printable(fmt.Sprintf("%s: %d of %s used, %s", b.Limit, b.Used, of, reasons[b.Why]))
}
