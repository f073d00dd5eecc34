//go:build !madeup

package backend

func madeUpFeatures() []string { return nil }

func madeUpNeeds(Settings) []string { return nil }
