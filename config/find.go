package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"limit/config/yamlpos"
)

// FileName is the name of a configuration file.
const FileName = "limit.yaml"

// systemFile is the configuration of a whole machine.
const systemFile = "/etc/limit/limit.yaml"

// read finds the file and reads it; nil where there is none. A file that somebody names must be there, and may be a pipe or
// /dev/null; one that is found must be a regular file, and in a project's folder one that can be trusted.
func read(flags Flags, at Surroundings) (*yamlpos.Document, error) {
	if name, _ := choose(flags.Config, "--config", at, EnvConfig); name != "" {
		return yamlpos.ReadFileUpTo(name, maxFile)
	}
	for dir := at.Dir; filepath.IsAbs(dir); dir = filepath.Dir(dir) {
		name := filepath.Join(dir, FileName)
		if isFile(name) {
			doc, err := at.readFound(name)
			if !errors.Is(err, fs.ErrNotExist) { // else it has gone this moment
				return doc, err
			}
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for _, name := range []string{at.ownFile(), systemFile} {
		if name != "" && isFile(name) {
			return yamlpos.ReadFileUpTo(name, maxFile)
		}
	}
	return nil, nil
}

func (at Surroundings) readFound(name string) (*yamlpos.Document, error) {
	f, err := at.openFound(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return yamlpos.Read(name, f, maxFile)
}

// ownFile is the configuration of the user, "" without a home.
func (at Surroundings) ownFile() string {
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
