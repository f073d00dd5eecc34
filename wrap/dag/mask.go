package dag

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// masked stands where a secret stood.
const masked = "***"

// Mask replaces the values of secrets. A nil *Mask replaces nothing.
type Mask struct {
	names  []string
	values []string
	words  [][]byte // what is replaced, longest first
}

// NewMask returns a Mask of the environment variables named, or an error for one that is not set. Each line of a value
// with several is a secret too, since tools print them apart. An empty value has nothing to hide.
func NewMask(names []string, lookup func(string) (string, bool)) (*Mask, error) {
	if len(names) == 0 {
		return nil, nil
	}
	m := &Mask{}
	var missing []string
	value := func(name string) string { v, _ := lookup(name); return v }
	names = slices.Clone(names)
	sort.SliceStable(names, func(a, b int) bool { return len(value(names[a])) > len(value(names[b])) })
	for _, name := range names {
		value, ok := lookup(name)
		if !ok {
			missing = append(missing, name)
			continue
		}
		if value == "" {
			continue
		}
		m.names, m.values = append(m.names, name), append(m.values, value)
		for _, word := range append(strings.Split(value, "\n"), value) {
			if word = strings.Trim(word, "\r\n"); strings.TrimSpace(word) != "" {
				m.words = append(m.words, []byte(word))
			}
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the file's secrets are not set: %s; export them", strings.Join(missing, ", "))
	}
	sort.SliceStable(m.words, func(a, b int) bool { return len(m.words[a]) > len(m.words[b]) })
	return m, nil
}

// String returns s with secrets masked.
func (m *Mask) String(s string) string {
	if m == nil || len(m.words) == 0 {
		return s
	}
	return string(m.replace([]byte(s)))
}

func (m *Mask) replace(b []byte) []byte {
	for _, w := range m.words {
		if bytes.Contains(b, w) {
			b = bytes.ReplaceAll(b, w, []byte(masked))
		}
	}
	return b
}

// stream returns a masker of a stream that comes in pieces, or nil where nothing is to be masked.
func (m *Mask) stream() *maskStream {
	if m == nil || len(m.words) == 0 {
		return nil
	}
	return &maskStream{mask: m}
}

// maskStream keeps back what could be the beginning of a secret.
type maskStream struct {
	mask    *Mask
	pending []byte
}

// next returns what of the stream can be shown now that p has come.
func (s *maskStream) next(p []byte) []byte {
	s.pending = append(s.pending, p...)
	var out []byte
	for {
		at, word := s.first()
		if word == nil {
			break
		}
		out = append(append(out, s.pending[:at]...), masked...)
		s.pending = s.pending[at+len(word):]
	}
	keep := s.beginning()
	out = append(out, s.pending[:len(s.pending)-keep]...)
	s.pending = slices.Clone(s.pending[len(s.pending)-keep:])
	return out
}

// rest returns what was kept back.
func (s *maskStream) rest() []byte {
	out := s.pending
	s.pending = nil
	return s.mask.replace(out)
}

// first finds the secret that begins first, of several at one place the longest; but not one that a longer
// one, whose end has not come yet, may cover.
func (s *maskStream) first() (int, []byte) {
	at, word := -1, []byte(nil)
	for _, w := range s.mask.words {
		if i := bytes.Index(s.pending, w); i >= 0 && (at < 0 || i < at) {
			at, word = i, w
		}
	}
	if word == nil {
		return 0, nil
	}
	for _, w := range s.mask.words {
		for from := max(0, len(s.pending)-len(w)+1); from <= at && len(w) > len(word); from++ {
			if bytes.HasPrefix(w, s.pending[from:]) {
				return 0, nil
			}
		}
	}
	return at, word
}

// beginning is the length of the longest end of what is pending with which a secret begins, or in which one is.
func (s *maskStream) beginning() int {
	longest := 0
	for _, w := range s.mask.words {
		for n := min(len(w)-1, len(s.pending)); n > longest; n-- {
			if bytes.HasPrefix(w, s.pending[len(s.pending)-n:]) {
				longest = n
			}
		}
	}
	return longest
}

// Reference writes each secret in a value as a mark with its name, for the journal; resolve undoes it.
func (m *Mask) reference(value string) string {
	if m == nil {
		return value
	}
	for i, secret := range m.values {
		value = strings.ReplaceAll(value, secret, "\x00"+m.names[i]+"\x00")
	}
	return m.String(value)
}

func (m *Mask) resolve(value string) string {
	if m == nil {
		return value
	}
	for i, name := range m.names {
		value = strings.ReplaceAll(value, "\x00"+name+"\x00", m.values[i])
	}
	return value
}
