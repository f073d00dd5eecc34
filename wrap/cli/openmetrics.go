package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"limit/wrap"
)

// exposition is OpenMetrics text in the making: metric families one after the other, each of one type.
type exposition struct {
	text   strings.Builder
	family string
}

// gauge begins a family. Its header is written even where no value follows.
func (x *exposition) gauge(name, help string) *exposition {
	x.family = name
	fmt.Fprintf(&x.text, "# TYPE %s gauge\n", name)
	if unit := "seconds"; strings.HasSuffix(name, "_"+unit) {
		fmt.Fprintf(&x.text, "# UNIT %s %s\n", name, unit)
	}
	fmt.Fprintf(&x.text, "# HELP %s %s\n", name, escapeLabel(help))
	return x
}

// value adds one sample of the family; labels are name, value, name, value.
func (x *exposition) value(v float64, labels ...string) *exposition {
	x.text.WriteString(x.family)
	for i := 0; i < len(labels); i += 2 {
		fmt.Fprintf(&x.text, "%c%s=\"%s\"", "{,"[min(i, 1)], labels[i], escapeLabel(labels[i+1]))
	}
	if len(labels) > 0 {
		x.text.WriteByte('}')
	}
	x.text.WriteString(" " + strconv.FormatFloat(v, 'f', -1, 64) + "\n")
	return x
}

// end returns the whole.
func (x *exposition) end() string { return x.text.String() + "# EOF\n" }

// escapeLabel writes a text as the format wants it, in UTF-8. What could steer a terminal is replaced: the format has
// no escape for it.
func escapeLabel(s string) string {
	plain := strings.Map(func(r rune) rune {
		if text := string(r); r != '\n' && wrap.Printable(text) != text {
			return '\uFFFD'
		}
		return r
	}, s)
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(plain)
}

const (
	maxScrapes     = 16              // at once; others wait
	requestTimeout = 5 * time.Second // to send a request, and to take its answer
	maxRequest     = 16 << 10        // bytes of a request's head
)

// serve answers GET /metrics on a listener until ctx ends, then waits for the answers under way. The few lines of HTTP
// that this needs
// are here: net/http would be initialised by every limit run.
func serve(ctx context.Context, listener net.Listener, scrape func(context.Context) (string, error)) error {
	var answering sync.WaitGroup
	defer answering.Wait()
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	defer listener.Close()
	slots := make(chan struct{}, maxScrapes)
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		var temporary interface{ Temporary() bool }
		if errors.As(err, &temporary) && temporary.Temporary() { // out of descriptors, or a client that is gone
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("accepting connections: %w", err)
		}
		slots <- struct{}{}
		answering.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			answer(ctx, conn, scrape)
		})
	}
}

// answer reads one request and answers it.
func answer(ctx context.Context, conn net.Conn, scrape func(context.Context) (string, error)) {
	conn.SetDeadline(time.Now().Add(requestTimeout))
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now()) })
	r := readRequest(conn)
	stop()
	text, kind := "", "text/plain; charset=utf-8"
	switch {
	case r.status != "":
	case r.path != "/metrics" && r.path != "/":
		r.status, text = "404 Not Found", "metrics are at /metrics\n"
	case r.method != "GET" && r.method != "HEAD":
		r.status, text = "405 Method Not Allowed", "use GET\n"
	default:
		body, err := scrape(context.WithoutCancel(ctx))
		r.status, text, kind = "200 OK", body, "application/openmetrics-text; version=1.0.0; charset=utf-8"
		if err != nil {
			r.status, text, kind = "500 Internal Server Error", err.Error()+"\n", "text/plain; charset=utf-8"
		}
	}
	head := fmt.Sprintf("HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", r.status,
		kind, len(text))
	if r.method == "HEAD" {
		text = ""
	}
	conn.SetDeadline(time.Now().Add(requestTimeout))
	io.WriteString(conn, head+text) // a client that is gone is no concern
}

// httpRequest is what of a request's head matters; status is set where it could not be read.
type httpRequest struct{ method, path, status string }

func readRequest(conn io.Reader) httpRequest {
	in := bufio.NewReader(io.LimitReader(conn, maxRequest))
	first, err := in.ReadString('\n')
	for line := first; err == nil && strings.TrimRight(line, "\r\n") != ""; {
		line, err = in.ReadString('\n')
	}
	words := strings.Fields(first)
	if err != nil || len(words) != 3 || !strings.HasPrefix(words[2], "HTTP/1.") {
		return httpRequest{status: "400 Bad Request"}
	}
	path, _, _ := strings.Cut(words[1], "?")
	return httpRequest{method: words[0], path: path}
}
