package recipes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inContainer starts a command as the first process of PID and mount namespaces of its own, as a container's entrypoint
// is.
func (k *kitchen) inContainer(args ...string) *exec.Cmd {
	k.Helper()
	k.needRoot()
	unshare := k.need("unshare", "util-linux")
	if err := exec.Command(unshare, "-p", "-f", "-m", "--mount-proc", "true").Run(); err != nil {
		k.Skipf("SKIPPED: no PID namespace can be made here: %v", err)
	}
	return k.command(unshare, append([]string{"-p", "-f", "-m", "--mount-proc", "--kill-child", "--"}, args...)...)
}

// entrypoint is what a container of the recipe runs.
func (k *kitchen) entrypoint() []string {
	var words []string
	for _, line := range strings.Split(k.recipe("Containers."), "\n") {
		for _, instruction := range []string{"ENTRYPOINT ", "CMD "} {
			if list, found := strings.CutPrefix(line, instruction); found {
				for _, word := range strings.Split(strings.Trim(list, "[]"), ", ") {
					words = append(words, strings.Trim(word, `"`))
				}
			}
		}
	}
	words[0] = filepath.Join(k.dir, "bin", words[0])
	return words
}

func TestAContainersEntrypointReapsAndEndsOnTERMWithinASecond(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	k.write("worker", "#!/bin/sh\n(sleep 0.1 &)\nsleep 0.3\necho up >"+k.dir+"/up\nps -A -o stat= | grep -c ^Z >"+k.dir+"/zombies\n[ ! -e done ] || exit 7\nexec sleep 1000\n")
	cmd := k.inContainer(k.entrypoint()...)
	k.must(cmd.Start())
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	k.until(20*time.Second, "the worker is up", func() bool { return strings.TrimSpace(k.read("zombies")) != "" })
	if held := k.held(); len(held) != 1 || held[0] != "./worker" {
		t.Errorf("held are %v", held)
	}
	if zombies := strings.TrimSpace(k.read("zombies")); zombies != "0" {
		t.Errorf("%s zombies", zombies)
	}
	first := childOf(t, cmd.Process.Pid)
	began := time.Now()
	k.must(syscall.Kill(first, syscall.SIGTERM))
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end on TERM")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s to end", took)
	}
	if code := codeOf(cmd.ProcessState); code != 128+int(syscall.SIGTERM) {
		t.Errorf("it ends with %d", code)
	}
	if held := k.held(); len(held) > 0 {
		t.Errorf("after it held are %v", held)
	}
	k.write("done", "")
	k.ended(7, k.inContainer(k.entrypoint()...))
}

// childOf is the process that unshare has started, by its number out here.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(parent) + "/task/" + strconv.Itoa(parent) + "/children")
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatalf("children of %d: %q", parent, b)
	}
	return child
}
