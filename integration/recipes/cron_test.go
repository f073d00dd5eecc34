package recipes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// now is a line of a crontab that is due at once, for another file. cron starts @reboot lines as it starts others at
// their minute.
func (k *kitchen) now(line, file, other string) string {
	at := strings.Index(line, " root ")
	line = "@reboot " + strings.ReplaceAll(strings.Replace(line[at+1:], file, other, 1), "%", `\%`)
	return line + "; echo $? >>" + k.dir + "/ended\n"
}

// lastRun is a run of a pool that still works.
func (k *kitchen) lastRun(pool string) {
	k.Helper()
	holder := k.command("limit", "run", "--pool", pool, "--name", "the last run", "--", "sleep", "1000")
	k.must(holder.Start())
	k.Cleanup(func() {
		holder.Process.Signal(syscall.SIGTERM)
		holder.Wait()
	})
	k.until(20*time.Second, "the last run still works", func() bool { return len(k.held()) == 1 })
}

// ends waits for as many lines as there are exit statuses, in any order.
func (k *kitchen) ends(want ...string) {
	k.Helper()
	ended := func() []string { return strings.Fields(k.read("ended")) }
	k.until(time.Minute, "the lines of the crontab have ended", func() bool { return len(ended()) == len(want) })
	if got := slices.Sorted(slices.Values(ended())); !slices.Equal(got, want) {
		k.Errorf("they end with %v, want %v", got, want)
	}
}

// mail expects one mail, with these words and without a complaint of limit.
func (k *kitchen) mail(words string) {
	k.Helper()
	k.until(20*time.Second, "there is mail of the job that fails", func() bool { return strings.Contains(k.read("mail"), words) })
	if mail := k.read("mail"); strings.Count(mail, "Subject:") != 1 || strings.Contains(mail, "limit: ") || !strings.Contains(mail, "To: ann") {
		k.Errorf("the mail is\n%s", mail)
	}
}

// startCron starts Debian's cron with a crontab of its own, in namespaces of its own: its directories and the mailer
// are the test's. Mail goes to the file mail. Everything in it ends with the test.
func (k *kitchen) startCron(crontab string) {
	k.Helper()
	k.needRoot()
	k.need("mount", "mount")
	if !exists("/usr/sbin/cron") {
		k.Skip("SKIPPED: no cron here; apt-get install cron")
	}
	cron, err := os.ReadFile("/usr/sbin/cron")
	k.must(err)
	k.must(os.WriteFile(filepath.Join(k.dir, "cron"), cron, 0o755))
	k.write("sendmail", "#!/bin/sh\ncat >>"+k.dir+"/mail\n")
	k.write("crontab", fmt.Sprintf("MAILTO=ann\nPATH=%[1]s/bin:/usr/bin:/bin\nLIMIT_BACKEND=local:%[1]s/store\n"+
		"LIMIT_CONFIG=%[1]s/limit.yaml\n", k.dir)+crontab)
	k.write("limit.yaml", "dag: {log_dir: runs}\n")
	k.write("empty", "")
	k.write("start", fmt.Sprintf(`#!/bin/sh
set -e
for dir in /usr/sbin /etc/cron.d /var/spool/cron /run; do mount -t tmpfs -o mode=755 tmpfs $dir; done
if [ -e /etc/crontab ]; then mount --bind %[1]s/empty /etc/crontab; fi
mkdir -p /var/spool/cron/crontabs
cp %[1]s/sendmail /usr/sbin/sendmail
cp %[1]s/crontab /etc/cron.d/recipe
exec %[1]s/cron -f -L 15
`, k.dir))
	cmd := k.inContainer(filepath.Join(k.dir, "start"))
	log, err := os.Create(filepath.Join(k.dir, "cron.log"))
	k.must(err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	k.must(cmd.Start())
	k.Cleanup(func() {
		cmd.Process.Kill() // and with it the namespace's first process, and all in it
		cmd.Wait()
		if k.Failed() {
			k.Logf("cron: %s\nmail: %s", k.read("cron.log"), k.read("mail"))
		}
	})
}

func TestCronSkipsWhatStillRunsRunsOnceInAFleetAndMailsWhatMatters(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	lines := strings.Split(strings.TrimSpace(k.recipe("cron.")), "\n")
	if len(lines) != 2 {
		t.Fatalf("the recipe has the lines %q", lines)
	}
	job := k.write("job", k.recordScript("0.1"))
	broken := k.write("broken", "#!/bin/sh\necho the disk is full >&2\nexit 3\n")
	for _, pool := range []string{"sync", "report", "other"} {
		k.run(0, "limit", "pool", "set", pool, "1")
	}
	k.lastRun("sync")
	sync := k.now(lines[0], "/usr/local/bin/sync", job)
	report := k.now(lines[1], "/usr/local/bin/report", job)
	failing := k.now(strings.Replace(lines[0], "--pool sync", "--pool other", 1), "/usr/local/bin/sync", broken)
	k.startCron(sync + report + report + failing)

	// Those that end: the skipped sync, the second report, and the job that fails.
	k.ends("0", "0", "3")
	if _, all := k.most(); all != 1 {
		t.Errorf("of two machines %d have run the report", all)
	}
	k.mail("the disk is full")
	if held := k.held(); len(held) != 2 || held[1] != job {
		t.Errorf("held are %v, want the last run and, for the minimum of time, the report", held)
	}
}
