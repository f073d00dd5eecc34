package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// served runs Serve until stop is called.
func served(t *testing.T, o Options) (url string, stop func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, listener, o) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		done <- nil
	}
	t.Cleanup(stop)
	return "http://" + listener.Addr().String(), stop
}

// state is a store for tests: its state is a number, which counts the looks at it.
type state struct {
	looks   atomic.Int64
	changes chan struct{}
	fails   atomic.Bool
}

func newState() *state { return &state{changes: make(chan struct{}, 1)} }

func (s *state) options() Options {
	return Options{
		Status: func(context.Context) (any, error) {
			if s.fails.Load() {
				return nil, errors.New("no store")
			}
			return map[string]int64{"looks": s.looks.Add(1)}, nil
		},
		Follow: func(ctx context.Context) (<-chan struct{}, error) {
			out := make(chan struct{}, 1)
			out <- struct{}{}
			go func() {
				defer close(out)
				for {
					select {
					case <-s.changes:
						out <- struct{}{}
					case <-ctx.Done():
						return
					}
				}
			}()
			return out, nil
		},
		Metrics: func(context.Context) (string, error) {
			if s.fails.Load() {
				return "", errors.New("no state")
			}
			return "limit_up 1\n# EOF\n", nil
		},
		Views: map[string]View{"POST /api/v1/simulate": func(*http.Request) (any, error) { return true, nil },
			"GET /api/v1/me": func(r *http.Request) (any, error) { return MayChange(r.Context()), nil }},
		Changes: map[string]View{"POST /api/v1/limits": func(r *http.Request) (any, error) {
			var body struct{ Limit int }
			err := Body(r, &body)
			return body.Limit, err
		}},
	}
}

// ask sends a request with headers, NAME: VALUE each, and returns the status and the body.
func ask(t *testing.T, method, url, body string, headers ...string) (int, string, *http.Response) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, given := strings.Cut(h, ": ")
		if !given {
			continue
		}
		if r.Header.Set(name, value); name == "Host" {
			r.Host = value
		}
	}
	client := &http.Client{Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text)), resp
}

func TestAChangeNeedsTheTokenAndComesFromThisPageAlone(t *testing.T) {
	o := newState().options()
	o.Token = "secret"
	url, _ := served(t, o)
	host := strings.TrimPrefix(url, "http://")
	_, port, _ := net.SplitHostPort(host)
	cookie := "Cookie: limit-serve-" + port + "="
	const kind, right = "Content-Type: application/json", `{"limit": 3}`
	for _, c := range []struct {
		about   string
		body    string
		headers []string
		status  int
		says    string
	}{
		{"the page with its cookie", right, []string{kind, cookie + "secret", "Origin: " + url}, 200, "3"},
		{"a program with the token", right, []string{kind, "Authorization: Bearer secret"}, 200, "3"},
		{"no token", right, []string{kind, "Origin: " + url}, 401, "open the link"},
		{"another token", right, []string{kind, cookie + "secreT", "Origin: " + url}, 401, "open the link"},
		{"another bearer", right, []string{kind, "Authorization: Bearer x"}, 401, "open the link"},
		{"a page of another site", right, []string{kind, cookie + "secret", "Origin: http://evil.example"}, 403,
			"evil.example"},
		{"a page of another port", right, []string{kind, cookie + "secret", "Origin: http://127.0.0.1:1"}, 403, ""},
		{"a page of another scheme", right, []string{kind, cookie + "secret", "Origin: https://" + host}, 403, ""},
		{"a file", right, []string{kind, cookie + "secret", "Origin: null"}, 403, ""},
		{"a form of another site", "limit=3", []string{"Content-Type: application/x-www-form-urlencoded",
			cookie + "secret", "Origin: http://evil.example"}, 403, ""},
		{"a page that the browser knows to be of another site", right,
			[]string{kind, cookie + "secret", "Origin: " + url,
				"Sec-Fetch-Site: cross-site"}, 403, ""},
		{"a cookie without an origin", right, []string{kind, cookie + "secret"}, 401, "Authorization"},
		{"nothing at all", right, []string{kind}, 401, "Authorization"},
		{"text", right, []string{"Content-Type: text/plain", cookie + "secret", "Origin: " + url}, 415,
			"application/json"},
		{"no kind", right, []string{cookie + "secret", "Origin: " + url}, 415, ""},
		{"a field that is not known", `{"limits": 3}`, []string{kind, "Authorization: Bearer secret"}, 400, "limits"},
		{"no JSON", `{`, []string{kind, "Authorization: Bearer secret"}, 400, "body"},
		{"two values", `{} {}`, []string{kind, "Authorization: Bearer secret"}, 400, "more than one"},
		{"a large body", `{"limit": "` + strings.Repeat("x", maxBody) + `"}`,
			[]string{kind, "Authorization: Bearer secret"}, 413, ""},
		{"another host", right, []string{kind, "Authorization: Bearer secret", "Host: evil.example:" + port}, 421,
			"--host"},
	} {
		status, text, _ := ask(t, "POST", url+"/api/v1/limits", c.body, c.headers...)
		if status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s, want %d with %q", c.about, status, text, c.status, c.says)
		}
	}
	for kind, want := range map[string]int{"text/plain": 415, "application/json": 200} {
		if status, text, _ := ask(t, "POST", url+"/api/v1/simulate", "{}", "Content-Type: "+kind); status != want {
			t.Errorf("a view with a body of %s: %d %s", kind, status, text)
		}
	}
	if status, text, _ := ask(t, "GET", url+"/api/v1/limits", ""); status != 404 && status != 405 {
		t.Errorf("a GET of a change: %d %s", status, text)
	}
}

func TestNothingIsChangedWithoutAllowance(t *testing.T) {
	url, _ := served(t, newState().options())
	for _, token := range []string{"", "x"} {
		status, text, _ := ask(t, "POST", url+"/api/v1/limits", `{"limit": 3}`, "Content-Type: application/json",
			"Authorization: Bearer "+token)
		if status != 403 || !strings.Contains(text, "--allow-changes") {
			t.Errorf("token %q: %d %s", token, status, text)
		}
	}
	if status, _, _ := ask(t, "GET", url+"/?token=", ""); status != 403 {
		t.Errorf("a link with an empty token: %d", status)
	}
}

func TestALinkMakesACookieThatScriptsAndOtherSitesDoNotHave(t *testing.T) {
	o := newState().options()
	o.Token = "secret"
	url, _ := served(t, o)
	status, _, resp := ask(t, "GET", url+"/?token=secret", "")
	if status != 303 || resp.Header.Get("Location") != "/" || len(resp.Cookies()) != 1 {
		t.Fatalf("the link: %d %v", status, resp.Header)
	}
	c := resp.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure {
		t.Errorf("the cookie is %v", c)
	}
	for header, want := range map[string]string{"": "false", "Cookie: " + c.Name + "=secret": "true"} {
		if _, text, _ := ask(t, "GET", url+"/api/v1/me", "", header); text != want {
			t.Errorf("with %q the client may change something: %s", header, text)
		}
	}
	if status, text, _ := ask(t, "GET", url+"/?token=other", ""); status != 403 {
		t.Errorf("another token: %d %s", status, text)
	}
}

func TestOnlyThisMachinesNamesAreAnswered(t *testing.T) {
	o := newState().options()
	o.Hosts = []string{"limit.example.com"}
	url, _ := served(t, o)
	for host, status := range map[string]int{
		"localhost": 200, "LOCALHOST:1": 200, "127.0.0.1:99": 200, "[::1]:99": 200, "10.1.2.3": 200,
		"limit.example.com": 200, "limit.example.com:443": 200,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "xlimit.example.com": 421,
	} {
		if got, text, resp := ask(t, "GET", url+"/api/v1/me", "", "Host: "+host); got != status {
			t.Errorf("host %s: %d %s, want %d", host, got, text, status)
		} else if csp := resp.Header.Get("Content-Security-Policy"); csp != policy {
			t.Errorf("host %s: the policy is %q", host, csp)
		}
	}
}

func TestScrapesAreAnsweredAsHTTPHasIt(t *testing.T) {
	s := newState()
	o := Options{Metrics: s.options().Metrics, Proxy: true}
	url, _ := served(t, o)
	for _, c := range []struct {
		method, path string
		fail         bool
		code         int
		body         string
	}{
		{"GET", "/metrics", false, 200, "limit_up 1\n# EOF"},
		{"GET", "/metrics?x=1", false, 200, "limit_up 1\n# EOF"},
		{"GET", "/", false, 200, "limit_up 1\n# EOF"},
		{"HEAD", "/metrics", false, 200, ""},
		{"POST", "/metrics", false, 405, "Method Not Allowed"},
		{"GET", "/other", false, 404, "404 page not found"},
		{"GET", "/metrics", true, 500, `{"error":"no state"}`},
	} {
		s.fails.Store(c.fail)
		code, body, resp := ask(t, c.method, url+c.path, "", "Host: scraped.example:9100")
		if code != c.code || body != c.body {
			t.Errorf("%+v: %d %q", c, code, body)
		}
		if kind := resp.Header.Get("Content-Type"); c.code == 200 &&
			kind != "application/openmetrics-text; version=1.0.0; charset=utf-8" {
			t.Errorf("%+v: content type %s", c, kind)
		}
	}
	for _, raw := range []string{"\r\n\r\n", "GET /metrics\r\n\r\n", "GET /metrics HTTP/1.1\r\nX: " +
		strings.Repeat("x", 4*maxHead), "\x16\x03\x01 \x00 \x00\r\n\r\n"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, raw)
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) && len(answer) > 0 { // what is reset had sent too much
			t.Errorf("%.20q is answered %.40q", raw, answer)
		}
	}
}

func TestServingEndsThoughAClientSaysNothingAndAScrapeIsUnderWay(t *testing.T) {
	scraping, finish := make(chan struct{}), make(chan struct{})
	url, stop := served(t, Options{Metrics: func(context.Context) (string, error) {
		close(scraping)
		<-finish
		return "# EOF\n", nil
	}})
	silent, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	answered := make(chan string, 1)
	go func() {
		resp, err := http.Get(url + "/metrics")
		if err != nil {
			answered <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answered <- string(body)
	}()
	<-scraping
	time.AfterFunc(50*time.Millisecond, func() { close(finish) })
	stop()
	if body := <-answered; body != "# EOF\n" {
		t.Errorf("the scrape under way got %q", body)
	}
}

// follow reads events until stop.
type reader struct {
	t    *testing.T
	in   *bufio.Reader
	body io.Closer
}

func newReader(t *testing.T, url string) *reader {
	t.Helper()
	resp, err := http.Get(url + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("content type %s, status %s", kind, resp.Status)
	}
	return &reader{t, bufio.NewReader(resp.Body), resp.Body}
}

// next is the next event: its name and its data.
func (r *reader) next() (name, data string) {
	r.t.Helper()
	for {
		line, err := r.in.ReadString('\n')
		if err != nil {
			r.t.Fatalf("reading events: %v", err)
		}
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "event: "); ok {
			name = rest
		}
		if rest, ok := strings.CutPrefix(line, "data: "); ok {
			return name, rest
		}
	}
}

func TestAHundredReadersCostOneLookForEachChange(t *testing.T) {
	s := newState()
	url, _ := served(t, s.options())
	readers := make([]*reader, 100)
	for i := range readers {
		readers[i] = newReader(t, url)
		if name, data := readers[i].next(); name != "status" || data != `{"looks":1}` {
			t.Fatalf("reader %d is told %s %s", i, name, data)
		}
	}
	for change := 2; change < 5; change++ {
		s.changes <- struct{}{}
		for i, r := range readers {
			if _, data := r.next(); data != fmt.Sprintf(`{"looks":%d}`, change) {
				t.Fatalf("reader %d is told %s after change %d", i, data, change-1)
			}
		}
	}
}

func TestReadersAreToldThatTheStoreDoesNotAnswerAndThatItDoesAgain(t *testing.T) {
	s := newState()
	url, _ := served(t, s.options())
	r := newReader(t, url)
	r.next()
	s.fails.Store(true)
	s.changes <- struct{}{}
	if name, data := r.next(); name != "unreachable" || data != `{"error":"no store"}` {
		t.Errorf("they are told %s %s", name, data)
	}
	if status, text, _ := ask(t, "GET", url+"/readyz", ""); status != 503 {
		t.Errorf("it is ready: %d %s", status, text)
	}
	s.fails.Store(false)
	for name := ""; name != "status"; name, _ = r.next() {
	}
	if status, _, _ := ask(t, "GET", url+"/readyz", ""); status != 200 {
		t.Errorf("it is not ready again: %d", status)
	}
}

func TestNobodyLooksAtTheStoreForNobody(t *testing.T) {
	s := newState()
	url, stop := served(t, s.options())
	r := newReader(t, url)
	r.next()
	stop() // ends the stream
	if _, err := io.Copy(io.Discard, r.in); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ends with %v", err)
	}
}

func TestThePageIsAskedForOnce(t *testing.T) {
	url, _ := served(t, newState().options())
	for _, file := range []string{"/", "/app.js", "/app.css"} {
		status, _, resp := ask(t, "GET", url+file, "")
		etag := resp.Header.Get("ETag")
		if status != 200 || etag == "" {
			t.Errorf("%s: %d, ETag %q", file, status, etag)
		}
		if status, _, _ := ask(t, "GET", url+file, "", "If-None-Match: "+etag); status != 304 {
			t.Errorf("%s again: %d", file, status)
		}
	}
}
