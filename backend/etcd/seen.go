package etcd

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	sum := sha256.Sum256([]byte(strings.Join(hosts, ",")))
	return filepath.Join(s.options.SeenDir, fmt.Sprintf("revision-%x", sum[:16]))
}

// remember keeps the latest revision. That it cannot be kept keeps nobody from working; of two who write at once the
// later one is right in all but the last few revisions.
func (s *Store) remember() {
	file, latest := s.seenFile(), s.latest.Load()
	if file == "" || latest <= seen(file) || os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	next := fmt.Sprintf("%s.%d", file, os.Getpid())
	if os.WriteFile(next, fmt.Appendf(nil, "%d %s\n", latest, s), 0o600) != nil || os.Rename(next, file) != nil {
		os.Remove(next)
	}
}

// seen is the revision in a file, 0 where there is none.
func seen(file string) (revision int64) {
	data, _ := os.ReadFile(file)
	fmt.Sscan(string(data), &revision)
	return revision
}
