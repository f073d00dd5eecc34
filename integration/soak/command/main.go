//go:build linux

// Command is what the calls of a soak run behind limit:
//
//	command JOURNAL LOCKS CALL ACTION MILLISECONDS [INNER CALL...]
//
// It takes a lock for each slot that it was given, which the kernel frees exactly when its last process dies, whatever
// is killed: who finds a lock taken has been given the slot of a command that lives. The locks are of open file
// descriptions, so descendants can have a part in them. Actions: work; stubborn, which ignores TERM; daemon, which
// leaves a process behind that is not of the claim; tree, which leaves one that is; closes, which closes all
// descriptors that it inherited, as daemons do; nest, which makes the inner call.
package main

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockFd is where the locks' description is. When a process dies the kernel closes what had the highest number first
// (it was tried): the lock has to go before the claim's own descriptor does.
const lockFd = 250

func main() {
	if len(os.Args) < 6 {
		fmt.Fprintln(os.Stderr, "usage: command JOURNAL LOCKS CALL ACTION MILLISECONDS [INNER CALL...]")
		os.Exit(3)
	}
	os.Exit(run(os.Args[1:]))
}

type command struct {
	journal *os.File
	call    string
}

func run(args []string) int {
	journal, err := os.OpenFile(args[0], os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, "command:", err)
		return 3
	}
	c := &command{journal, args[2]}
	action := args[3]
	milliseconds, _ := strconv.Atoi(args[4])
	duration := time.Duration(milliseconds) * time.Millisecond
	if strings.HasPrefix(action, "remain") {
		return c.remain(action, duration)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	if action == "stubborn" {
		signal.Ignore(syscall.SIGTERM)
	}
	slots, err := c.lock(args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "command:", err)
		return 3
	}
	c.note("start", os.Getenv("LIMIT_TOKEN"), slots)
	code := c.act(args, action, duration, end)
	if action != "tree" || code != 0 {
		c.note("end")
	}
	return code
}

func (c *command) act(args []string, action string, duration time.Duration, end <-chan os.Signal) int {
	switch action {
	case "daemon", "tree":
		left := exec.Command("/proc/self/exe", args[0], args[1], args[2], "remain-"+action, args[4])
		left.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if action == "daemon" {
			unix.CloseOnExec(lockFd)
		}
		if err := left.Start(); err != nil {
			fmt.Fprintln(os.Stderr, "command:", err)
			return 3
		}
		duration /= 2
	case "closes":
		c.closeInherited()
	case "nest":
		unix.CloseOnExec(lockFd)
		inner := exec.Command(args[5], args[6:]...)
		inner.Stderr = os.Stderr
		if err := inner.Run(); err != nil {
			if _, ended := err.(*exec.ExitError); !ended {
				fmt.Fprintln(os.Stderr, "command:", err)
				return 3
			}
		}
	}
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0
	case <-end:
		return 143
	}
}

// closeInherited closes the pipes and files that came from limit, among them what a claim lives by.
func (c *command) closeInherited() {
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, link := range links {
		fd, err := strconv.Atoi(filepath.Base(link))
		target, _ := os.Readlink(link)
		own := strings.HasPrefix(target, "anon_inode:") || fd == lockFd || fd == int(c.journal.Fd())
		if err == nil && fd > 2 && !own {
			unix.Close(fd)
		}
	}
}

// remain is the process left behind.
func (c *command) remain(action string, duration time.Duration) int {
	signal.Ignore(syscall.SIGHUP)
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-end:
	}
	if action == "remain-tree" {
		c.note("end")
	} else {
		c.note("gone")
	}
	return 0
}

// lock takes a lock for each slot of the claim and returns them as POOL:NUMBER,…; a lock that is taken is noted.
func (c *command) lock(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return "", fmt.Errorf("opening the locks: %w", err)
	}
	if err := unix.Dup3(fd, lockFd, 0); err != nil {
		return "", fmt.Errorf("moving the locks: %w", err)
	}
	unix.Close(fd)
	var all []string
	for pool := range strings.SplitSeq(os.Getenv("LIMIT_POOLS"), ",") {
		name, _, _ := strings.Cut(pool, "=")
		for number := range strings.SplitSeq(os.Getenv("LIMIT_SLOT_"+strings.ToUpper(name)), ",") {
			slot, err := strconv.Atoi(number)
			if err != nil {
				continue // an unlimited pool has no slots
			}
			all = append(all, name+":"+number)
			lock := unix.Flock_t{Type: unix.F_WRLCK, Start: place(name) + int64(slot), Len: 1}
			if err := c.take(lock, name+":"+number); err != nil {
				return "", fmt.Errorf("locking slot %s of %s: %w", number, name, err)
			}
		}
	}
	return strings.Join(all, ","), nil
}

// take takes a lock, and notes who has it if somebody does. Two processes of a claim that die at once can drop the
// claim before the lock, for as long as one of them is kept from the processor: then nobody has the file open any more,
// and the lock comes free; that is noted as late.
func (c *command) take(lock unix.Flock_t, slot string) error {
	for try := range 100 {
		request := lock
		err := unix.FcntlFlock(lockFd, unix.F_OFD_SETLK, &request)
		switch {
		case err == nil:
			if try > 0 {
				c.note("late", slot, os.Getenv("LIMIT_TOKEN"))
			}
			_, err := unix.Pwrite(lockFd, binary.LittleEndian.AppendUint64(nil, uint64(os.Getpid())), lock.Start*8)
			return err
		case err != unix.EAGAIN && err != unix.EACCES:
			return err
		}
		if holder := whoHas(lock.Start); holder != "" {
			c.note("overlap", slot, os.Getenv("LIMIT_TOKEN"), holder)
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	c.note("overlap", slot, os.Getenv("LIMIT_TOKEN"), "?")
	return nil
}

// whoHas is the pid of a process that has the lock at a place, or "": the one that took it, or one that has inherited
// it.
func whoHas(place int64) string {
	var taker [8]byte
	if n, _ := unix.Pread(lockFd, taker[:], place*8); n == len(taker) {
		if pid := strconv.FormatUint(binary.LittleEndian.Uint64(taker[:]), 10); lives(pid) {
			return pid
		}
	}
	processes, _ := filepath.Glob(fmt.Sprintf("/proc/[0-9]*/fdinfo/%d", lockFd))
	for _, path := range processes {
		info, _ := os.ReadFile(path)
		if strings.Contains(string(info), fmt.Sprintf(" %d %d\n", place, place)) {
			return strings.Split(path, "/")[2]
		}
	}
	return ""
}

// lives reports whether a process can still do anything: it is not a zombie, and not on its way out (PF_EXITING).
func lives(pid string) bool {
	stat, _ := os.ReadFile("/proc/" + pid + "/stat")
	_, after, found := strings.Cut(string(stat), ") ")
	fields := strings.Fields(after) // from the third of proc(5) on: the state; the ninth are the flags
	if !found || len(fields) < 7 {
		return false
	}
	flags, _ := strconv.ParseUint(fields[6], 10, 64)
	const exiting = 4
	return fields[0] != "Z" && fields[0] != "X" && flags&exiting == 0
}

// place is where a pool's locks begin; the pids of those who took them are at eight times that.
func place(pool string) int64 {
	h := fnv.New32a()
	h.Write([]byte(pool))
	return int64(h.Sum32()%4096) << 8
}

// note appends a line: what, the call, the time on everybody's CLOCK_MONOTONIC, the pid, and more.
func (c *command) note(what string, more ...string) {
	var t unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	ahead, _ := strconv.ParseInt(os.Getenv("SOAK_AHEAD"), 10, 64)
	line := append([]string{what, c.call, strconv.FormatInt(t.Nano()-ahead, 10), strconv.Itoa(os.Getpid())}, more...)
	fmt.Fprintln(c.journal, strings.Join(line, " "))
}
