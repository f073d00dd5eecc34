//go:build linux

package wrapper

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

func executingCases() []testCase {
	return []testCase{
		{40, "127 and 126 before queueing", anything, notFound},
		{41, "a script without a first line is run by sh", anything, plainScript},
		{42, "relative entries in PATH and no PATH", anything, searchPath},
		{43, "a file that is open for writing is tried again", limitOnly, textBusy},
		{44, "a command that may not be signalled is waited for", anything, notPermitted},
	}
}

func notFound(b *bench) {
	b.write("plain", "no program", 0o644)
	var holder *program
	if b.w.has(limitOnly) {
		holder = b.start(b.L("sleep", "60"), nil)
		b.eventually("the slot is taken", patience, func() bool { return !b.w.free(b) })
	}
	for command, code := range map[string]int{
		"no-such-command": 127, b.path("none"): 127, b.path("plain"): 126, b.dir: 126, b.path("plain/x"): 126, "": 127,
	} {
		r := b.run(b.L(command)...)
		if r.code() != code || r.out != "" || r.err == "" {
			b.Errorf("%q: %s; want exit %d and a message", command, r, code)
		}
	}
	if holder != nil {
		holder.kill(syscall.SIGTERM)
	}
}

func plainScript(b *bench) {
	b.write("script", "echo \"$0 $# $1\"; exit 6\n", 0o755)
	b.want(b.run(b.L(b.path("script"), "a b", "c")...), 6, b.path("script")+" 2 a b\n")
	b.write("empty", "", 0o755)
	b.want(b.run(b.L(b.path("empty"))...), 0, "")
	b.want(b.sh(`PATH=@D:$PATH; @L script`), 6, b.path("script")+" 0 \n")
}

func searchPath(b *bench) {
	for _, dir := range []string{"bin", "bin2"} {
		if err := os.Mkdir(b.path(dir), 0o755); err != nil {
			b.Fatalf("%v", err)
		}
	}
	b.write("bin/tool", "#!/bin/sh\necho first\n", 0o644) // not executable: passed by
	b.write("bin2/tool", "#!/bin/sh\necho second $0\n", 0o755)
	b.write("here", "#!/bin/sh\necho here\n", 0o755)
	b.want(b.sh(`cd @D; PATH=none:bin:bin2:/bin:/usr/bin @L tool`), 0, "second bin2/tool\n")
	b.want(b.sh(`cd @D; PATH=/bin:/usr/bin: @L here`), 0, "here\n")
	wrapper := b.w.argv(b)
	path := b.sh("command -v " + quoted(wrapper[:1])).out
	wrapper[0] = strings.TrimSpace(path)
	b.want(b.run(append(append([]string{"/usr/bin/env", "-i"}, wrapper...), "sh", "-c", "echo ${HOME-none}")...), 0, "none\n")
	b.want(b.run(append(append([]string{"/usr/bin/env", "-i", "PATH="}, wrapper...), "./here")...), 0, "here\n")
}

func textBusy(b *bench) {
	data, err := os.ReadFile("/bin/true")
	if err != nil {
		b.Fatalf("%v", err)
	}
	path := b.write("tool", string(data), 0o755)
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		b.Fatalf("%v", err)
	}
	p := b.start(b.L(path), nil)
	select {
	case <-p.done:
		b.Errorf("it gave up: %s", p.result())
	case <-time.After(100 * time.Millisecond):
	}
	writer.Close()
	b.want(p.wait(patience), 0, "")
}

func notPermitted(b *bench) {
	require(b, "setpriv")
	if os.Getuid() != 0 {
		b.Skipf("needs root, to make a command that an unprivileged wrapper may not signal")
	}
	// As sudo does: it becomes root entirely. A set-user-id copy of setpriv is that here.
	data, err := os.ReadFile("/usr/bin/setpriv")
	if err != nil {
		b.Fatalf("%v", err)
	}
	tool := b.write("become-root", string(data), 0o755)
	if err := os.Chmod(tool, 0o755|os.ModeSetuid); err != nil {
		b.Fatalf("%v", err)
	}
	if err := os.Chmod(b.dir, 0o777); err != nil {
		b.Fatalf("%v", err)
	}
	for dir := b.dir; dir != "/tmp" && dir != "/"; dir = dir[:strings.LastIndexByte(dir, '/')] {
		os.Chmod(dir, 0o777)
	}
	b.openStore()
	wrapper := append([]string{"setpriv", "--reuid", "65534", "--clear-groups"}, b.copied()...)
	p := b.start(append(wrapper, tool, "--reuid", "0", "sh", "-c", "echo up; sleep 1; exit 4"), ownSession)
	b.eventually("the command runs", patience, func() bool { return strings.Contains(p.so(), "up") })
	p.kill(syscall.SIGTERM)
	r := p.wait(patience)
	if r.code() != 4 || r.took < 900*time.Millisecond || strings.Contains(r.err, "goroutine") {
		b.Errorf("%s; want exit 4 after 1s", r)
	}
}

// openStore lets every user use the store of the case.
func (b *bench) openStore() {
	b.sh("rm -rf @D/store; rm -f @D/lock; touch @D/lock; chmod 666 @D/lock")
}

// copied is the wrapper's command line with a copy of its program that every user may read.
func (b *bench) copied() []string {
	argv := b.w.argv(b)
	r := b.sh(fmt.Sprintf("cp $(command -v %s) @D/wrapper; chmod 755 @D/wrapper", quoted(argv[:1])))
	if r.code() != 0 {
		b.Fatalf("%s", r)
	}
	argv[0] = b.path("wrapper")
	return argv
}
