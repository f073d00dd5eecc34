package cli

import (
	"context"
	"os"
	"path/filepath"
	"syscall"

	"limit/backend"
	"limit/config"
)

// configuration tells which file is read, and who could change it.
func (d *diagnosis) configuration(cfg *config.Config) {
	for _, w := range cfg.Warnings {
		d.add(backend.Warning, "configuration", "correct the file", "%v", w)
	}
	for _, note := range cfg.Notes {
		d.add(backend.Warning, "configuration", "see 'limit help config' for the files that are read", "%s", note)
	}
	if cfg.File == "" {
		d.add(backend.Fine, "configuration", "", "no file: the defaults hold")
	} else {
		d.file("configuration", cfg.File)
	}
	if e := cfg.Backend.Etcd; e != nil {
		d.secret("the password of etcd", e.PasswordFile)
		d.secret("the key of etcd", e.Key)
	}
}

// file tells of a file that steers limit who owns it and who else can write it.
func (d *diagnosis) file(about, name string) {
	info, err := os.Stat(name)
	if err != nil {
		d.addError(about, err, "name another file with --config")
		return
	}
	path := name
	if abs, err := filepath.Abs(name); err == nil {
		path = abs
	}
	owner := -1
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = int(st.Uid)
	}
	const remedy = "name another with --config, or make it yours: it decides which store and which limits count"
	switch {
	case owner != 0 && owner != os.Geteuid():
		d.add(backend.Warning, about, remedy, "%s belongs to %s, not to you or root", path, userNamed(owner))
	case info.Mode().IsRegular() && info.Mode().Perm()&0o002 != 0:
		d.add(backend.Warning, about, "chmod o-w "+path, "%s can be written by everybody", path)
	default:
		d.add(backend.Fine, about, "", "%s, of %s", path, userNamed(owner))
	}
}

// secret warns of a file that others can read.
func (d *diagnosis) secret(what, name string) {
	if name == "" {
		return
	}
	info, err := os.Stat(name)
	if err == nil && info.Mode().Perm()&0o004 != 0 {
		d.add(backend.Warning, "configuration", "chmod o-r "+name, "%s can be read by everybody: %s", what, name)
	}
}

// settings tells where the file asks for other limits than the store has.
func (d *diagnosis) settings(ctx context.Context, b backend.Backend, cfg *config.Config) {
	if !cfg.HasSettings {
		return
	}
	current, set, err := b.Settings(ctx)
	if err != nil || !set {
		return
	}
	if differences := config.Diff(current, cfg.Settings); len(differences) > 0 {
		d.add(backend.Warning, "settings", "'limit apply' writes the file's into the store, 'limit diff' shows all",
			"%s differs from the store, whose settings count (%s)",
			cfg.File, summarize(differences))
	}
}
