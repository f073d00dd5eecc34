package wrap

import (
	"fmt"

	"limit/backend"
)

// BlockLine is a limit in the way, for people: pool:db: 2 of 2 used, full.
func BlockLine(b backend.Block) string {
	reasons := map[string]string{
		backend.WhyFull:     "full",
		backend.WhyRate:     "that many have started within the period",
		backend.WhyPaused:   "paused: its limit is 0",
		backend.WhyBehind:   "an earlier claim needs more than is free",
		backend.WhyReserved: "the rest is kept for a claim that waited long",
	}
	return fmt.Sprintf("%s: %d of %d used, %s", Printable(b.Limit), b.Used, b.Capacity, reasons[b.Why])
}
