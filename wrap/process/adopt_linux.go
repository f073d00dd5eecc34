package process

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stderr opens the standard error of the process. Where it may not be shared, what is written goes to the end of the
// file.
func (o *Other) Stderr() (*os.File, error) {
	if pidfd, err := unix.PidfdOpen(o.pid, 0); err == nil {
		defer unix.Close(pidfd)
		if fd, err := unix.PidfdGetfd(pidfd, 2, 0); err == nil {
			return os.NewFile(uintptr(fd), "stderr"), nil
		}
	}
	return os.OpenFile(procFile(o.pid, "fd/2"), os.O_WRONLY|os.O_APPEND|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// closeAllOnExec lets a program that this process becomes, or starts, inherit no descriptor but the first three.
func closeAllOnExec() error {
	err := unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC)
	if err == nil {
		return nil
	}
	names, err := os.ReadDir("/proc/self/fd") // a kernel before Linux 5.11
	if err != nil {
		return err
	}
	for _, name := range names {
		if fd, err := strconv.Atoi(name.Name()); err == nil && fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// Caller returns the process that has called this one: the parent, and where that is a subshell, as of $( ), the shell
// itself, whose number is $$ everywhere in a script. 0: it is in another PID namespace.
func Caller() int { return callerOf(os.Getppid()) }

func callerOf(pid int) int {
	for isShell(pid) {
		above := parentOf(pid)
		if above < 1 || !isForkOf(pid, above) {
			break
		}
		pid = above
	}
	return pid
}

// isShell reports whether a process runs one of the shells that fork for a subshell. Other programs that fork, servers
// and interpreters, mean the child where a child calls.
func isShell(pid int) bool {
	exe, _ := os.Readlink(procFile(pid, "exe"))
	name := filepath.Base(strings.TrimSuffix(exe, " (deleted)"))
	if name == "busybox" {
		name = ""
		for _, word := range CommandLine(pid)[:min(2, len(CommandLine(pid)))] {
			if word = strings.TrimPrefix(filepath.Base(word), "-"); word != "busybox" {
				name = word
				break
			}
		}
	}
	if number := strings.TrimLeft(name, "abcdefghijklmnopqrstuvwxyz"); strings.Trim(number, "0123456789.-") == "" {
		name = strings.TrimSuffix(name, number) // ksh93, bash-5.2
	}
	return slices.Contains([]string{"sh", "dash", "bash", "zsh", "ksh", "mksh", "oksh", "yash", "ash", "hush", "posh"},
		name)
}

// isForkOf reports whether a process is a fork of another that has executed nothing since: then it has the same
// program, arguments, and addresses, which are random for each program that is executed.
func isForkOf(child, parent int) bool {
	exe, _ := os.Readlink(procFile(child, "exe"))
	other, _ := os.Readlink(procFile(parent, "exe"))
	return exe == other && slices.Equal(CommandLine(child), CommandLine(parent)) &&
		slices.Equal(addressesOf(child), addressesOf(parent))
}

// addressesOf returns where the kernel has put the program, stack, arguments and environment of a process: fields of
// its stat that are 0 where this process may not see them.
func addressesOf(pid int) []string {
	stat, _ := os.ReadFile(procFile(pid, "stat"))
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const first = 3 // is the number in proc(5) of the first of these fields
	var found []string
	for _, number := range []int{26, 28, 48, 50} {
		if number-first < len(fields) {
			found = append(found, fields[number-first])
		}
	}
	return found
}

// CommandLine returns the words that a process was started with; none where that cannot be seen.
func CommandLine(pid int) []string {
	text, err := os.ReadFile(procFile(pid, "cmdline"))
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

func procFile(pid int, name string) string { return "/proc/" + strconv.Itoa(pid) + "/" + name }
