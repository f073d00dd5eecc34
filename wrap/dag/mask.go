package dag

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"

	"limit/backend"
	"limit/wrap"
	"limit/wrap/dag/journal"
	"limit/wrap/dag/stepfile"
)

// masked stands where a secret stood.
const masked = "***"

// shortest is how long a secret, or a line of one, must be to be masked: what is shorter stands in too much that is
// none.
const shortest = 4

// Mask replaces the values of secrets. A nil *Mask replaces nothing.
type Mask struct {
	words   [][]byte // what is replaced, longest first
	seal    *strings.Replacer
	unseal  *strings.Replacer
	exposed []string // names of secrets that are not masked in whole
}

// word is a secret, or a line of one, with what stands for it in a journal.
type word struct{ text, mark string }

// NewMask returns a Mask of the secrets of a file, or an error for one that is not set. Each line of a value
// with several is a secret too, since tools print them apart. An empty value has nothing to hide.
func NewMask(secrets []stepfile.Secret, lookup func(string) (string, bool)) (*Mask, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	m := &Mask{}
	var missing []string
	var words []word
	for _, secret := range secrets {
		name := secret.Name
		value, ok := lookup(name)
		if !ok {
			missing = append(missing, name)
			continue
		}
		found, all := wordsOf(name, value)
		words = append(words, found...)
		if !all {
			m.exposed = append(m.exposed, name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("the file's secrets are not set: %s; export them", strings.Join(missing, ", "))
	}
	sort.SliceStable(words, func(a, b int) bool { return len(words[a].text) > len(words[b].text) })
	var seal, unseal []string
	for _, w := range words {
		m.words = append(m.words, []byte(w.text))
		seal, unseal = append(seal, w.text, w.mark), append(unseal, w.mark, w.text)
	}
	m.seal, m.unseal = strings.NewReplacer(seal...), strings.NewReplacer(unseal...)
	return m, nil
}

// wordsOf returns what is to be masked of a secret, and whether that is all of it.
func wordsOf(name, value string) (words []word, all bool) {
	all = true
	lines := strings.Split(value, "\n")
	if len(lines) == 1 {
		lines = nil
	}
	for i, line := range append(lines, strings.Trim(value, "\r\n")) {
		if i < len(lines) {
			line = strings.TrimSpace(line)
		}
		switch {
		case strings.TrimSpace(line) == "":
		case len(line) < shortest:
			all = false
		default:
			words = append(words, word{line, fmt.Sprintf("%s%s:%d%s", journal.Seal, name, i, journal.Seal)})
		}
	}
	return words, all
}

// Exposed returns the names of secrets that are not masked, or not in whole, as they have lines of fewer than 4
// characters.
func (m *Mask) Exposed() []string {
	if m == nil {
		return nil
	}
	return m.exposed
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

// Seal puts a mark with its name for each secret in a value that a journal keeps; Unseal undoes it.
func (m *Mask) Seal(value string) string {
	if m == nil {
		return value
	}
	return m.seal.Replace(value)
}

// Unseal puts the secrets back into what Seal returned.
func (m *Mask) Unseal(value string) string {
	if m == nil {
		return value
	}
	return m.unseal.Replace(value)
}

// blocks masks what blocks a step.
func (m *Mask) blocks(blocks []backend.Block) []backend.Block {
	if m == nil {
		return blocks
	}
	masked := slices.Clone(blocks)
	for i, b := range blocks {
		masked[i].Limit = m.String(b.Limit)
		masked[i].By = m.all(b.By)
	}
	return masked
}

// event masks what an event says.
func (m *Mask) event(e wrap.Event) wrap.Event {
	if m == nil {
		return e
	}
	pools, tags := e.Pools, e.Tags
	e.Reason, e.Pools, e.Tags = m.String(e.Reason), map[string]int{}, map[string]string{}
	for name, slots := range pools {
		e.Pools[m.String(name)] = slots
	}
	for key, value := range tags {
		e.Tags[m.String(key)] = m.String(value)
	}
	return e
}

func (m *Mask) all(texts []string) []string {
	masked := make([]string, len(texts))
	for i, t := range texts {
		masked[i] = m.String(t)
	}
	return masked
}

// Hide masks what a run's record shows of its steps: everything but the file's own Steps, which run.
func (m *Mask) Hide(r *journal.Run) {
	if m == nil {
		return
	}
	r.Name, r.TagLimits = m.String(r.Name), slices.Clone(r.TagLimits)
	for i, t := range r.TagLimits {
		r.TagLimits[i].Key = m.String(t.Key)
		if t.Value != nil {
			value := m.String(*t.Value)
			r.TagLimits[i].Value = &value
		}
	}
	taken := map[string]bool{}
	for _, s := range r.Steps {
		taken[s.ID] = true
	}
	for _, s := range r.Steps {
		shown := m.shown(s.Step)
		for shown.ID != s.ID && taken[shown.ID] {
			shown.ID += "'"
		}
		taken[shown.ID] = true
		s.Step, s.Hidden = shown, !reflect.DeepEqual(shown, s.Step)
	}
}

// shown is what is shown of a step.
func (m *Mask) shown(s *stepfile.Step) *stepfile.Step {
	if m == nil {
		return s
	}
	shown := *s
	shown.ID, shown.Base, shown.Run, shown.If = m.String(s.ID), m.String(s.Base), m.String(s.Run), m.String(s.If)
	shown.Matrix, shown.Env = m.variables(s.Matrix), m.variables(s.Env)
	if s.Tags != nil {
		shown.Tags = make(map[string]string, len(s.Tags))
		for key, value := range s.Tags {
			shown.Tags[m.String(key)] = m.String(value)
		}
	}
	return &shown
}

func (m *Mask) variables(vars []stepfile.Var) []stepfile.Var {
	masked := slices.Clone(vars)
	for i, v := range vars {
		masked[i] = stepfile.Var{Name: m.String(v.Name), Value: m.String(v.Value)}
	}
	return masked
}
