package etcd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"limit/backend"
	"limit/integration/etcdtest"
)

// withPasswords is a cluster on which user fleet may use /limit/ with the password in the file that user puts into the
// options. Tokens last 2 s. as sends a request as root.
func withPasswords(t *testing.T, binary ...string) (c *etcdtest.Cluster, as func(func(context.Context, *clientv3.Client) error), user func(*Options)) {
	t.Helper()
	c = etcdtest.Start(t, etcdtest.Options{Flags: []string{"--auth-token-ttl", "2", "--bcrypt-cost", "4"}, Binary: strings.Join(binary, "")})
	c.AskForPasswords(t, "fleet", "word")
	ctx := t.Context()
	as = func(do func(context.Context, *clientv3.Client) error) { // with a client of its own: etcd 3.4 refuses the token of an older one for ever
		t.Helper()
		root, err := clientv3.New(clientv3.Config{Endpoints: c.Endpoints(), Username: "root", Password: "secret",
			DialTimeout: 10 * time.Second, Logger: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := do(ctx, root); err != nil {
			t.Fatal(err)
		}
	}
	file := fileWith(t, "word")
	return c, as, func(o *Options) { o.Username, o.PasswordFile = "fleet", file }
}

func fileWith(t testing.TB, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	put(t, file, content+"\n")
	return file
}

func put(t testing.TB, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func passwordIs(word string) func(context.Context, *clientv3.Client) error {
	return func(ctx context.Context, root *clientv3.Client) error {
		_, err := root.UserChangePassword(ctx, "fleet", word)
		return err
	}
}

// settled fails for a claim that was told of more than that the store fails and works.
func settled(t testing.TB, e backend.Entry) {
	t.Helper()
	for {
		select {
		case event := <-e.Events():
			if event.Kind != backend.Unreachable && event.Kind != backend.Reachable {
				t.Fatalf("%+v", event)
			}
			t.Logf("told %s %s", eventName(event.Kind), event.Reason)
		default:
			return
		}
	}
}

func TestAPasswordThatIsRenewedCostsNoClaim(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{
		"on the server first": "server", "on a server of etcd 3.4 first": "server", "in its file first": "file", "in a file that is half written": "half",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			binary := etcdtest.Server(t)
			if strings.Contains(name, "3.4") {
				binary = etcdtest.Debian(t)
			}
			c, as, user := withPasswords(t, binary)
			long := func(o *Options) { o.TTL = 8 * time.Second }
			var o Options
			user(&o)
			holder := enter(t, openStore(t, c, user, long), one(), backend.EnterOptions{})
			await(t, holder, backend.Granted, 5*time.Second)
			waiter := enter(t, openStore(t, c, user, long), one(), backend.EnterOptions{})
			switch first {
			case "server":
				as(passwordIs("other"))
			case "file":
				put(t, o.PasswordFile, "other\n")
			case "half":
				put(t, o.PasswordFile, "")
				as(passwordIs("other"))
			}
			<-time.After(3 * time.Second) // tokens have expired
			as(passwordIs("other"))
			put(t, o.PasswordFile, "other\n")
			<-time.After(9 * time.Second) // the lease would have
			settled(t, holder)
			settled(t, waiter)
			release(t, holder)
			await(t, waiter, backend.Granted, 10*time.Second)
		})
	}
}

func TestAWaiterWhosePasswordIsRenewedTooLateSaysSoAndEntersAgain(t *testing.T) {
	t.Parallel()
	c, as, user := withPasswords(t)
	var o Options
	user(&o)
	holder := enter(t, openStore(t, c, user), one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 5*time.Second)
	waiter := enter(t, openStore(t, c, user), one(), backend.EnterOptions{})
	as(passwordIs("other"))
	told := await(t, waiter, backend.Unreachable, 10*time.Second)
	if !strings.Contains(told.Reason, "password") {
		t.Errorf("the waiter is told %q", told.Reason)
	}
	await(t, holder, backend.Lost, 10*time.Second)
	<-time.After(6 * time.Second) // past the lease of both
	settled(t, waiter)
	put(t, o.PasswordFile, "other\n")
	await(t, waiter, backend.Reachable, 15*time.Second)
	await(t, waiter, backend.Granted, 10*time.Second)
}

func TestAUserWithoutPermissionForAWhileLosesNothing(t *testing.T) {
	t.Parallel()
	c, as, user := withPasswords(t)
	long := func(o *Options) { o.TTL = 8 * time.Second }
	holder := enter(t, openStore(t, c, user, long), one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 5*time.Second)
	waiter := enter(t, openStore(t, c, user, long), one(), backend.EnterOptions{})
	as(func(ctx context.Context, root *clientv3.Client) error {
		_, err := root.UserRevokeRole(ctx, "fleet", "limit")
		return err
	})
	<-time.After(3 * time.Second)
	as(func(ctx context.Context, root *clientv3.Client) error {
		_, err := root.UserGrantRole(ctx, "fleet", "limit")
		return err
	})
	<-time.After(8 * time.Second)
	settled(t, holder)
	settled(t, waiter)
	release(t, holder)
	await(t, waiter, backend.Granted, 10*time.Second)
}

// A certificate that lasts a day and a command that runs for a week, with a server that is restarted in between under
// another authority.
func TestCertificatesThatAreRenewedCostNoClaim(t *testing.T) {
	t.Parallel()
	certs := etcdtest.NewCerts(t)
	c := etcdtest.Start(t, etcdtest.Options{TLS: certs})
	const lifetime = 8 * time.Second
	certs.RenewClient(t, lifetime)
	ends := time.After(lifetime)
	with := func(o *Options) {
		o.TLS.CA, o.TLS.Cert, o.TLS.Key = certs.CA, certs.ClientCert, certs.ClientKey
		o.TTL = 20 * time.Second
	}
	holder := enter(t, openStore(t, c, with), one(), backend.EnterOptions{})
	await(t, holder, backend.Granted, 5*time.Second)
	waiter := enter(t, openStore(t, c, with), one(), backend.EnterOptions{})
	<-ends // of the certificate

	put(t, certs.CA, "half of it")
	put(t, certs.ClientCert, "")
	c.Members[0].Link.Cut() // what there was of connections ends
	<-time.After(time.Second)
	certs.Renew(t)
	c.Members[0].Restart(t)
	c.WaitReady(t)
	c.Members[0].Link.Mend()
	<-time.After(20 * time.Second)
	settled(t, holder)
	settled(t, waiter)
	release(t, holder)
	await(t, waiter, backend.Granted, 10*time.Second)
	if _, _, err := openStore(t, c, with).Settings(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFilesThatAreBeingReplacedAreReadWhole(t *testing.T) {
	certs, others := etcdtest.NewCerts(t), etcdtest.NewCerts(t)
	o := Options{Endpoints: []string{"https://localhost"}, Username: "u", PasswordFile: fileWith(t, "word")}
	o.TLS.CA, o.TLS.Cert, o.TLS.Key = certs.CA, certs.ClientCert, certs.ClientKey
	files, err := readCredentials(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	was := fmt.Sprint(files.newTLS().Certificates[0].Certificate)
	for _, file := range []string{o.TLS.CA, o.TLS.Cert, o.TLS.Key, o.PasswordFile} {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string]string{"empty": "", "half": string(whole[:len(whole)/2]), "gone": "-"} {
			if name == "half" && file == o.PasswordFile {
				continue // nobody can tell
			}
			put(t, file, content)
			if name == "gone" {
				os.Remove(file)
			}
			if got := fmt.Sprint(files.newTLS().Certificates[0].Certificate); got != was || files.newPassword() != "word" {
				t.Errorf("%s %s: other credentials than before", filepath.Base(file), name)
			}
		}
		put(t, file, string(whole))
	}
	key, err := os.ReadFile(others.ClientKey)
	if err != nil {
		t.Fatal(err)
	}
	put(t, o.TLS.Key, string(key)) // the key is there before its certificate
	if got := fmt.Sprint(files.newTLS().Certificates[0].Certificate); got != was {
		t.Error("the pair is another before both are replaced")
	}
	cert, err := os.ReadFile(others.ClientCert)
	if err != nil {
		t.Fatal(err)
	}
	put(t, o.TLS.Cert, string(cert))
	if got := fmt.Sprint(files.newTLS().Certificates[0].Certificate); got == was {
		t.Error("the pair is the old one after both were replaced")
	}
}
