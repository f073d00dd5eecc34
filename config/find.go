package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"limit/config/yamlread"
)

// FileName is the name of a configuration file.
const FileName = "limit.yaml"

// systemFile is the configuration of a whole machine.
const systemFile = "/etc/limit/limit.yaml"

// read finds the file and reads it; nil where there is none. A file that somebody names must be there, and may be a
// pipe or /dev/null; one that is found must be a regular file, and in a project's folder one that can be trusted. notes
// are what is to be told of files that were passed over.
func read(flags Flags, at Environment) (doc *yamlread.Document, notes []string, err error) {
	if name, _ := choose(flags.Config, "--config", at, EnvConfig); name != "" {
		doc, err := yamlread.ReadFile(name, maxFile)
		return doc, nil, err
	}
	for _, name := range at.candidates() {
		note, err := look(name)
		if note != "" {
			notes = append(notes, note)
			continue
		}
		if err == nil {
			doc, err = at.readCandidate(name)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // else it has gone this moment
			continue
		case err != nil:
			return nil, notes, err
		}
		if kind := foreignKind(doc); kind != "" {
			notes = append(notes, fmt.Sprintf("%s is not of limit (kind: %s) and is passed over", name, kind))
			continue
		}
		return doc, notes, nil
	}
	return nil, notes, nil
}

// candidates are where a file may be that nobody names, the nearest first.
func (at Environment) candidates() []string {
	var names []string
	for dir := at.Dir; filepath.IsAbs(dir); dir = filepath.Dir(dir) {
		names = append(names, filepath.Join(dir, FileName))
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if own := at.ownFile(); own != "" {
		names = append(names, own)
	}
	return append(names, systemFile)
}

// look fails for what stands in the place of a configuration file and is none: who put it there means something by it.
// It fails with fs.ErrNotExist where there is nothing, or nothing that can be looked at; a note tells of a name that is
// nearly right.
func look(name string) (note string, err error) {
	const remedy = "remove it, or name a file with --config"
	info, err := os.Stat(name)
	switch {
	case err == nil && info.Mode().IsRegular():
		return "", nil
	case err == nil && info.IsDir():
		return "", fmt.Errorf("%s is a directory and not a file; %s", name, remedy)
	case err == nil:
		return "", fmt.Errorf("%s is not a regular file; %s", name, remedy)
	}
	if target, err := os.Readlink(name); err == nil {
		return "", fmt.Errorf("%s is a link to %s, which cannot be read; mend or %s", name, target, remedy)
	}
	if other := strings.TrimSuffix(name, "yaml") + "yml"; isFile(other) {
		return fmt.Sprintf("%s is not read; rename it to %s", other, FileName), nil
	}
	return "", fs.ErrNotExist
}

// foreignKind is the kind of a file of the same name that is another program's, as Kubernetes has it; "" for one of
// limit.
func foreignKind(doc *yamlread.Document) string {
	root := doc.Root()
	if root.Kind() != yamlread.Mapping {
		return ""
	}
	fields, _ := root.Entries()
	for _, key := range topKeys() {
		if fields.Get(key).Given() {
			return ""
		}
	}
	kind := fields.Get("kind")
	if kind.Kind() != yamlread.Text {
		return ""
	}
	return kind.Written()
}

// readCandidate reads a file that was found: the user's own and the machine's are trusted as they are.
func (at Environment) readCandidate(name string) (*yamlread.Document, error) {
	if name == at.ownFile() || name == systemFile {
		return yamlread.ReadFile(name, maxFile)
	}
	return at.readFound(name)
}

func (at Environment) readFound(name string) (*yamlread.Document, error) {
	f, err := at.openFound(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return yamlread.Read(name, f, maxFile)
}

// ownFile is the configuration of the user, "" without a home.
func (at Environment) ownFile() string {
	if dir := at.env("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "limit", FileName)
	}
	if home := at.env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".config", "limit", FileName)
	}
	return ""
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
