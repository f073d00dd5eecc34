package backend

// The features that settings may need.
const (
	featurePause  = "pause"  // Settings.Paused
	featureStrict = "strict" // Settings.Strict
)

// Features names what this program has of what settings may need.
func Features() []string { return append([]string{featurePause, featureStrict}, madeUpFeatures()...) }

func featuresOf(s Settings) []string {
	needs := madeUpNeeds(s)
	if len(s.Paused) > 0 {
		needs = append(needs, featurePause)
	}
	if s.Strict {
		needs = append(needs, featureStrict)
	}
	return needs
}
