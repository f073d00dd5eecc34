//go:build linux

package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func streamCases() []testCase {
	return []testCase{
		{1, "bytes pass untouched and as fast as without", anything, bytesPass},
		{2, "the descriptors are the very same files", anything, sameFiles},
		{3, "output is visible at once", anything, visibleAtOnce},
		{4, "it writes nothing of its own to standard output", anything, silentOutput},
		{5, "what the command does not read stays unread", anything, unreadStays},
		{6, "it works with standard descriptors closed", anything, closedDescriptors},
		{7, "a broken standard error does not harm the command", anything, brokenError},
		{8, "it ends when the command does though a grandchild keeps the output", anything, grandchildKeepsOutput},
		{9, "yes into head ends", anything, yesIntoHead},
		{10, "descriptors above 2 are inherited and none is added below 100", anything, furtherDescriptors},
		{11, "the jobserver of make works", anything, jobserver},
		{12, "LISTEN_PID that means it means the command", anything, listenPID},
	}
}

func bytesPass(b *bench) {
	const size = 256 << 20
	through := func(middle string) (int, time.Duration) {
		r := b.sh(fmt.Sprintf("head -c %d /dev/zero | %s cat | wc -c", size, middle))
		n, _ := strconv.Atoi(strings.TrimSpace(r.out))
		return n, r.took
	}
	var plain, wrapped time.Duration
	for range 3 { // the machine may be busy: the best of three
		if n, took := through(""); n != size || plain == 0 || took < plain {
			plain = took
		}
		n, took := through("@L")
		if n != size {
			b.Errorf("%d bytes came through, want %d", n, size)
		}
		if wrapped == 0 || took < wrapped {
			wrapped = took
		}
	}
	if wrapped > 2*plain+200*time.Millisecond {
		b.Errorf("took %v, without it %v", wrapped, plain)
	}
	r := b.sh("head -c 3000000 /dev/urandom >@D/in; @L cat <@D/in >@D/out; cmp @D/in @D/out")
	b.want(r, 0, "")
}

func sameFiles(b *bench) {
	const ask = `sh -c 'readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 >&9'`
	for _, around := range []string{
		`%s 9>@D/answer <@D/in >@D/out 2>>@D/err`,
		`true | %s 9>@D/answer 2>&1 | cat`,
		`%s 9>@D/answer </dev/null >&2`,
	} {
		b.write("in", "", 0o600)
		answers := [2]string{}
		for i, middle := range []string{"", "@L "} {
			b.sh(fmt.Sprintf(around, middle+ask))
			answers[i] = regexp.MustCompile(`pipe:\[\d+\]|output-\d+`).ReplaceAllString(b.read("answer"), "same")
		}
		if answers[0] != answers[1] || strings.Count(answers[0], "\n") != 3 {
			b.Errorf("%s: descriptors are\n%s, without it\n%s", around, answers[1], answers[0])
		}
	}
	t := b.shell()
	t.enter(`tty; @L readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2`)
	t.expect(`(/dev/pts/\d+)\r\n(/dev/pts/\d+)\r\n(/dev/pts/\d+)\r\n(/dev/pts/\d+)\r\n`)
}

func visibleAtOnce(b *bench) {
	out, said := b.piped()
	p := b.start(b.L("sh", "-c", "echo now; exec sleep 60"), func(c *exec.Cmd) { c.Stdout = out })
	if line := said.next(); line != "now" || !p.running() {
		b.Errorf("the first line is %q, want now while the command runs", line)
	}
	p.kill(15)
}

func silentOutput(b *bench) {
	if r := b.run(b.L("true")...); r.code() != 0 || r.out != "" || r.err != "" {
		b.Errorf("true: %s", r)
	}
	if r := b.run(b.L("sh", "-c", "exit 9")...); r.code() != 9 || r.out != "" || r.err != "" {
		b.Errorf("exit 9: %s", r)
	}
	if b.w.has(limitOnly) {
		if r := b.run(b.with([]string{"-v"}, "true")...); r.out != "" || !strings.HasPrefix(r.err, "limit: ") {
			b.Errorf("with -v: %s", r)
		}
	}
}

func unreadStays(b *bench) {
	b.write("in", "one\ntwo\n", 0o600)
	b.want(b.sh(`{ @L true; cat; } <@D/in`), 0, "one\ntwo\n")
	b.want(b.sh(`printf 'one\ntwo\n' | { @L true; cat; }`), 0, "one\ntwo\n")
}

func closedDescriptors(b *bench) {
	const ask = `sh -c 'for fd in 0 1 2; do [ -e /proc/self/fd/$fd ] && echo $fd open >&9; done; exit 7'`
	for _, closing := range []string{"<&-", "<&- >&-", "2>&-", "<&- >&- 2>&-"} {
		answers := [2]string{}
		for i, middle := range []string{"", "@L "} {
			r := b.sh(middle + ask + " 9>@D/answer " + closing)
			if answers[i] = b.read("answer"); r.code() != 7 {
				b.Errorf("%s%s: %s", middle, closing, r)
			}
		}
		if answers[0] != answers[1] {
			b.Errorf("with %s the command has %q, without it %q", closing, answers[1], answers[0])
		}
	}
}

func brokenError(b *bench) {
	broken := func(c *exec.Cmd) {
		r, w, err := os.Pipe()
		if err != nil {
			b.Fatalf("%v", err)
		}
		r.Close()
		b.Cleanup(func() { w.Close() })
		c.Stderr = w
	}
	argv := b.L("sh", "-c", "sleep 0.1; exit 3")
	if b.w.has(limitOnly) {
		argv = b.with([]string{"-v"}, "sh", "-c", "sleep 0.1; exit 3")
	}
	p := b.start(argv, broken)
	b.want(p.wait(patience), 3, "")
	if b.w.has(timeouts) { // it has something to say when the time is up
		argv := append(b.w.timeout(b, "0.3", "5"), "sh", "-c", "trap 'echo bye; exit 4' TERM; sleep 60 & wait")
		if b.w.name == "timeout" {
			argv = append([]string{"timeout", "-v"}, argv[1:]...)
		}
		p := b.start(argv, broken)
		b.want(p.wait(patience), 124, "bye\n")
	}
}

func grandchildKeepsOutput(b *bench) {
	out, said := b.piped()
	p := b.start(b.L("sh", "-c", "sleep 60 & echo $!; exit 4"), func(c *exec.Cmd) { c.Stdout = out })
	pid, _ := strconv.Atoi(said.next())
	r := p.wait(10 * time.Second)
	if r.code() != 4 {
		b.Errorf("%s, want 4", r)
	}
	if !alive(pid) {
		b.Errorf("the grandchild %d is gone", pid)
	}
	b.killAtEnd(pid)
}

func yesIntoHead(b *bench) {
	b.want(b.sh("@L yes | head -1"), 0, "y\n")
	b.slotFree(5 * time.Second)
}

func furtherDescriptors(b *bench) {
	const ask = `%s perl -e 'opendir my $d, "/proc/self/fd"; for (grep /[0-9]/, readdir $d) { my $to = readlink "/proc/self/fd/$_";
		print "$_ -> $to\n" unless $to =~ m{^/proc/} }' 3</dev/null 5>@D/five 7<@D/in 9>>@D/nine 120</dev/zero`
	require(b, "perl", "bash")
	b.write("in", "", 0o600)
	fds := func(middle string) []string {
		r := b.run("bash", "-c", b.text(fmt.Sprintf(ask, middle)))
		all := strings.Split(strings.TrimSpace(r.out), "\n")
		return slices.DeleteFunc(all, func(line string) bool { return strings.Contains(line, "output-") })
	}
	plain, wrapped := fds(""), fds("@L")
	for _, line := range plain {
		if !slices.Contains(wrapped, line) {
			b.Errorf("descriptor %s is missing: %q", line, wrapped)
		}
	}
	for _, line := range wrapped {
		number, _, _ := strings.Cut(line, " ")
		if n, _ := strconv.Atoi(number); n < 100 && !slices.Contains(plain, line) {
			b.Errorf("descriptor %s is new", line)
		}
	}
	if !slices.ContainsFunc(plain, func(s string) bool { return strings.HasPrefix(s, "120 -> /dev/zero") }) {
		b.Errorf("the case itself is broken: %q", plain)
	}
}

func jobserver(b *bench) {
	require(b, "make", "bash")
	b.write("inner.mk", "all: a b c d e f g h\n"+
		"a b c d e f g h:\n\t@echo start >>log; sleep 0.2; echo end >>log\n", 0o600)
	b.write("outer.mk", b.text("all:\n\t+@@L $(MAKE) --no-print-directory -f inner.mk\n"), 0o600)
	r := b.run("make", "-j4", "-f", "outer.mk", "--no-print-directory")
	if r.code() != 0 || strings.Contains(r.err, "jobserver") {
		b.Errorf("make: %s", r)
	}
	now, most := 0, 0
	for line := range strings.Lines(b.read("log")) {
		if line == "start\n" {
			now++
			most = max(most, now)
		} else {
			now--
		}
	}
	if most < 2 || most > 4 || now != 0 {
		b.Errorf("make -j4 ran %d at once, want 2 to 4:\n%s", most, b.read("log"))
	}
	// The fifo style of make 4.4 hands on a name. Here is no such make: a client that takes and gives back tokens.
	r = b.sh(`mkfifo @D/tokens; exec 8<>@D/tokens; printf '+++' >&8
		MAKEFLAGS=" -j4 --jobserver-auth=fifo:@D/tokens" @L bash -c '
			name=${MAKEFLAGS##*fifo:}; exec 4<>"$name"
			read -N 2 -u 4 tokens && echo "took $tokens" && printf "$tokens" >&4'
		dd bs=3 count=1 <&8 2>/dev/null`)
	b.want(r, 0, "took ++\n+++")
}

func listenPID(b *bench) {
	r := b.sh(`LISTEN_FDS=1 LISTEN_PID=$$ exec @L sh -c 'echo $(($$ - LISTEN_PID)) $LISTEN_FDS'`)
	b.want(r, 0, "0 1\n")
	r = b.sh(`LISTEN_FDS=1 LISTEN_PID=1 exec @L sh -c 'echo $LISTEN_PID'`)
	b.want(r, 0, "1\n")
}
