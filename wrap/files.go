package wrap

import (
	"errors"
	"sync"
	"time"
)

// Files calls file systems, whose answers may not come: a server of theirs is gone, a disk is slow. Its methods may be
// called by several goroutines.
type Files struct {
	Hurry <-chan struct{} // closed once somebody wants this process to end; nil: never

	mu   sync.Mutex
	hung bool
}

// How long a call is waited for.
const (
	filesPatience = 30 * time.Second
	filesHurry    = time.Second
	filesHung     = 100 * time.Millisecond // after one that hung
)

// ErrHangs says that a file system has not answered.
var ErrHangs = errors.New("the file system does not answer")

// Try calls f and returns its error; ErrHangs where it takes too long: then f goes on in a goroutine that is left
// behind, for nothing ends its call.
func (fs *Files) Try(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	late, hurry := time.NewTimer(fs.patience()), fs.Hurry
	defer late.Stop()
	for {
		select {
		case err := <-done:
			fs.note(false)
			return err
		case <-hurry:
			hurry = nil
			late.Reset(min(filesHurry, fs.patience()))
		case <-late.C:
			fs.note(true)
			return ErrHangs
		}
	}
}

func (fs *Files) patience() time.Duration {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.hung {
		return filesHung
	}
	return filesPatience
}

func (fs *Files) note(hung bool) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.hung = hung
}
