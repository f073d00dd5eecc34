package stepfile

import (
	"fmt"
	"path/filepath"
	"strings"

	"limit/config/grammar"
	"limit/config/yamlread"
)

// tags reads a mapping of tags; a tag without value has "".
func (p *parser) tags(v yamlread.Value, sc scope) (map[string]string, bool) {
	fields, ok := v.Entries()
	if !ok || len(fields.All()) == 0 {
		return nil, ok
	}
	tags := make(map[string]string, len(fields.All()))
	for _, e := range fields.All() {
		value, _ := e.Value.Scalar()
		value = p.expand(e.Value, value, sc)
		if fault := grammar.TagKeyFault(e.Name); fault != "" {
			e.Key.Reject("the key of a tag "+fault, "")
		} else if grammar.HasControl(value) {
			e.Key.Reject("the value of a tag has a character in it that is not text", "")
		}
		tags[e.Name] = value
	}
	return tags, true
}

// environment reads variables in the order of the file.
func (p *parser) environment(v yamlread.Value, sc scope) []Var {
	fields, _ := v.Entries()
	var env []Var
	for _, e := range fields.All() {
		value, _ := e.Value.Scalar()
		value = p.expand(e.Value, value, sc)
		switch {
		case !variable(e.Name):
			e.Key.Reject(fmt.Sprintf("%q cannot be the name of an environment variable", e.Name), "")
		case strings.HasPrefix(e.Name, "LIMIT_"):
			e.Key.Reject(fmt.Sprintf("%s is for limit itself to set", e.Name), "choose another name")
		case strings.ContainsRune(value, 0):
			e.Value.Reject("an environment variable cannot hold a zero byte", "")
		case tooLong(e.Name + "=" + value):
			e.Value.Reject(fmt.Sprintf("%s is too long: an environment holds less than 128 KiB of each variable",
				e.Name), "put it in a file")
		}
		env = append(env, Var{e.Name, value})
	}
	return env
}

// variable reports whether a shell can use the name.
func variable(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// expand replaces expressions and notes what is wrong with them.
func (p *parser) expand(v yamlread.Value, s string, sc scope) string {
	out, err := sc.expand(s)
	if err != nil {
		v.Reject(err.Error(), "")
	}
	return out
}

// directory reads a directory relative to base.
func (p *parser) directory(v yamlread.Value, sc scope, base string) string {
	dir, ok := v.Text()
	if !ok {
		return base
	}
	dir = p.expand(v, dir, sc)
	switch {
	case dir == "" || strings.ContainsRune(dir, 0):
		v.Reject("dir must be the path of a directory", "")
		return base
	case filepath.IsAbs(dir):
		return filepath.Clean(dir)
	}
	return filepath.Join(base, dir)
}

// shellOf reads a shell: the command to which a script is the last argument. Shells of the family of sh end
// at the first error; others take their words as they stand, such as python3 -c.
func (p *parser) shellOf(v yamlread.Value, otherwise []string) []string {
	s, ok := v.Text()
	if !ok {
		return otherwise
	}
	words := strings.Fields(s)
	switch {
	case len(words) == 0:
		v.Reject("shell is empty", "such as sh, bash or python3 -c")
		return otherwise
	case len(words) > 1:
		return words
	}
	switch filepath.Base(words[0]) {
	case "sh", "dash", "ash", "ksh", "mksh", "zsh":
		return []string{words[0], "-e", "-c"}
	case "bash":
		return []string{words[0], "-e", "-o", "pipefail", "-c"}
	}
	v.Reject(fmt.Sprintf("how %s takes a script is not known", words[0]), "write its option too, such as python3 -c")
	return otherwise
}

// script reads a command of a step: it is given to the shell as it stands.
func (p *parser) script(v yamlread.Value) string {
	s, ok := v.Scalar()
	switch {
	case !ok:
	case strings.TrimSpace(s) == "":
		v.Reject(v.Name()+" is empty", "")
	case strings.Contains(s, opening):
		v.Reject("${{ }} is not replaced in commands, which would let data become code",
			"use the variables $MATRIX_… and $PARAM_…")
	case strings.ContainsRune(s, 0):
		v.Reject(v.Name()+" has a zero byte", "")
	case tooLong(s):
		v.Reject(v.Name()+" is too long: the kernel hands a shell less than 128 KiB", "put it in a file and run that")
	}
	return s
}

// tooLong reports whether a text is longer than Linux takes as one argument or variable, its end included.
func tooLong(s string) bool { return len(s) >= 128<<10 }
