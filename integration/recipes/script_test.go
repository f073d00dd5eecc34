package recipes

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// shells are those that scripts are written for.
func (k *kitchen) shells() []string {
	k.Helper()
	var found []string
	for _, shell := range []string{"sh", "dash", "bash", "zsh", "busybox"} {
		if _, err := exec.LookPath(shell); err == nil {
			found = append(found, shell)
		}
	}
	return found
}

// shell is a script as an argument of a shell.
func (k *kitchen) shell(shell string, args ...string) *exec.Cmd {
	if shell == "zsh" { // has a builtin of that name
		args = append([]string{"-c", "disable limit; . ./$0"}, args...)
	}
	if shell == "busybox" {
		args = append([]string{"sh"}, args...)
	}
	return k.command(shell, args...)
}

func TestAScriptHoldsForItselfUntilItReleases(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	k.run(0, "limit", "pool", "set", "database", "1")
	k.write("script.sh", k.recipe("A script that holds for itself"))
	k.write("load.sh", "#!/bin/sh\nlimit run --pool database --if-busy fail -- true && echo free while $1 is loaded\necho loaded $1, slot $LIMIT_SLOT_DATABASE\n")
	k.write("report.sh", "#!/bin/sh\nenv -u LIMIT_RUN_ID -u LIMIT_CLAIM_ID limit run --pool database --if-busy fail -- echo reported\n")
	for _, shell := range k.shells() {
		out := k.ended(0, k.shell(shell, "script.sh"))
		if strings.Contains(out, "free") || strings.Count(out, ", slot 0\n") != 2 || !strings.Contains(out, "\nreported\n") {
			t.Errorf("with %s:\n%s", shell, out)
		}
	}
	holder := k.command("limit", "run", "--pool", "database", "--", "cat")
	open, err := holder.StdinPipe()
	k.must(err)
	k.must(holder.Start())
	k.until(time.Minute, "the pool is taken", func() bool { return len(k.held()) == 1 })
	k.write("script.sh", strings.ReplaceAll(k.read("script.sh"), "10m", "50ms"))
	for _, shell := range k.shells() {
		if out := k.ended(75, k.shell(shell, "script.sh")); strings.Contains(out, "loaded") {
			t.Errorf("with %s, a script without slots goes on:\n%s", shell, out)
		}
	}
	k.must(open.Close())
	k.must(holder.Wait())
}

func TestAScriptStartsItselfAgainOnceWhateverVariablesItInherits(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	k.run(0, "limit", "pool", "set", "database", "1")
	recipe := k.recipe("A script that starts itself again")
	k.write("load.sh", "#!/bin/sh\necho \"$* of $LIMIT_POOLS\"\n")
	for _, shell := range []string{"sh", "dash", "bash"} {
		k.write("script.sh", strings.Replace(recipe, "#!/bin/sh", "#!"+k.need(shell, shell), 1))
		for _, stale := range []string{"", "1", "x"} {
			cmd := k.command(k.dir+"/script.sh", "a b", "c")
			cmd.Env = append(cmd.Env, "UNDER_LIMIT="+stale)
			if out := k.ended(0, cmd); out != "a b c of database=1\n" {
				t.Errorf("with %s, stale variable %q: %s", shell, stale, out)
			}
		}
	}
}

func TestAScriptThatAnotherStartsTakesASlotOfItsOwnThoughItInheritsTheVariable(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	k.run(0, "limit", "pool", "set", "database", "2")
	k.write("inner.sh", k.recipe("A script that starts itself again"))
	k.write("script.sh", strings.Replace(k.recipe("A script that starts itself again"), "./load.sh", "echo $LIMIT_SLOT_DATABASE; ./inner.sh; :", 1))
	k.write("load.sh", "#!/bin/sh\necho $LIMIT_SLOT_DATABASE\n")
	if out := k.run(0, "./script.sh"); out != "0\n1\n" {
		t.Errorf("the slots are\n%s", out)
	}
}
