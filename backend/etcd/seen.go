package etcd

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Nothing in an etcd that was restored from an older snapshot tells that it was. So the highest revision that this
// user's commands have seen is kept in a file of this machine, for doctor to compare: tokens are revisions, and would
// be given a second time.

// seenFile is where the revision of these servers is kept, "" for nowhere.
func (s *Store) seenFile() string {
	if s.options.SeenDir == "" {
		return ""
	}
	hosts := s.options.Hosts()
	slices.Sort(hosts)
	return filepath.Join(s.options.SeenDir, hashed("revision", hosts...))
}

// noteSeen keeps the latest revision. A failure stops nobody from working. When two write at once, the later one may
// lack the last few revisions.
func (s *Store) noteSeen() {
	file, latest := s.seenFile(), s.latest.Load()
	if file == "" || latest <= seen(file) || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	next := fmt.Sprintf("%s.%d", file, os.Getpid())
	if replaceFile(file, next, fmt.Sprintf("%d %s\n", latest, s)) != nil {
		os.Remove(next)
	}
}

// seen is the revision in a file, 0 where there is none.
func seen(file string) (revision int64) {
	data, _ := os.ReadFile(file)
	fmt.Sscan(string(data), &revision)
	return revision
}
