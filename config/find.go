package config

import (
	"os"
	"path/filepath"
)

// FileName is the name of a configuration file.
const FileName = "limit.yaml"

// systemFile is the configuration of a whole machine.
const systemFile = "/etc/limit/limit.yaml"

// find returns the file to read, "" where there is none. A file that somebody names must be there, and may be a pipe or
// /dev/null; one that is found must be a regular file, so that nobody can make others wait on theirs.
func find(flags Flags, at Surroundings) string {
	if name, _ := choose(flags.Config, "--config", at, EnvConfig); name != "" {
		return name
	}
	for dir := at.Dir; filepath.IsAbs(dir); dir = filepath.Dir(dir) {
		if name := filepath.Join(dir, FileName); isFile(name) {
			return name
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	dir := at.env("XDG_CONFIG_HOME")
	if !filepath.IsAbs(dir) {
		dir = ""
		if home := at.env("HOME"); filepath.IsAbs(home) {
			dir = filepath.Join(home, ".config")
		}
	}
	if dir != "" {
		if name := filepath.Join(dir, "limit", FileName); isFile(name) {
			return name
		}
	}
	if isFile(systemFile) {
		return systemFile
	}
	return ""
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
