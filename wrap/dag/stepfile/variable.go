package stepfile

import "strings"

// VariableName turns a name into the part of an environment variable that stands for it: upper-case, what is not a
// letter or digit of ASCII becomes _, and none at the end: extract[acme] is EXTRACT_ACME.
func VariableName(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z':
			b.WriteByte(byte(r) - 'a' + 'A')
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_':
			b.WriteByte(byte(r))
		default:
			b.WriteByte('_')
		}
	}
	return strings.TrimRight(b.String(), "_")
}
