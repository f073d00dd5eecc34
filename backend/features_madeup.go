//go:build madeup

package backend

// madeUpFeatures has one that no release has: the tests of versions that live side by side are built with it.
func madeUpFeatures() []string { return []string{"made-up"} }

// madeUpNeeds says that a pool of that name uses it.
func madeUpNeeds(s Settings) []string {
	if _, used := s.Pools["made-up"]; used {
		return madeUpFeatures()
	}
	return nil
}
