package wrap

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"limit/backend"
)

// The variables by which a command learns what it holds, and a nested limit that it is nested.
const (
	EnvRunID     = "LIMIT_RUN_ID"
	EnvClaimID   = "LIMIT_CLAIM_ID"
	EnvToken     = "LIMIT_TOKEN"
	EnvNamespace = "LIMIT_NAMESPACE"
	EnvPools     = "LIMIT_POOLS"
	EnvAttempt   = "LIMIT_ATTEMPT" // from 1
)

// Environment returns env with the variables of a held claim put in place of those of an outer one; everything else
// keeps its bytes and its order. Of a claim that is nested in a run, slot numbers of pools that only that run holds
// stay: they are still held.
func Environment(env []string, c backend.Claim, namespace string) []string {
	own := map[string]bool{} // a pool without limit has no number, whatever the outer run holds of it
	for pool := range c.Pools {
		own[backend.SlotVariable(pool)] = true
	}
	env = withoutClaim(env, func(name string) bool {
		return c.RunID != c.ID && strings.HasPrefix(name, backend.SlotVariables) && !own[name]
	})
	added := []string{
		EnvRunID + "=" + c.RunID,
		EnvClaimID + "=" + c.ID,
		EnvNamespace + "=" + namespace,
		EnvPools + "=" + formatPools(c.Pools),
	}
	if c.Grant != nil {
		added = append(added, EnvToken+"="+strconv.FormatInt(c.Grant.Token, 10))
		added = append(added, slotVariables(c.Grant.Slots)...)
	}
	return Setenv(env, added)
}

// Unclaimed returns env for a command that runs without a claim: what an outer claim has is not its own. The run that
// it may be in stays named, for that is checked when somebody asks.
func Unclaimed(env []string) []string {
	return withoutClaim(env, func(name string) bool { return name == EnvRunID })
}

// withoutClaim returns a copy of env without the variables of a claim, but for those that keep says.
func withoutClaim(env []string, keep func(name string) bool) []string {
	return slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		switch name {
		case EnvRunID, EnvClaimID, EnvToken, EnvPools:
		default:
			if !strings.HasPrefix(name, backend.SlotVariables) {
				return false
			}
		}
		return !keep(name)
	})
}

// Setenv returns env with the assignments NAME=value added; earlier ones of the same names are dropped.
func Setenv(env, assignments []string) []string {
	result := slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.ContainsFunc(assignments, func(a string) bool {
			return strings.HasPrefix(a, name) && len(a) > len(name) && a[len(name)] == '='
		})
	})
	return append(result, assignments...)
}

// Getenv returns the value of a variable in env, "" where it is not set; the first of several counts, as in getenv(3).
func Getenv(env []string, name string) string {
	for _, entry := range env {
		if n, value, ok := strings.Cut(entry, "="); ok && n == name {
			return value
		}
	}
	return ""
}

// formatPools is database=1,api=2, by name.
func formatPools(pools map[string]int) string {
	parts := make([]string, 0, len(pools))
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		parts = append(parts, fmt.Sprintf("%s=%d", name, pools[name]))
	}
	return strings.Join(parts, ",")
}

// slotVariables is LIMIT_SLOT_<NAME> for each pool.
func slotVariables(slots map[string][]int) []string {
	var variables []string
	for _, pool := range slices.Sorted(maps.Keys(slots)) {
		numbers := make([]string, len(slots[pool]))
		for i, n := range slots[pool] {
			numbers[i] = strconv.Itoa(n)
		}
		variables = append(variables, backend.SlotVariable(pool)+"="+strings.Join(numbers, ","))
	}
	return variables
}
