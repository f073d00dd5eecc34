package cli

import (
	"fmt"
	"strings"

	"limit/backend"
)

// shortID is how many characters of an id are shown; any unique prefix names a claim.
const shortID = 8

func short(id string) string { return id[:min(shortID, len(id))] }

// findClaim returns the id of the one claim, held or waiting, that a prefix names.
func findClaim(s *backend.Snapshot, prefix string) (string, error) {
	found := claimsOf(s, prefix)
	switch {
	case prefix == "":
		return "", fmt.Errorf("an id is needed; 'limit status' shows them")
	case len(found) == 0:
		return "", fmt.Errorf("there is no claim %q, waiting or held; 'limit status' shows those there are", prefix)
	case len(found) > 1:
		return "", fmt.Errorf("%q names %d claims: %s; give more of the id", prefix, len(found),
			strings.Join(found, ", "))
	}
	return found[0], nil
}
