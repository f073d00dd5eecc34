package local

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// watchDeaths: a description of a file in the directory that was open for writing was closed, by a death, a
	// release, a wake; or the file was removed, after which no death of it shows.
	watchDeaths = unix.IN_CLOSE_WRITE | unix.IN_DELETE | unix.IN_MOVED_FROM |
		unix.IN_EXCL_UNLINK | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW
	// watchGone: the directory was removed or renamed, or a file in it.
	watchGone = unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_ONLYDIR
	// watchWrites: a file was written.
	watchWrites = unix.IN_MODIFY
)

// sight is what a watch has seen: claims whose files were closed; after an overflow, it may be any.
type sight struct {
	files    []fileNumber
	overflow bool
	blind    bool // a directory is gone: not all is seen any more
}

// watch is an inotify instance with a goroutine that reads it.
type watch struct {
	file *os.File
	seen chan sight
	stop chan struct{}
	done chan struct{}
}

// newWatch watches a path. It returns nil where the kernel has no watch to give: fs.inotify.max_user_instances is 128.
func newWatch(path string, mask uint32) *watch {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	w := &watch{os.NewFile(uintptr(fd), "inotify"), make(chan sight), make(chan struct{}), make(chan struct{})}
	if !w.add(path, mask) {
		w.file.Close()
		return nil
	}
	go w.read()
	return w
}

// add watches one more path.
func (w *watch) add(path string, mask uint32) bool {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return false
	}
	added := false
	conn.Control(func(fd uintptr) {
		_, err := unix.InotifyAddWatch(int(fd), path, mask)
		added = err == nil
	})
	return added
}

func (w *watch) close() {
	close(w.stop)
	w.file.Close()
	<-w.done
}

func (w *watch) read() {
	defer close(w.done)
	buf := make([]byte, 16<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return
		}
		select {
		case w.seen <- parseEvents(buf[:n]):
		case <-w.stop:
			return
		}
	}
}

// parseEvents reads struct inotify_event after struct inotify_event.
func parseEvents(b []byte) sight {
	var s sight
	for len(b) >= unix.SizeofInotifyEvent {
		mask, size := binary.NativeEndian.Uint32(b[4:]), int(binary.NativeEndian.Uint32(b[12:]))
		if size > len(b)-unix.SizeofInotifyEvent {
			break
		}
		name := bytes.TrimRight(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+size], "\x00")
		b = b[unix.SizeofInotifyEvent+size:]
		gone := mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0
		if mask&(unix.IN_Q_OVERFLOW|unix.IN_IGNORED|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0 || gone &&
			string(name) == "state" {
			s.overflow = true
		}
		s.blind = s.blind || mask&unix.IN_IGNORED != 0
		if n, ok := parseFile(string(name)); ok {
			s.files = append(s.files, n)
		}
	}
	return s
}
