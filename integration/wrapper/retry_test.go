//go:build linux

package wrapper

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
)

func TestACommandThatWasAskedToEndIsNotRunAgain(t *testing.T) {
	b := newBench(t, limit(limitBinary(t)))
	for _, c := range []struct {
		name   string
		signal func(wrapper, command int)
		again  bool
	}{
		{"limit alone", func(wrapper, _ int) { syscall.Kill(wrapper, syscall.SIGTERM) }, false},
		{"the group", func(wrapper, _ int) { syscall.Kill(-wrapper, syscall.SIGINT) }, false},
		{"the command", func(_, command int) { syscall.Kill(command, syscall.SIGTERM) }, true},
	} {
		p := b.start(append(b.w.argv(b, "--retry", "1"), "sh", "-c", "echo $LIMIT_ATTEMPT $$ $(pwd); test $LIMIT_ATTEMPT = 2 || exec sleep 60"), ownSession)
		var attempt, command int
		var dir string
		b.eventually("the command runs", patience, func() bool {
			n, _ := fmt.Sscan(contents(p.out), &attempt, &command, &dir)
			return n == 3
		})
		c.signal(p.pid(), command)
		r := p.wait(patience)
		again := strings.Contains(r.out, "\n2 ")
		if again != c.again || again != (r.code() == 0) {
			b.Errorf("%s is signalled: run again %t, want %t\n%s", c.name, again, c.again, r)
		}
		if again && strings.Count(r.out, dir+"\n") != 2 {
			b.Errorf("the second attempt has another directory:\n%s", r.out)
		}
	}
}
