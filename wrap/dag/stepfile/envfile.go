package stepfile

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// maxEnvFile is more than an environment takes.
const maxEnvFile = 4 << 20

// Variables reads the files of env_file and of secrets; later ones stand in place of earlier ones of the same name.
func (f *File) Variables() ([]Var, error) {
	var vars []Var
	for _, path := range f.EnvFiles {
		text, err := readBounded(path)
		if err != nil {
			return nil, fmt.Errorf("env_file: %w", err)
		}
		found, err := parseEnvFile(path, text)
		if err != nil {
			return nil, err
		}
		vars = append(vars, found...)
	}
	for _, s := range f.Secrets {
		if s.File == "" {
			continue
		}
		text, err := readBounded(s.File)
		if err != nil {
			return nil, fmt.Errorf("secret %s: %w", s.Name, err)
		}
		value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		if strings.ContainsRune(value, 0) || tooLong(s.Name+"="+value) {
			return nil, fmt.Errorf("secret %s: %s has a zero byte, or is longer than an environment takes", s.Name,
				s.File)
		}
		vars = append(vars, Var{s.Name, value})
	}
	return vars, nil
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.Size() > maxEnvFile:
		return nil, fmt.Errorf("%s is larger than 4 MiB", path)
	}
	return os.ReadFile(path)
}

// parseEnvFile reads NAME=VALUE lines: with export before them or not, the value as it stands or in quotes; # begins a
// comment. In double quotes \n, \" and \\ are what they are in C. Nothing is expanded.
func parseEnvFile(path string, text []byte) ([]Var, error) {
	var vars []Var
	number := 0
	for line := range bytes.SplitSeq(bytes.TrimPrefix(text, []byte("\ufeff")), []byte("\n")) {
		number++
		stripped := strings.TrimSpace(string(line))
		if stripped == "" || stripped[0] == '#' {
			continue
		}
		if rest, ok := strings.CutPrefix(stripped, "export "); ok {
			stripped = strings.TrimSpace(rest)
		}
		name, written, ok := strings.Cut(stripped, "=")
		name = strings.TrimSpace(name)
		value, whole := unquote(strings.TrimSpace(written))
		switch {
		case !ok || !variable(name):
			return nil, fmt.Errorf("%s:%d: not NAME=VALUE", path, number)
		case !whole:
			return nil, fmt.Errorf("%s:%d: the quote of %s is not closed on its line, or something follows it", path,
				number, name)
		case strings.HasPrefix(name, "LIMIT_"):
			return nil, fmt.Errorf("%s:%d: %s is for limit itself to set; choose another name", path, number, name)
		case strings.ContainsRune(value, 0) || tooLong(name+"="+value):
			return nil, fmt.Errorf("%s:%d: the value of %s has a zero byte, or is longer than an environment takes",
				path, number, name)
		}
		vars = append(vars, Var{name, value})
	}
	return vars, nil
}

// unquote is a value without its quotes, or without a comment after it.
func unquote(s string) (value string, whole bool) {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		before, _, _ := strings.Cut(s, " #")
		return strings.TrimSpace(before), true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			rest := strings.TrimSpace(s[i+1:])
			return b.String(), rest == "" || rest[0] == '#'
		case s[0] == '"' && s[i] == '\\' && i+1 < len(s):
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case '"', '\\', '$', '`':
				b.WriteByte(s[i])
			default:
				b.WriteString(s[i-1 : i+1])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", false
}
