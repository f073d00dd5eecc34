package recipes

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
	k.write("crontab", crontab)
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
	// cron starts @reboot lines at once, as it starts others at their minute.
	now := func(line, program, script string) string {
		at := strings.Index(line, " root ")
		line = "@reboot " + strings.ReplaceAll(strings.Replace(line[at+1:], program, script, 1), "%", `\%`)
		return line + "; echo $? >>" + k.dir + "/ended\n"
	}
	job := k.write("job", k.recordScript("0.1"))
	broken := k.write("broken", "#!/bin/sh\necho the disk is full >&2\nexit 3\n")
	header := fmt.Sprintf("MAILTO=ann\nPATH=%[1]s/bin:/usr/bin:/bin\nLIMIT_BACKEND=local:%[1]s/store\n", k.dir)
	for _, pool := range []string{"sync", "report", "other"} {
		k.run(0, "limit", "pool", "set", pool, "1")
	}
	holder := k.command("limit", "run", "--pool", "sync", "--name", "the last run", "--", "sleep", "1000")
	k.must(holder.Start())
	t.Cleanup(func() {
		holder.Process.Signal(syscall.SIGTERM)
		holder.Wait()
	})
	k.until(20*time.Second, "the last run still works", func() bool { return len(k.held()) == 1 })
	sync := now(lines[0], "/usr/local/bin/sync", job)
	report := now(lines[1], "/usr/local/bin/report", job)
	failing := now(strings.Replace(lines[0], "--pool sync", "--pool other", 1), "/usr/local/bin/sync", broken)
	k.startCron(header + sync + report + report + failing)

	// Those that end: the skipped sync, the second report, and the job that fails.
	k.until(40*time.Second, "three have ended", func() bool { return strings.Count(k.read("ended"), "\n") == 3 })
	if ended := k.read("ended"); strings.Count(ended, "0\n") != 2 || strings.Count(ended, "3\n") != 1 {
		t.Errorf("they end with\n%s", ended)
	}
	if _, all := k.most(); all != 1 {
		t.Errorf("of two machines %d have run the report", all)
	}
	k.until(10*time.Second, "there is mail of the job that fails", func() bool { return strings.Contains(k.read("mail"), "the disk is full") })
	if mail := k.read("mail"); strings.Count(mail, "Subject:") != 1 || strings.Contains(mail, "limit: ") || !strings.Contains(mail, "To: ann") {
		t.Errorf("the mail is\n%s", mail)
	}
	if held := k.held(); len(held) != 2 || held[1] != job {
		t.Errorf("held are %v, want the last run and, for the minimum of time, the report", held)
	}
}
