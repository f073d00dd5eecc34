// Package serve is the web page of limit, and what it shows as JSON and as OpenMetrics, over HTTP. What there is to be
// shown comes from the caller, as Views; this package has the page, the way of events to it, and the checks of who may
// ask for what.
//
// # Who may look, and who may change
//
// A browser on this machine may be on a hostile page, which can send requests here. So every request has to name a
// host that no stranger's DNS can point here (an address, localhost, this machine's name, or one of Options.Hosts), and
// what is answered may be read by pages of this origin alone. Changes besides need Options.Token, as a cookie that
// pages of other sites cannot have sent (SameSite) or as a bearer token, the Origin of this very page, and JSON.
package serve

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// View answers a request with what is to be encoded as JSON. An error that is a *Fault has a status of its own; others
// are 500.
type View func(r *http.Request) (any, error)

// Options say what is served. The functions may be called by several goroutines at once.
type Options struct {
	Views   map[string]View             // that only look, by pattern of package http: "GET /api/v1/status"
	Changes map[string]View             // that change something
	Raw     map[string]http.HandlerFunc // that only look, and write their answer themselves

	// of now, for the readers of events; nil: metrics alone are served
	Status  func(context.Context) (any, error)
	Follow  func(context.Context) (<-chan struct{}, error) // backend.Backend.Changes
	Metrics func(context.Context) (string, error)          // OpenMetrics text

	Token string   // what changes need; "": none are allowed
	Hosts []string // further names of this machine, with which it may be asked
	Proxy bool     // what listens is reached through a proxy alone, which says who asks: any host is right
	TLS   bool     // the connections are encrypted
}

// Fault is an error with the HTTP status that says what kind it is.
type Fault struct {
	Status int
	Err    error
}

func (f *Fault) Error() string { return f.Err.Error() }
func (f *Fault) Unwrap() error { return f.Err }

// Faultf is a Fault.
func Faultf(status int, format string, args ...any) error {
	return &Fault{Status: status, Err: fmt.Errorf(format, args...)}
}

// Bounds of what a client may cost.
const (
	headTimeout    = 5 * time.Second  // to send the head of a request
	requestTimeout = 10 * time.Second // to send a request
	idleTimeout    = 2 * time.Minute
	answerTimeout  = 30 * time.Second // to take an answer; a stream, each of its parts
	maxHead        = 16 << 10
	maxBody        = 64 << 10
	endTimeout     = 2 * time.Second // for the answers under way at the end
	lookTimeout    = 8 * time.Second // of a view: Prometheus gives a scrape up after 10 s
)

//go:embed page
var pageFiles embed.FS

//go:embed monitoring/dashboard.json monitoring/alerts.yaml
var monitoring embed.FS

// Monitoring is what others need to watch the metrics: the dashboard of Grafana, or the alerts of Prometheus.
func Monitoring(what string) (text []byte, ok bool) {
	file := map[string]string{"dashboard": "monitoring/dashboard.json", "alerts": "monitoring/alerts.yaml"}[what]
	text, err := monitoring.ReadFile(file)
	return text, err == nil
}

// Serve serves until ctx ends. Streams are ended then, other answers under way are finished.
func Serve(ctx context.Context, l net.Listener, o Options) error {
	s := &server{o: o, hub: newHub(o.Status, o.Follow), ending: ctx}
	handler, err := s.handler()
	if err != nil {
		return err
	}
	h := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHead,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // what clients do wrong they are told
	}
	ended := make(chan error, 1)
	go func() { ended <- h.Serve(l) }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		closing, stop := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer stop()
		if h.Shutdown(closing) != nil {
			h.Close()
		}
		err = <-ended
	}
	s.hub.wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving: %w", err)
}

// stream lets a handler whose answer has no end of its own end with the server.
func (s *server) stream(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(s.ending, cancel)()
		handle(w, r.WithContext(ctx))
	}
}

// TLS makes connections of a listener encrypted, with a certificate and key whose files are read again for each: they
// may be renewed.
func TLS(l net.Listener, certificate, key string) (net.Listener, error) {
	read := func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", certificate, key, err)
		}
		return &pair, nil
	}
	if _, err := read(); err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return read() }}), nil
}

type server struct {
	o      Options
	hub    *hub
	ending context.Context // of Serve
}

// handler is everything, behind the checks that all requests have to pass.
func (s *server) handler() (http.Handler, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok\n") })
	if s.o.Status == nil { // metrics are all there is
		mux.HandleFunc("GET /{$}", s.metrics)
		return s.checked(mux), nil
	}
	for pattern, view := range s.o.Views {
		mux.HandleFunc(pattern, s.look(view))
	}
	for pattern, view := range s.o.Changes {
		mux.HandleFunc(pattern, s.change(view))
	}
	for pattern, raw := range s.o.Raw {
		mux.HandleFunc(pattern, s.stream(raw))
	}
	mux.HandleFunc("GET /api/v1/events", s.stream(s.hub.serve))
	mux.HandleFunc("GET /readyz", s.ready)
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		return nil, err
	}
	names, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := s.file(mux, files, name.Name()); err != nil {
			return nil, err
		}
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		Fail(w, Faultf(http.StatusNotFound,
			"there is no %s here; the page is at /, the API at /api/v1/status and others",
			r.URL.Path))
	})
	return s.checked(mux), nil
}

// policy is what the page may load: its own files.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// checked lets in requests for a host that is this one.
func (s *server) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		head.Set("Cache-Control", "no-store")
		if !s.hostIsOurs(r.Host) {
			Fail(w, Faultf(http.StatusMisdirectedRequest,
				"this is not %q; if it is to be, start limit serve with --host NAME",
				r.Host))
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// hostIsOurs reports whether a request for a host may be answered: no other site's name may lead here.
func (s *server) hostIsOurs(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.ToLower(strings.Trim(name, "[]"))
	own, _ := os.Hostname()
	return s.o.Proxy || net.ParseIP(name) != nil || name == "localhost" || own != "" && name == strings.ToLower(own) ||
		slices.Contains(s.o.Hosts, name)
}

// file serves one file of the page; index.html is at / and takes the token of a link.
func (s *server) file(mux *http.ServeMux, files fs.FS, name string) error {
	content, err := fs.ReadFile(files, name)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	kind := mime.TypeByExtension(path.Ext(name))
	if path.Ext(name) == ".js" {
		kind = "text/javascript; charset=utf-8" // whatever this machine's tables say
	}
	serve := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Type", kind)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Write(content) // a client that is gone is no concern
	}
	if name != "index.html" {
		mux.HandleFunc("GET /"+name, serve)
		return nil
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("token") {
			s.login(w, r)
			return
		}
		serve(w, r)
	})
	return nil
}

// login turns the token of a link into a cookie.
func (s *server) login(w http.ResponseWriter, r *http.Request) {
	if !s.isToken(r.URL.Query().Get("token")) {
		Fail(w, Faultf(http.StatusForbidden,
			"this link is of another run of limit serve, which prints a new one each time"))
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName(r), Value: s.o.Token, Path: "/", HttpOnly: true,
		SameSite: http.SameSiteStrictMode, Secure: s.o.TLS})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// cookieName has the port: browsers give cookies of a host to all of its ports.
func cookieName(r *http.Request) string {
	_, port, _ := net.SplitHostPort(r.Host)
	return "limit-serve-" + port
}

func (s *server) isToken(given string) bool {
	return s.o.Token != "" && subtle.ConstantTimeCompare([]byte(given), []byte(s.o.Token)) == 1
}

// mayChange reports whether a request has the token.
func (s *server) mayChange(r *http.Request) bool {
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return s.isToken(bearer)
	}
	cookie, err := r.Cookie(cookieName(r))
	return err == nil && s.isToken(cookie.Value)
}

type changing struct{}

// MayChange reports whether the client of a View may change something.
func MayChange(ctx context.Context) bool { return ctx.Value(changing{}) != nil }

// look answers with what a view shows.
func (s *server) look(view View) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && !isJSON(r) {
			Fail(w, errNotJSON)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), lookTimeout)
		defer cancel()
		if s.mayChange(r) {
			ctx = context.WithValue(ctx, changing{}, true)
		}
		answer(w, r.WithContext(ctx), view)
	}
}

// change answers with what a view has changed, for those who may.
func (s *server) change(view View) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.o.Token == "":
			Fail(w, Faultf(http.StatusForbidden, "nothing can be changed here; start limit serve with --allow-changes"))
		case r.Header.Get("Origin") == "" && r.Header.Get("Authorization") == "":
			Fail(w, Faultf(http.StatusUnauthorized,
				"send the token that limit serve has printed: Authorization: Bearer TOKEN"))
		case !s.fromHere(r):
			Fail(w, Faultf(http.StatusForbidden,
				"this comes from a page of %s; only the page of %s may change something",
				r.Header.Get("Origin"), r.Host))
		case !s.mayChange(r):
			Fail(w, Faultf(http.StatusUnauthorized, "open the link that limit serve has printed, or send its token: "+
				"Authorization: Bearer TOKEN"))
		case !isJSON(r):
			Fail(w, errNotJSON)
		default:
			answer(w, r, view)
		}
	}
}

// errNotJSON answers what a form of another site could send.
var errNotJSON = Faultf(http.StatusUnsupportedMediaType, "the body has to be application/json")

func isJSON(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind == "application/json"
}

// fromHere reports whether a request comes from the page of this server, or from a program, which has no page.
func (s *server) fromHere(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	scheme, host, _ := strings.Cut(origin, "://")
	return host == r.Host && (s.o.Proxy || scheme == map[bool]string{true: "https", false: "http"}[s.o.TLS])
}

func answer(w http.ResponseWriter, r *http.Request, view View) {
	value, err := view(r)
	if err != nil {
		Fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value) // a client that is gone is no concern
}

// Fail answers with an error, and the status that it has.
func Fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var fault *Fault
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &fault):
		status = fault.Status
	case errors.As(err, &large):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}

// Body reads the JSON of a request. Fields that are not known are refused.
func Body(r *http.Request, into any) error {
	in := json.NewDecoder(r.Body)
	in.DisallowUnknownFields()
	err := in.Decode(into)
	if err == nil && in.More() {
		err = errors.New("there is more than one value")
	}
	var large *http.MaxBytesError
	if err != nil && !errors.As(err, &large) {
		return Faultf(http.StatusBadRequest, "the body: %w", err)
	}
	return err
}

func (s *server) metrics(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), lookTimeout)
	defer cancel()
	text, err := s.o.Metrics(ctx)
	if err != nil {
		Fail(w, err)
		return
	}
	kind := "application/openmetrics-text; version=1.0.0; charset=utf-8"
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "text/plain") &&
		!strings.Contains(accept, "openmetrics-text") {
		kind = "text/plain; version=0.0.4; charset=utf-8"
	}
	w.Header().Set("Content-Type", kind)
	io.WriteString(w, text)
}

// ready reports whether the store answers.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), lookTimeout)
	defer cancel()
	if _, err := s.o.Status(ctx); err != nil {
		Fail(w, Faultf(http.StatusServiceUnavailable, "the store does not answer: %w", err))
		return
	}
	io.WriteString(w, "ok\n")
}
