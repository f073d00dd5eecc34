package local

import (
	"encoding/hex"
	"fmt"
)

// id is a claim's id: 128 bits.
type id [16]byte

func (i id) String() string { return hex.EncodeToString(i[:]) }
func (i id) zero() bool     { return i == id{} }

// parseID reads 32 hexadecimal digits in lower case: the form in which ids name files.
func parseID(s string) (id, error) {
	var i id
	if len(s) == 2*len(i) {
		if _, err := hex.Decode(i[:], []byte(s)); err == nil && i.String() == s && !i.zero() {
			return i, nil
		}
	}
	return id{}, fmt.Errorf("claim id %q is not 32 hexadecimal digits in lower case", s)
}

// escape makes a namespace's name the name of a directory: no separators, no leading dot, never one that the store's
// own files have.
func escape(name string) string {
	const digits = "0123456789ABCDEF"
	escaped := make([]byte, 0, len(name))
	for i := range len(name) {
		c := name[i]
		plain := c == '-' || c == '_' || c == '.' && i > 0 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' ||
			'A' <= c && c <= 'Z'
		if plain && !(i == 0 && ownName(name)) {
			escaped = append(escaped, c)
		} else {
			escaped = append(escaped, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(escaped)
}

// parseUUID takes the hexadecimal digits of a UUID.
func parseUUID(b []byte) id {
	var i id
	n := 0
	for _, c := range b {
		v, ok := hexDigit(c)
		if !ok || n == 2*len(i) {
			continue
		}
		i[n/2] = i[n/2]<<4 | v
		n++
	}
	return i
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
