package backend

import (
	"fmt"
	"slices"
	"strings"
)

// A feature is something that settings ask of everybody who applies them: a program that does not have it would grant
// what it should not. The settings of a store name those that they use, and a program that lacks one refuses to decide
// by them. A setting that older programs may ignore is no feature: they keep it as it is (Rewrite).

// Needs names the features that settings use, in order; nil where any version may apply them.
func (s Settings) Needs() []string { return featuresOf(s) }

// Lacking fails with a *LackingError where this program does not have one of the features.
func Lacking(needs []string) error {
	for _, name := range needs {
		if !slices.Contains(Features(), name) {
			return &LackingError{Feature: name}
		}
	}
	return nil
}

// LackingError says that the settings of a store use a feature that this program does not have.
type LackingError struct{ Feature string }

func (e *LackingError) Error() string {
	has := "none"
	if features := Features(); len(features) > 0 {
		has = strings.Join(features, ", ")
	}
	return fmt.Sprintf("the settings of the store need the feature %q, which this limit does not have (it has: %s); "+
		"update limit on this machine", e.Feature, has)
}
