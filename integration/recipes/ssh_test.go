package recipes

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startSSHD starts a server of the test's own on loopback, with its own keys, and returns its port.
func (k *kitchen) startSSHD() (port string) {
	k.Helper()
	k.needRoot()
	if !exists("/usr/sbin/sshd") {
		k.Skip("SKIPPED: no sshd here; apt-get install openssh-server")
	}
	k.need("ssh", "openssh-client")
	for _, key := range []string{"host", "user"} {
		k.run(0, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(k.dir, key))
	}
	k.must(os.WriteFile(filepath.Join(k.dir, "authorized"), []byte(k.read("user.pub")), 0o600))
	os.MkdirAll("/run/sshd", 0o755) // where sshd goes to before it knows the user
	l, err := net.Listen("tcp", "127.0.0.1:0")
	k.must(err)
	_, port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	config := k.write("sshd_config", fmt.Sprintf(`ListenAddress 127.0.0.1
Port %s
HostKey %s/host
AuthorizedKeysFile %[2]s/authorized
StrictModes no
UsePAM no
PidFile none
PermitRootLogin prohibit-password
SetEnv PATH=%[2]s/bin:/usr/bin:/bin LIMIT_BACKEND=local:%[2]s/store
`, port, k.dir))
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config)
	log, err := os.Create(filepath.Join(k.dir, "sshd.log"))
	k.must(err)
	defer log.Close()
	cmd.Stderr = log
	k.must(cmd.Start())
	k.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if k.Failed() {
			k.Logf("sshd: %s", k.read("sshd.log"))
		}
	})
	k.until(10*time.Second, "sshd listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return port
}

func TestOverSSHTheSlotIsTheHostsAndTheExitStatusComesBack(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	port := k.startSSHD()
	k.write("ssh_config", fmt.Sprintf("Host build1\n HostName 127.0.0.1\n Port %s\n User root\n IdentityFile %s/user\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n LogLevel ERROR\n", port, k.dir))
	k.write("compile", "#!/bin/sh\n"+k.dir+"/bin/limit status compile; echo \"compiled $1\"; cat; exit 42\n")
	k.run(0, "limit", "pool", "set", "compile", "1")
	recipe := strings.TrimSpace(k.recipe("ssh.**"))
	if !strings.Contains(recipe, " ./compile ") || !strings.HasPrefix(recipe, "ssh ") {
		t.Fatalf("the recipe is %q", recipe)
	}
	line := strings.Replace(recipe, "ssh ", "ssh -F "+k.dir+"/ssh_config ", 1)
	line = strings.Replace(line, "./compile", k.dir+"/compile", 1)
	cmd := k.command("sh", "-c", "exec "+line)
	cmd.Stdin = strings.NewReader("from here\n")
	out := k.ended(42, cmd)
	if !strings.Contains(out, "compiled release") || !strings.Contains(out, "from here") || !strings.Contains(out, "pool:compile     1   1") {
		t.Errorf("ssh prints\n%s", out)
	}
	if held := k.held(); len(held) > 0 {
		t.Errorf("after it held are %v", held)
	}
}
