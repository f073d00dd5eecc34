//go:build linux

package wrapper

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

func inheritedCases() []testCase {
	return []testCase{
		{35, "ignored and blocked signals stay so", anything, dispositions},
		{36, "a parent that ignores SIGCHLD gets the right code", anything, ignoredChild},
		{37, "directory umask nice affinity limits and timer slack are unchanged", anything, attributes},
		{38, "environment and arguments are byte for byte the same", anything, byteExact},
		{39, "after the first operand everything is the command's", anything, operands},
	}
}

// differ fails unless a script prints the same behind the wrapper (@W is it) and without, and something at all.
func (b *bench) differ(script string) {
	b.Helper()
	plain := b.sh(strings.ReplaceAll(script, "@W", ""))
	wrapped := b.sh(strings.ReplaceAll(script, "@W", "@L"))
	if plain.out == "" || plain.out != wrapped.out || plain.code() != wrapped.code() {
		b.Errorf("%s:\n%s\nwithout the wrapper:\n%s", script, wrapped, plain)
	}
}

func dispositions(b *bench) {
	const show = `@W grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status`
	b.differ(show)
	for _, signals := range []string{"HUP", "INT QUIT", "TERM", "PIPE", "USR1 USR2", "WINCH CONT", "TSTP TTIN TTOU", "ALRM CHLD URG PROF", "RTMIN RTMAX"} {
		b.differ("trap '' " + signals + "; " + show)
	}
	b.differ(`nohup @W grep -E '^SigIgn' /proc/self/status`)
	require(b, "perl")
	b.write("mask.pl", `use POSIX; sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM, SIGUSR1, SIGALRM, SIGINT, 40)); exec @ARGV or die;`, 0o600)
	b.differ(`perl @D/mask.pl ` + show)
	// What is ignored or blocked is no reason for the wrapper to keep a signal from a command that catches it.
	b.write("term.sh", "trap '' TERM; exec \"$@\"\n", 0o600)
	for _, before := range [][]string{{"sh", b.path("term.sh")}, {"perl", b.path("mask.pl")}} {
		rec := b.record(append(before, b.w.argv(b)...), ownSession, int(syscall.SIGTERM))
		if before[0] == "perl" {
			rec.kill(syscall.SIGTERM) // stays pending in the command, which blocks it
		} else {
			rec.kill(syscall.SIGTERM)
			rec.expect(int(syscall.SIGTERM), patience)
		}
		if _, end := rec.finish(); end.code() != 0 {
			b.Errorf("behind %q: %s", before, end)
		}
	}
}

func ignoredChild(b *bench) {
	require(b, "perl")
	b.write("chld.pl", `$SIG{CHLD} = 'IGNORE'; exec @ARGV or die;`, 0o600)
	b.want(b.sh(`perl @D/chld.pl @L sh -c 'exit 3'`), 3, "")
	b.differ(`perl @D/chld.pl @W grep SigIgn /proc/self/status`)
}

func attributes(b *bench) {
	b.differ(`cd @D; umask 027; ulimit -Sn 333; ulimit -Sc 0; ulimit -Ss 4096
		nice -n 3 taskset -c 0 @W sh -c 'pwd; umask; cat /proc/self/limits; nice; cat /proc/self/timerslack_ns
			grep -E "^(Umask|Cpus_allowed_list|NoNewPrivs|Seccomp|Groups)" /proc/self/status; cat /proc/self/oom_score_adj'`)
	b.differ(`ulimit -n 77; @W sh -c 'ulimit -Sn; ulimit -Hn'`)
	b.differ(`mkdir -p @D/gone; cd @D/gone; rmdir @D/gone; @W readlink /proc/self/cwd`)
	require(b, "perl")
	b.differ(`perl -e 'open my $f, ">", "/proc/self/timerslack_ns"; print $f 123456; close $f; exec @ARGV' @W cat /proc/self/timerslack_ns`)
}

func byteExact(b *bench) {
	env := []string{"A=1", "A=2", "EMPTY=", "no equals sign", "=C:=x", "BYTES=\xff\xfe\n", "", "PATH=" + os.Getenv("PATH"), "PATH=/second"}
	for i := range 20 { // 1 MB of it
		env = append(env, fmt.Sprintf("V%d=%s", i, strings.Repeat("v", 50_000)))
	}
	got := b.rawRun(b.L("cat", "/proc/self/environ"), env)
	entries := slices.DeleteFunc(strings.SplitAfter(got, "\x00"), func(s string) bool { return strings.HasPrefix(s, "LIMIT_") })
	if want := strings.Join(env, "\x00") + "\x00"; strings.Join(entries, "") != want {
		b.Errorf("environment %q, want %q", short(strings.Join(entries, "")), short(want))
	}
	argv := []string{"sh", "-c", "cat /proc/$$/cmdline; :", "name as typed", "", "-x", "--", "a\nb", "\xff\xfe", "--pool", "'\"$", "-", "ü"}
	for i := range 20 { // 1 MB, which the wrapper has once more before the command
		argv = append(argv, strings.Repeat(fmt.Sprint(i%10), 50_000))
	}
	got = b.rawRun(b.L(argv...), []string{"PATH=/bin:/usr/bin"})
	if want := strings.Join(argv, "\x00") + "\x00"; got != want {
		b.Errorf("arguments %q, want %q", short(got), short(want))
	}
	if err := os.Symlink("/bin/cat", b.path("a cat")); err != nil {
		b.Fatalf("%v", err)
	}
	b.want(b.run(b.L("./a cat", "/proc/self/cmdline")...), 0, "./a cat\x00/proc/self/cmdline\x00")
	b.differ(`cd /bin; PATH=/bin @W sh -c 'tr "\0" "\n" </proc/$$/cmdline | head -1'`)
}

// rawRun runs argv with an environment that os/exec would tidy, and returns the output.
func (b *bench) rawRun(argv, env []string) string {
	b.Helper()
	path, err := exec.LookPath(argv[0])
	if err != nil {
		b.Fatalf("%v", err)
	}
	out, err := os.Create(b.path("raw"))
	if err != nil {
		b.Fatalf("%v", err)
	}
	defer out.Close()
	null, err := os.Open("/dev/null")
	if err != nil {
		b.Fatalf("%v", err)
	}
	defer null.Close()
	p, err := os.StartProcess(path, argv, &os.ProcAttr{Dir: b.dir, Env: env, Files: []*os.File{null, out, null}})
	if err != nil {
		b.Fatalf("%v", err)
	}
	p.Wait()
	data, _ := os.ReadFile(b.path("raw"))
	return string(data)
}

func operands(b *bench) {
	b.want(b.run(b.L("echo", "--pool", "x", "-v", "--help", "-c")...), 0, "--pool x -v --help -c\n")
	b.want(b.run(b.L("echo", "--", "-n", "--")...), 0, "-- -n --\n")
	b.want(b.run(b.L("printf", "%s|", "", "help", "")...), 0, "|help||")
	if b.w.has(limitOnly) {
		argv := b.L()
		b.want(b.run(append(argv[:len(argv)-1:len(argv)-1], "echo", "--if-busy", "fail", "-q")...), 0, "--if-busy fail -q\n")
		b.want(b.run(b.L("--", "x")...), 127, "")
	}
}
