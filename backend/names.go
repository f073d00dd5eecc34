package backend

import (
	"fmt"
	"strings"
)

// SlotVariable is the name of the environment variable in which a command finds the numbers of its slots of a pool: the
// pool's name in capitals, with _ for what a variable's name cannot hold.
func SlotVariable(pool string) string {
	return SlotVariables + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		default:
			return '_'
		}
	}, pool)
}

// ShellWord is a text as one word of a command for people to type: as it stands where that does, else in double quotes,
// for hints stand in single ones.
func ShellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
			strings.ContainsRune("/._-+=:,@%", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(text) + `"`
}

// SlotVariables is what the names of all these variables begin with.
const SlotVariables = "LIMIT_SLOT_"

// CheckPools fails for pools that one claim cannot have together, as their slots would be in one variable.
func CheckPools(pools map[string]int) error {
	seen := map[string]string{}
	for _, pool := range sortedKeys(pools) {
		name := SlotVariable(pool)
		if other, taken := seen[name]; taken {
			return fmt.Errorf("pools %q and %q would both have their slots in %s; rename one, or claim it in a run "+
				"within", other, pool, name)
		}
		seen[name] = pool
	}
	return nil
}
