package backend

import (
	"fmt"
	"math"
)

// MaxSlots is the highest limit, and the most that a claim may ask of one: sums stay far from overflow.
const MaxSlots = math.MaxInt32

// Sound fails for a claim that the rule cannot count with. Stores ask it of what they read, which others may have
// written.
func (c *Claim) Sound() error {
	for pool, slots := range c.Pools {
		if (slots < 1 || slots > MaxSlots) && (slots != AllSlots || c.Grant != nil) {
			return fmt.Errorf("it asks for %d slots of pool %q, which is not from 1 to %d", slots, pool, MaxSlots)
		}
	}
	if c.Runs < 0 || c.Runs > MaxSlots {
		return fmt.Errorf("it asks for %d run slots, which is not from 0 to %d", c.Runs, MaxSlots)
	}
	return nil
}
