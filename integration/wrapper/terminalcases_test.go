//go:build linux

package wrapper

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

func terminalCases() []testCase {
	return []testCase{
		{13, "the command's group is in the foreground", anything, foreground},
		{14, "^C reaches the command once", anything, interruptOnce},
		{15, "a command that takes its time over ^C is waited for", anything, interruptHandled},
		{16, "^\\ likewise and no stacks are dumped", anything, quitHandled},
		{17, "^Z gives the prompt and fg goes on", anything, suspend},
		{18, "a command that stops itself stops the job", anything, stopsItself},
		{19, "in the background it is stopped when it reads", anything, background},
		{20, "in a pipeline it may read the terminal", anything, pipelineReadsTerminal},
		{21, "^C ends a loop of the shell", anything, interruptEndsLoop},
		{22, "a resize is one WINCH", anything, resizeOnce},
		{23, "the terminal's end reaches the command", anything, terminalCloses},
		{24, "the terminal's modes are as before on every way out", anything, modesUnchanged},
		{25, "without a terminal it does not complain", anything, noTerminal},
	}
}

func foreground(b *bench) {
	t := b.shell()
	t.enter(`@L perl -MPOSIX -e 'print "same=", tcgetpgrp(0) == getpgrp() ? 1 : 0, "\n"'`)
	t.expect(`same=1`)
	t.prompt()
}

// catching is a command that catches a signal, lives on for a while, tells how often it came, and exits 42.
func catching(b *bench, name string) string {
	b.write("catch.pl", `$| = 1; my $n = 0; $SIG{$ARGV[0]} = sub { $n++ }; print "up\n";
		for (my $i = 0; $i < 200 && !$n; $i++) { select(undef, undef, undef, 0.1) }
		for (1..8) { select(undef, undef, undef, 0.05) } print "count=$n.\n"; exit 42;`, 0o600)
	return "perl @D/catch.pl " + name
}

func interruptOnce(b *bench) {
	t := b.shell()
	t.enter("@L " + catching(b, "INT"))
	t.expect(`up`)
	t.send(ctrlC)
	if n := t.expect(`count=(\d+)\.`)[1]; n != "1" {
		b.Errorf("the command counts %s SIGINT, want 1", n)
	}
}

func interruptHandled(b *bench) {
	for _, shell := range [][]string{nil, {"dash", "-i"}} {
		t := b.shell(shell...)
		t.enter("@L " + catching(b, "INT"))
		t.expect(`up`)
		t.send(ctrlC)
		t.expect(`count=\d+\.`)
		t.prompt()
		t.code("42")
	}
}

func quitHandled(b *bench) {
	t := b.shell()
	t.enter("@L " + catching(b, "QUIT"))
	t.expect(`up`)
	t.send(ctrlBackslash)
	if n := t.expect(`count=(\d+)\.`)[1]; n != "1" {
		b.Errorf("the command counts %s SIGQUIT, want 1", n)
	}
	t.prompt()
	t.code("42")
	if screen := t.screen(); strings.Contains(screen, "goroutine") {
		b.Errorf("stacks on the terminal:\n%s", screen)
	}
}

func suspend(b *bench) {
	for _, shell := range [][]string{nil, {"dash", "-i"}} {
		t := b.shell(shell...)
		// Not a script: where ^Z meets dash between vfork and exec it never stops, wrapped or not.
		t.enter(`@L perl -e '$| = 1; print "up\n"; select(undef, undef, undef, 0.05) for 1..20; exit 5'`)
		t.expect(`up`)
		t.send(ctrlZ)
		t.expect(`(?i)(Stopped|Suspended)`)
		t.prompt()
		t.enter("fg")
		t.prompt()
		t.code("5")
		b.slotFree(5 * time.Second)
	}
}

func stopsItself(b *bench) {
	for _, sig := range []string{"TSTP", "STOP"} {
		t := b.shell()
		t.enter(fmt.Sprintf(`@L sh -c 'kill -%s $$; echo on; exit 6'`, sig))
		t.expectWithin(5*time.Second, `Stopped`)
		t.prompt()
		t.enter("fg")
		t.expect(`on`)
		t.prompt()
		t.code("6")
	}
}

func background(b *bench) {
	t := b.shell()
	t.enter(`@L cat &`)
	t.prompt()
	b.eventually("the job is shown as stopped by tty input", patience, func() bool {
		t.enter("jobs; echo shown")
		shown := t.expect(`(?s)^(.*)shown`)[1]
		t.prompt()
		return strings.Contains(shown, "Stopped")
	})
	t.enter("fg")
	t.expect(`cat`)
	t.send("hello\n")
	t.expect(`hello\r\nhello`)
	t.send(ctrlC)
	t.prompt()
	t.code("130")
}

func pipelineReadsTerminal(b *bench) {
	t := b.shell()
	t.enter(`yes | head -3 | @L sh -c 'echo up; read x </dev/tty; echo got=$x'`)
	t.expect(`up`)
	t.send("hello\n")
	t.expect(`got=hello`)
	t.prompt()
}

func interruptEndsLoop(b *bench) {
	t := b.shell()
	t.enter(`for i in 1 2 3; do @L sh -c 'echo at $0; exec sleep 60' $i; done`)
	t.expect(`at 1`)
	t.send(ctrlC)
	t.prompt()
	if strings.Contains(t.screen(), "at 2") {
		b.Errorf("the loop goes on:\n%s", t.screen())
	}
	t.code("130")
}

func resizeOnce(b *bench) {
	t := b.shell()
	t.enter("@L " + catching(b, "WINCH"))
	t.expect(`up`)
	if err := pty.Setsize(t.tty, &pty.Winsize{Rows: 33, Cols: 99}); err != nil {
		b.Fatalf("%v", err)
	}
	if n := t.expect(`count=(\d+)\.`)[1]; n != "1" {
		b.Errorf("the command counts %s SIGWINCH, want 1", n)
	}
}

func terminalCloses(b *bench) {
	b.write("hup.pl", `$SIG{HUP} = sub { open my $f, '>>', "$ARGV[0]/hup"; print $f "hup\n"; close $f; exit 3 };
		print "up\n"; $| = 1; print ""; sleep 60 while 1;`, 0o600)
	// Under a shell, whose group the kernel signals; and as the leader of the session, whom alone it signals.
	for _, argv := range [][]string{{"bash", "--norc", "--noprofile", "--noediting", "-ic", b.text("@L perl @D/hup.pl @D; exit")}, b.L("perl", b.path("hup.pl"), b.dir)} {
		b.write("hup", "", 0o600)
		t := b.terminal(argv...)
		t.expect(`up`)
		t.line.Close()
		t.tty.Close()
		b.eventually("the command notes SIGHUP", patience, func() bool { return strings.Contains(b.read("hup"), "hup") })
		b.slotFree(5 * time.Second)
	}
}

func modesUnchanged(b *bench) {
	type way struct {
		name  string
		argv  []string
		press string
	}
	ways := []way{
		{"exit", b.L("sh", "-c", "echo up"), ""},
		{"^C", b.L("sh", "-c", "echo up; exec sleep 60"), ctrlC},
		{"^\\", b.L("sh", "-c", "ulimit -c 0; echo up; exec sleep 60"), ctrlBackslash},
		{"killed", b.L("sh", "-c", "echo up; kill -KILL $$"), ""},
		{"not found", b.L("no-such-command"), ""},
	}
	if b.w.has(timeouts) {
		// In the foreground of its own: timeout makes a group of its own, whose command is stopped when it touches the
		// terminal.
		ways = append(ways, way{"timed out", append(b.w.timeout(b, "0.2", "1"), "sleep", "60"), ""})
	}
	for _, c := range ways {
		t := b.terminal("sh", "-c", "stty -echo; "+quoted(c.argv)+"; :")
		b.eventually("stty has done its work", patience, func() bool { return t.modes().Lflag&unix.ECHO == 0 })
		before := t.modes()
		if c.press != "" {
			t.expect(`up`)
			t.send(c.press)
		}
		t.wait()
		if after := t.modes(); after != before {
			b.Errorf("%s: modes %+v, before %+v", c.name, after, before)
		}
	}
}

func noTerminal(b *bench) {
	p := b.start(b.L("sh", "-c", "echo fine; exit 8"), ownSession)
	r := p.wait(patience)
	if r.code() != 8 || r.out != "fine\n" || r.err != "" {
		b.Errorf("%s, want exit 8, fine, and no complaint", r)
	}
	p = b.start(b.L("sh", "-c", "kill -TSTP $$; exit 8"), ownSession) // nobody could continue a stopped job
	b.want(p.wait(patience), 8, "")
	// A command that somebody stops and continues goes on, though nobody continues the wrapper.
	rec := b.record(b.w.argv(b), ownSession, int(syscall.SIGUSR1))
	syscall.Kill(rec.command, syscall.SIGSTOP)
	b.eventually("the command is stopped", patience, func() bool { return stopped(rec.command) })
	time.Sleep(50 * time.Millisecond) // for the wrapper to see it
	syscall.Kill(rec.command, syscall.SIGCONT)
	if _, end := rec.finish(); end.code() != 0 {
		b.Errorf("after STOP and CONT of the command: %s", end)
	}
}
