package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"limit/wrap/serve"
)

// crowd is a status with so many waiters.
func crowd(waiters int) map[string]any {
	now := time.Now().Format(time.RFC3339)
	id := func(i int) string { return fmt.Sprintf("%032d", i) }
	claim := func(i int) map[string]any {
		return map[string]any{"id": id(i), "run_id": id(i), "name": fmt.Sprintf("command-%d", i),
			"command": []string{"x"},
			"pools":   map[string]int{"db": 1}, "tags": map[string]string{}, "priority": 0, "host": "h", "pid": i,
			"user":      "u",
			"queued_at": now, "granted_at": now, "slots": map[string][]int{}, "token": 1, "position": i,
			"blocked_by": []map[string]any{
				{"limit": "pool:db", "used": 1, "capacity": 1, "by": []string{id(0)}, "why": "full"}}}
	}
	waiting := make([]map[string]any, waiters)
	for i := range waiting {
		waiting[i] = claim(i + 1)
	}
	return map[string]any{"namespace": "n", "backend": "b",
		"runs": map[string]any{"limit": nil, "used": 1, "waiting": waiters},
		"pools": []map[string]any{{"name": "db", "limit": 1, "source": "set", "used": 1, "waiting": waiters,
			"rate": nil}},
		"tag_limits": []string{}, "held": []map[string]any{claim(0)}, "waiting": waiting}
}

// Of 2,000 waiters the page has those in sight as elements, also when it is scrolled to the last or looks for one.
func TestThePageOfACrowdHasThoseInSight(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	status := crowd(2000)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- serve.Serve(ctx, listener, serve.Options{
			Status: func(context.Context) (any, error) { return status, nil },
			Follow: func(ctx context.Context) (<-chan struct{}, error) {
				changes := make(chan struct{}, 1)
				changes <- struct{}{}
				context.AfterFunc(ctx, func() { close(changes) })
				return changes, nil
			},
			Metrics: func(context.Context) (string, error) { return "", nil },
			Views: map[string]serve.View{"GET /api/v1/me": func(*http.Request) (any, error) {
				return map[string]bool{"changes": false}, nil
			}},
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	b := browser(t, "http://"+listener.Addr().String(), "dark")
	b.shows("2000, the first for")
	b.shows("command-1")
	few := func() {
		t.Helper()
		b.sees("few rows are elements", `document.querySelectorAll(".waiting .row").length < 60`)
	}
	few()
	b.shot("crowd", 2560, 1200)
	b.is(`(() => { const e = document.querySelector(".waiting"); e.scrollTop = e.scrollHeight; })()`)
	b.shows("command-2000")
	few()
	b.enter(`document.querySelector("input[type=search]")`, "command-1234")
	b.shows("1 of 2000")
	b.shows("command-1234")
	b.is(`document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "?", bubbles: true}))`)
	b.shows("close a dialog")
}
