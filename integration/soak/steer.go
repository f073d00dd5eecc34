//go:build linux

package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// vary changes one pool's limit again and again: raised, lowered, 0 and back.
func (s *soak) vary(ctx context.Context, r *rand.Rand, client *Client, pool string, between [2]int) {
	for ctx.Err() == nil {
		rest(ctx, time.Duration(r.ExpFloat64()*float64(2*time.Second)))
		if r.IntN(4) == 0 {
			s.set(client, pool, 0)
			rest(ctx, time.Duration(r.IntN(300))*time.Millisecond)
		}
		s.set(client, pool, between[0]+r.IntN(between[1]-between[0]+1))
	}
}

// set changes a pool's limit, and reports whether it succeeded.
func (s *soak) set(client *Client, pool string, value int) bool {
	e := s.journal.open(entry{what: fmt.Sprintf("limit pool set %s %d", pool, value), spawned: now()})
	begun := s.journal.changing(change{limit: "pool:" + pool, value: value, span: span{from: e.spawned}})
	code, _ := s.run(client, e, []string{"pool", "set", pool, strconv.Itoa(value)}, nil)
	if code == 0 {
		s.journal.changed(begun, now())
	}
	return code == 0
}

// status is what of limit status --json is looked at.
type status struct {
	Held    []claim
	Waiting []claim
}

type claim struct {
	ID    string
	Name  string
	Pools map[string]int
	PID   int
}

func (s *soak) status(client *Client) (status, bool) {
	e := s.journal.open(entry{what: "limit status --json", spawned: now()})
	code, stdout := s.run(client, e, []string{"status", "--json"}, nil)
	var st status
	return st, code == 0 && json.Unmarshal([]byte(stdout), &st) == nil
}

// operate looks at the store and steers: status, why, bump, cancel.
func (s *soak) operate(ctx context.Context, r *rand.Rand, client *Client) {
	for ctx.Err() == nil {
		rest(ctx, time.Duration(r.ExpFloat64()*float64(time.Second)))
		st, ok := s.status(client)
		if !ok {
			continue
		}
		among, verb := st.Waiting, []string{"why", "bump", "cancel"}[r.IntN(3)]
		if verb == "cancel" && r.IntN(2) == 0 {
			among = st.Held
		}
		if len(among) == 0 {
			continue
		}
		target := among[r.IntN(len(among))]
		argv := []string{verb, target.ID}
		if verb == "bump" {
			argv = append(argv, strconv.Itoa(r.IntN(7)-3))
			s.journal.bump(target.Name)
		}
		e := s.journal.open(entry{what: "limit " + strings.Join(argv, " "), spawned: now()})
		s.run(client, e, argv, nil)
	}
}
