//go:build madeup

package backend

// Features has one that no release has: the tests of versions that live side by side are built with it.
func Features() []string { return []string{"made-up"} }

// featuresOf says that a pool of that name uses it.
func featuresOf(s Settings) []string {
	if _, used := s.Pools["made-up"]; used {
		return Features()
	}
	return nil
}
