package integration

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"limit/integration/etcdtest"
)

// etcdctl runs etcdctl against a cluster; it must succeed.
func etcdctl(t *testing.T, c *etcdtest.Cluster, stdin string, args ...string) {
	t.Helper()
	cmd := exec.Command(etcdtest.Etcdctl(t), append([]string{"--endpoints", strings.Join(c.Direct(), ",")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil && !bytes.Contains(out, []byte("database space exceeded")) {
		t.Fatalf("etcdctl %v: %v\n%s", args, err, out)
	}
}

// etcdConfig writes a configuration for a cluster.
func (w *world) etcdConfig(endpoints []string, rest string) {
	w.write("etcd.yaml", fmt.Sprintf("backend:\n  etcd:\n    endpoints: [%s]\n%s", quoteAll(endpoints), rest))
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = fmt.Sprintf("%q", word)
	}
	return strings.Join(quoted, ", ")
}

func TestDoctorFindsWhatIsWrongWithEtcdAndHowToMendIt(t *testing.T) {
	t.Parallel()
	type planted struct {
		endpoints []string
		config    string // below backend.etcd
	}
	for _, c := range []struct {
		name  string
		plant func(t *testing.T, w *world) planted
		code  int
		words []string
	}{
		{"nothing", func(t *testing.T, w *world) planted {
			return planted{endpoints: etcdtest.Start(t, etcdtest.Options{}).Endpoints()}
		}, 0, []string{"leader, answers in", "the namespace can be read and written", "all is well"}},
		{"an old etcd", func(t *testing.T, w *world) planted {
			return planted{endpoints: etcdtest.Start(t, etcdtest.Options{Binary: etcdtest.Debian(t)}).Endpoints()}
		}, 1, []string{"is etcd 3.4.", "→ update to 3.5.23, 3.6.5 or later"}},
		{"a lost quorum", func(t *testing.T, w *world) planted {
			c := etcdtest.Start(t, etcdtest.Options{Members: 3})
			c.Members[0].Kill()
			c.Members[1].Kill()
			return planted{endpoints: c.Endpoints()}
		}, 125, []string{"the cluster has no quorum: 1 of 3 endpoints answer", "→ start the members that are down"}},
		{"a member that hangs", func(t *testing.T, w *world) planted {
			c := etcdtest.Start(t, etcdtest.Options{Members: 3})
			c.Members[2].Stop()
			t.Cleanup(c.Members[2].Continue)
			return planted{endpoints: c.Endpoints()}
		}, 1, []string{"does not answer", "→ start it, or take it out of the endpoints", "the namespace can be read and written"}},
		{"a certificate of another authority", func(t *testing.T, w *world) planted {
			certs := etcdtest.NewCerts(t)
			return planted{etcdtest.Start(t, etcdtest.Options{TLS: certs}).Endpoints(),
				fmt.Sprintf("    tls: {ca: %s, cert: %s, key: %s}\n", certs.CA, certs.StrangerCert, certs.StrangerKey)}
		}, 125, []string{"remote error: tls", "check ca, cert and key of backend.etcd.tls"}},
		{"a server whose authority is not known", func(t *testing.T, w *world) planted {
			certs := etcdtest.NewCerts(t)
			return planted{etcdtest.Start(t, etcdtest.Options{TLS: certs}).Endpoints(),
				fmt.Sprintf("    tls: {ca: %s, cert: %s, key: %s}\n", certs.StrangerCert, certs.ClientCert, certs.ClientKey)}
		}, 125, []string{"x509", "check ca, cert and key of backend.etcd.tls"}},
		{"a certificate that ends soon", func(t *testing.T, w *world) planted {
			certs := etcdtest.NewCerts(t) // they are good for a day
			return planted{etcdtest.Start(t, etcdtest.Options{TLS: certs}).Endpoints(),
				fmt.Sprintf("    tls: {ca: %s, cert: %s, key: %s}\n", certs.CA, certs.ClientCert, certs.ClientKey)}
		}, 1, []string{"the client certificate " + "/", "the certificate of https://127.0.0.1:", "→ issue a new one in time"}},
		{"a wrong password", func(t *testing.T, w *world) planted {
			c := withPasswords(t)
			w.write("password", "wrong\n")
			return planted{c.Endpoints(), "    username: limit\n    password_file: password\n"}
		}, 125, []string{"authentication failed", "check username and password_file of backend.etcd"}},
		{"no password", func(t *testing.T, w *world) planted {
			return planted{endpoints: withPasswords(t).Endpoints()}
		}, 125, []string{"user name is empty", "set username and password_file of backend.etcd"}},
		{"a user without permission", func(t *testing.T, w *world) planted {
			c := withPasswords(t)
			w.write("password", "secret\n")
			return planted{c.Endpoints(), "    username: limit\n    password_file: password\n"}
		}, 125, []string{"permission denied", "grant the user readwrite on the prefix /limit/"}},
		{"a full database", func(t *testing.T, w *world) planted {
			c := etcdtest.Start(t, etcdtest.Options{Flags: []string{"--quota-backend-bytes", "2000000"}})
			for i := range 6 {
				etcdctl(t, c, strings.Repeat("x", 500_000), "put", fmt.Sprint("filler", i))
			}
			return planted{endpoints: c.Endpoints()}
		}, 125, []string{"has raised the alarm NOSPACE", "compact and defragment etcd, then: etcdctl alarm disarm"}},
		{"a missing password file", func(t *testing.T, w *world) planted {
			return planted{[]string{"http://127.0.0.1:1"}, "    username: limit\n    password_file: nowhere\n"}
		}, 125, []string{"nowhere: no such file", "→ see that etcd runs"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			p := c.plant(t, w)
			w.etcdConfig(p.endpoints, p.config)
			cmd := w.command("doctor", "--config", "etcd.yaml", "--connect-timeout", "3")
			cmd.Env = append(cmd.Env, "LIMIT_BACKEND=")
			out, _ := cmd.CombinedOutput()
			if code := status(cmd.ProcessState); code != c.code {
				t.Errorf("exit status %d, want %d", code, c.code)
			}
			text := strings.Join(strings.Fields(string(out)), " ")
			for _, word := range c.words {
				if !strings.Contains(text, word) {
					t.Errorf("it does not say %q", word)
				}
			}
			bad := strings.Count(string(out), "\nwarning") + strings.Count(string(out), "\nbroken")
			if remedies := strings.Count(string(out), "→ "); bad != remedies {
				t.Errorf("%d findings have %d remedies", bad, remedies)
			}
			if t.Failed() {
				t.Logf("%s", out)
			}
		})
	}
}

// withPasswords is a cluster that asks for one: user limit has the password secret and no permission.
func withPasswords(t *testing.T) *etcdtest.Cluster {
	c := etcdtest.Start(t, etcdtest.Options{Flags: []string{"--bcrypt-cost", "4"}})
	etcdctl(t, c, "", "user", "add", "root:root")
	etcdctl(t, c, "", "user", "grant-role", "root", "root")
	etcdctl(t, c, "", "user", "add", "limit:secret")
	etcdctl(t, c, "", "auth", "enable")
	return c
}

func TestDoctorSpeaksOfACommandThatOutlivesItsLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.hold("orphan", "--pool", "p")
	s.cmd.Process.Kill()
	<-s.done
	r := w.limit("doctor")
	text := strings.Join(strings.Fields(r.stdout), " ")
	if r.code != 1 || !strings.Contains(text, "(orphan) is gone, processes of its command hold the slots → let them end, or: kill ") {
		t.Errorf("exit %d:\n%s", r.code, r.stdout)
	}
	w.release("orphan")
	w.until("the orphan has ended", func() bool { return len(w.status().Held) == 0 })
}
