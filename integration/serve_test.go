package integration

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"limit/integration/etcdtest"
	"limit/integration/until"
)

// serve starts limit serve, and returns where it is, and the link with the token where changes are allowed.
func (w *world) serve(flags ...string) (url, link string) {
	w.t.Helper()
	cmd := w.command(append([]string{"serve", "--listen", "0"}, flags...)...)
	log, err := os.Create(filepath.Join(w.dir, "log-serve"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	w.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
		if code := status(cmd.ProcessState); code != 0 {
			said, _ := os.ReadFile(log.Name())
			w.t.Errorf("limit serve exits %d: %s", code, said)
		}
	})
	w.until("limit serve says where", func() bool {
		said, _ := os.ReadFile(log.Name())
		url = regexp.MustCompile(`serving (http://\S+)/`).FindString(string(said))
		link = regexp.MustCompile(`http://\S+token=\S+`).FindString(string(said))
		return url != "" && (link != "" || len(flags) == 0)
	})
	return strings.TrimSuffix(strings.TrimPrefix(url, "serving "), "/"), link
}

// tab is a page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// watched collects in a page what goes wrong in it.
const watched = `window.faults = [];
addEventListener("error", e => faults.push(e.message));
addEventListener("unhandledrejection", e => faults.push(String(e.reason)));
addEventListener("securitypolicyviolation", e => faults.push(e.violatedDirective + " forbids " + e.blockedURI));`

// browser starts one with a page open, in a colour scheme. Where there is none the test is skipped.
func browser(t *testing.T, url, scheme string) *tab {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("NO BROWSER: chromium is not installed; apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.UserDataDir(t.TempDir()))
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(options...))
	b := &tab{t: t, ctx: ctx}
	t.Cleanup(func() {
		if !t.Failed() {
			if faults := b.is("faults.join()"); faults != "" {
				t.Errorf("in the page: %s", faults)
			}
		}
		chromedp.Cancel(ctx)
		cancel()
	})
	// the context of the first call is the browser's
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia,
		emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	if err == nil {
		_, err = chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument,
			page.AddScriptToEvaluateOnNewDocumentParams{Source: watched})
	}
	if err != nil {
		t.Fatal(err)
	}
	b.do("opening "+url, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(url))
	return b
}

func (b *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// is evaluates an expression, or awaits it.
func (b *tab) is(expression string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx,
		chromedp.Evaluate[string]("(async () => String("+expression+"))()", chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// sees waits until an expression of JavaScript is true.
func (b *tab) sees(what, expression string) {
	b.t.Helper()
	if !until.Within(patience, func() bool { return b.is("Boolean("+expression+")") == "true" }) {
		b.t.Fatalf("it never came true that %s; the page shows\n%s", what, b.is("document.body.innerText"))
	}
}

// shows waits until the page has a text.
func (b *tab) shows(text string) {
	b.t.Helper()
	b.sees(fmt.Sprintf("%q is shown", text), fmt.Sprintf("document.body.innerText.includes(%q)", text))
}

// press clicks the button with that text, in what a selector finds.
func (b *tab) press(in, text string) {
	b.t.Helper()
	button := fmt.Sprintf(`[...document.querySelectorAll(%q)].find(e => e.textContent === %q && !e.disabled)`,
		in+" button", text)
	b.sees("the button "+text+" is there", button)
	b.is(button + ".click()")
}

// fill writes into the field of the dialog with a label.
func (b *tab) fill(label, value string) {
	b.t.Helper()
	b.enter(fmt.Sprintf(`[...document.querySelectorAll("dialog label")]`+
		`.find(e => e.textContent.startsWith(%q)).querySelector("input")`, label), value)
}

// enter writes into the field that an expression finds.
func (b *tab) enter(field, value string) {
	b.t.Helper()
	b.is(fmt.Sprintf(`(() => { const e = %s; e.value = %q; `+
		`e.dispatchEvent(new Event("input", {bubbles: true})); })()`, field, value))
}

// shot keeps a picture of the page for people, where LIMIT_SHOTS names a directory.
func (b *tab) shot(name string, width, height int64) {
	dir := os.Getenv("LIMIT_SHOTS")
	if dir == "" {
		return
	}
	b.do("sizing the page", chromedp.EmulateViewport(width, height))
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600)
	}
	if err != nil {
		b.t.Error(err)
	}
	b.do("sizing the page", chromedp.EmulateViewport(1280, 900))
}

const hostile = `<img src=x onerror=document.title='hit'>"&amp;`

// A page follows what other processes do, and steers them; both stores, both colour schemes.
func TestThePageFollowsTheStoreAndSteersIt(t *testing.T) {
	backgrounds := map[string]string{}
	for scheme, test := range map[string]func(*testing.T, func(*world)){
		"light": func(t *testing.T, in func(*world)) { in(newWorld(t)) },
		"dark":  func(t *testing.T, in func(*world)) { in(newEtcdWorld(t)) },
	} {
		t.Run(scheme, func(t *testing.T) {
			test(t, func(w *world) { backgrounds[scheme] = pageFollowsAndSteers(t, w, scheme) })
		})
	}
	if len(backgrounds) == 2 && backgrounds["light"] == backgrounds["dark"] {
		t.Errorf("both schemes have the background %q", backgrounds["light"])
	}
}

func pageFollowsAndSteers(t *testing.T, w *world, scheme string) (background string) {
	w.must("pool", "set", "db", "1")
	w.must("pool", "set", "free", "unlimited")
	holder := w.hold("holder", "--pool", "db", "--tag", "team=<b>data")
	first := w.start("first", "", "--name", hostile, "--pool", "db")
	w.until("the first waits", func() bool { return slices.Contains(w.waiting(), hostile) })
	_, link := w.serve("--allow-changes")
	b := browser(t, link, scheme)
	b.shows("holder")
	b.shows(hostile)
	b.shows("pool:db 1/1 full, held by holder")
	if n := b.is(`document.querySelectorAll("main img, main b").length + document.title`); strings.HasPrefix(n, "1") ||
		strings.Contains(n, "hit") {
		t.Errorf("texts of others have become elements: %s", n)
	}
	b.shot("now-"+scheme, 1280, 900)
	b.shot("now-narrow-"+scheme, 390, 844)

	second := w.queue("second", "--pool", "db")
	b.shows("second")
	b.press(".waiting .row:last-child", "Priority")
	b.fill("higher comes first", "7")
	b.shows("gets the priority 7 in place of 0")
	b.shot("bump-"+scheme, 1280, 900)
	b.press("dialog", "Change the priority")
	b.shows("priority 7")
	closed := func() { b.sees("the dialog is closed", `!document.querySelector("dialog").open`) }
	closed()
	b.sees("the second is the first", `document.querySelector(".waiting .row").textContent.includes("second")`)
	if first := w.waiting()[0]; first != "second" {
		t.Errorf("the store has %s before the others", first)
	}

	b.press(".waiting .row:first-child", "Cancel")
	b.fill("reason", "not needed")
	b.shows("leaves with exit status 75")
	b.press("dialog", "Cancel the claim")
	second.ends(75)
	if said := second.said(); !strings.Contains(said, "not needed") || !strings.Contains(said, "with limit serve") {
		t.Errorf("the cancelled one says %q", said)
	}

	closed()
	b.press(".limits tr:nth-child(2)", "Change")
	b.fill("limit, or unlimited", "2")
	b.shows("pool:db 1 → 2")
	b.shot("limit-"+scheme, 1280, 900)
	b.press("dialog", "Change the limit")
	w.until("the waiting one runs", func() bool { return len(w.running()) == 2 })
	if history := w.must("history"); !strings.Contains(history, "pool:db 1 → 2") ||
		!strings.Contains(history, "changed (with limit serve)") {
		t.Errorf("the history does not say who has changed the limit:\n%s", history)
	}
	holder.finish(0)
	first.finish(0)
	b.shows("Nobody holds a slot.")

	b.is(`location.hash = "since"`)
	b.sees("the chart of the pool is there", `document.querySelectorAll("figure svg path").length >= 4`)
	b.shows("changed (with limit serve)")
	b.shot("since-"+scheme, 1280, 900)
	b.shot("since-narrow-"+scheme, 390, 844)
	b.is(`location.hash = "what-if"`)
	b.shows("replayed as now")
	b.enter(`document.querySelectorAll("input[type=range]")[1]`, "5")
	b.shows("pool:db 2 → 5")
	b.shot("what-if-"+scheme, 1280, 900)
	if err := os.WriteFile(filepath.Join(w.dir, "dag.yaml"),
		[]byte("steps:\n  one: {run: echo printed by one}\n  two: {run: exit 3, needs: one}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.limit("dag", "run", "-q", "dag.yaml")
	b.is(`location.hash = "dags"`)
	b.shows("failed")
	b.is(`document.querySelector("main a").click()`)
	b.shows("exit 3")
	b.is(`[...document.querySelectorAll("main a")].find(e => e.textContent === "log").click()`)
	b.shows("printed by one")
	b.shot("dag-"+scheme, 1280, 900)
	return b.is(`getComputedStyle(document.body).backgroundColor`)
}

// Without the link a page shows the same, and cannot change it; nor can anybody else.
func TestWithoutTheLinkThePageOnlyShows(t *testing.T) {
	w := newWorld(t)
	w.must("pool", "set", "db", "1")
	holder := w.hold("holder", "--pool", "db")
	url, _ := w.serve("--allow-changes")
	b := browser(t, url, "light")
	b.shows("holder")
	if n := b.is(`document.querySelectorAll("main button").length`); n != "0" {
		t.Errorf("there are %s buttons", n)
	}
	status := b.is(`await fetch("/api/v1/limits", {method: "POST", body: "{}", ` +
		`headers: {"Content-Type": "application/json"}}).then(r => r.status)`)
	if status != "401" {
		t.Errorf("a change without the token is answered %s", status)
	}
	for _, path := range []string{"/dags/none", "/api/v1/why/none", "/api/v1/history?limit=x",
		"/api/v1/stats?since=soon"} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode/100 != 4 || !strings.Contains(string(text), `"error":`) {
			t.Errorf("%s: %s %s", path, resp.Status, text)
		}
	}
	holder.finish(0)
	b.shows("Nobody holds a slot.")
}

// What hide_commands hides is in nothing that is served.
func TestWhatIsHiddenIsNotServed(t *testing.T) {
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.dir, "limit.yaml"),
		[]byte("concurrency: {hide_commands: true, pools: {limits: {db: 1}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must("apply")
	stop := filepath.Join(w.dir, "stop")
	cmd := w.command("run", "-q", "--pool", "db", "--", "sh", "-c",
		"while [ ! -e "+stop+" ]; do sleep 0.1; done # s3cret")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, _ := w.serve()
	w.until("it holds", func() bool { return len(w.status().Held) == 1 })
	paths := []string{"/", "/api/v1/status", "/api/v1/stats", "/api/v1/history", "/api/v1/series", "/metrics"}
	paths = append(paths, "/api/v1/why/"+w.status().Held[0].ID)
	for _, path := range paths {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || strings.Contains(string(text), "s3cret") {
			t.Errorf("%s: %s\n%s", path, resp.Status, text)
		}
	}
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// A proxy speaks to a socket, others to an encrypted port; systemd is told when it listens.
func TestServingThroughASocketAndWithACertificate(t *testing.T) {
	w := newWorld(t)
	notified, err := net.ListenUnixgram("unixgram",
		&net.UnixAddr{Name: filepath.Join(w.dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer notified.Close()
	certs := etcdtest.NewCerts(t)
	socket := filepath.Join(w.dir, "serve.sock")
	for about, c := range map[string]struct {
		flags []string
		url   func(said string) string
		dial  *http.Transport
	}{
		"socket": {[]string{"--listen", "unix:" + socket}, func(string) string { return "http://proxied.example" },
			&http.Transport{DialContext: func(context.Context, string, string) (net.Conn,
				error) {
				return net.Dial("unix", socket)
			}}},
		"certificate": {[]string{"--listen", "0", "--tls-cert", certs.ServerCert, "--tls-key", certs.ServerKey},
			func(said string) string { return regexp.MustCompile(`https://127\.0\.0\.1:\d+`).FindString(said) },
			&http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}},
	} {
		log, err := os.Create(filepath.Join(w.dir, "log-"+about))
		if err != nil {
			t.Fatal(err)
		}
		said := func() string {
			text, _ := os.ReadFile(log.Name())
			return string(text)
		}
		cmd := w.command(append([]string{"serve"}, c.flags...)...)
		cmd.Stderr = log
		cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+notified.LocalAddr().String())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		log.Close()
		text := make([]byte, 100)
		notified.SetReadDeadline(time.Now().Add(patience))
		n, err := notified.Read(text)
		if err != nil || string(text[:n]) != "READY=1" {
			t.Fatalf("%s: systemd is told %q, %v", about, text[:n], err)
		}
		resp, err := (&http.Client{Transport: c.dial}).Get(c.url(said()) + "/api/v1/status")
		if err != nil {
			t.Fatalf("%s: %v; it says %s", about, err, said())
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s: %s", about, resp.Status)
		}
		c.dial.CloseIdleConnections()
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: it ends with %v: %s", about, err, said())
		}
		if n, err := notified.Read(text); err != nil || string(text[:n]) != "STOPPING=1" {
			t.Errorf("%s: at the end systemd is told %q, %v", about, text[:n], err)
		}
	}
	for _, bad := range [][]string{{"--tls-cert", "x"}, {"--tls-cert", "x", "--tls-key", "y"}, {"--listen", "nowhere"},
		{"--listen", "unix:" + w.dir}, {"operand"}} {
		if r := w.limit(append([]string{"serve"}, bad...)...); r.code != 125 || r.stderr == "" {
			t.Errorf("%v: exit %d, %q", bad, r.code, r.stderr)
		}
	}
}
