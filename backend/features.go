//go:build !madeup

package backend

// Features names what this program has of what settings may need.
func Features() []string { return nil }

func featuresOf(Settings) []string { return nil }
