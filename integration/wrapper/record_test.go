//go:build linux

package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// recorder is a command that says which signals it receives, one line each: in perl, since a Go program has a mind of
// its own about signals. It ends at the end of its standard input, or after a time.
const recorder = `use POSIX;
my ($signals, $seconds) = @ARGV;
for my $n (split /,/, $signals) {
	POSIX::sigaction($n, POSIX::SigAction->new(sub { syswrite(STDOUT, "got $n\n") })) or die "sigaction $n: $!";
}
syswrite(STDOUT, "ready $$\n");
if (defined $seconds) {
	my $left = $seconds;
	while ($left > 0) { select(undef, undef, undef, 0.05); $left -= 0.05 }
	syswrite(STDOUT, "end\n");
	exit 0;
}
while (1) {
	my $n = sysread(STDIN, my $byte, 1);
	last if defined $n && $n == 0;
}
syswrite(STDOUT, "end\n");
`

// recording is a recorder behind the wrapper.
type recording struct {
	*program
	command int // its process id
	stdin   *os.File
	said    *lines
}

// record starts the recorder of these signals behind argv.
func (b *bench) record(wrapper []string, set func(*exec.Cmd), signals ...int) *recording {
	b.Helper()
	require(b, "perl")
	b.write("record.pl", recorder, 0o600)
	names := make([]string, len(signals))
	for i, n := range signals {
		names[i] = fmt.Sprint(n)
	}
	stdin, feed, err := os.Pipe()
	if err != nil {
		b.Fatalf("%v", err)
	}
	b.Cleanup(func() { feed.Close(); stdin.Close() })
	out, said := b.piped()
	r := &recording{stdin: feed, said: said}
	argv := append(append([]string{}, wrapper...), "perl", b.path("record.pl"), strings.Join(names, ","))
	r.program = b.start(argv, func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout = stdin, out
		if set != nil {
			set(cmd)
		}
	})
	stdin.Close()
	out.Close()
	if _, err := fmt.Sscanf(said.next(), "ready %d", &r.command); err != nil {
		b.Fatalf("the recorder does not start: %v; %s", err, r.so())
	}
	return r
}

// finish ends the recorder and returns how often it got each signal.
func (r *recording) finish() (counts map[int]int, end result) {
	r.b.Helper()
	r.stdin.Close()
	counts = map[int]int{}
	for {
		line := r.said.next()
		if line == "end" {
			return counts, r.wait(patience)
		}
		var n int
		fmt.Sscanf(line, "got %d", &n)
		counts[n]++
	}
}

// expect waits until the recorder got a signal.
func (r *recording) expect(sig int, d time.Duration) {
	r.b.Helper()
	line, ok := r.said.within(d)
	if !ok || line != fmt.Sprintf("got %d", sig) {
		r.b.Errorf("after signal %d the command says %q, want that it got it, within %v", sig, line, d)
	}
}

// ownSession lets a program start in a session of its own, so that a signal to its group reaches its own processes
// only.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// expectNothing waits for d in which the recorder is to get no signal.
func (r *recording) expectNothing(d time.Duration) {
	r.b.Helper()
	if line, ok := r.said.within(d); ok {
		r.b.Errorf("the command says %q, want that it got no more", line)
	}
}
