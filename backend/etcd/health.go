package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"limit/backend"
	"limit/backend/etcd/keeper"
)

// clockTolerance is how far the wall clocks may be apart before doctor speaks of it: an HTTP date has whole seconds.
const clockTolerance = 5 * time.Second

// largeDB is the size of a database that is spoken of, in bytes: four fifths of etcd's default quota.
const largeDB = 1638 << 20

// Health asks each endpoint of the configuration how it is, all at once. Servers that do not answer are in the result.
func (s *Store) Health(ctx context.Context) (*keeper.Health, error) {
	h := &keeper.Health{Members: make([]keeper.Member, len(s.options.Endpoints))}
	secured := s.files.newTLS()
	h.Problems = append(h.Problems, ownCertificate(s.options.TLS.Cert, time.Now())...)
	var asking sync.WaitGroup
	patience, cancel := context.WithTimeout(ctx, s.options.ConnectTimeout)
	defer cancel()
	for i, endpoint := range s.options.Endpoints {
		asking.Go(func() { h.Members[i] = s.member(patience, endpoint, secured) })
	}
	asking.Wait()
	answered := 0
	for _, m := range h.Members {
		if m.Error == "" {
			answered++
		}
		h.Problems = append(h.Problems, problemsOf(m)...)
	}
	if answered == 0 {
		h.Problems = append(h.Problems, keeper.Problem{Fatal: true, Fact: "no server of etcd answers",
			Remedy: "start etcd, or correct the endpoints; meanwhile --if-unreachable run lets commands run " +
				"without slots"})
		return h, nil
	}
	s.wholeCluster(ctx, h)
	return h, nil
}

// maxHangUps is how often a server is asked again that hangs up.
const maxHangUps = 5

// hungUp tells a connection that the server has ended. One that refuses our certificate says why before that, but who
// writes after it has hung up does not get to read it.
func hungUp(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return strings.Contains(text, "broken pipe") || strings.Contains(text, "connection reset") ||
		strings.Contains(text, "server preface: EOF")
}

// member asks one server.
func (s *Store) member(ctx context.Context, endpoint string, secured *tls.Config) keeper.Member {
	m := keeper.Member{Endpoint: endpoint}
	start := time.Now()
	status, err := s.client.Status(ctx, endpoint)
	for try := 0; hungUp(err) && try < maxHangUps && pause(ctx, firstPause); try++ {
		start = time.Now()
		status, err = s.client.Status(ctx, endpoint)
	}
	if err != nil {
		m.Error = s.explain(err).Error()
		return m
	}
	m.Latency = time.Since(start)
	m.Version, m.DBSize, m.DBInUse = status.Version, status.DbSize, status.DbSizeInUse
	m.Leader, m.Learner, m.Leaderless = status.Leader == status.Header.MemberId, status.IsLearner, status.Leader == 0
	m.ClockAhead, m.CertEnds = overHTTP(ctx, endpoint, secured)
	return m
}

// overHTTP reads the server's clock off the date of an HTTP answer, to the second, and the end of its certificate; zero
// where it cannot.
func overHTTP(ctx context.Context, endpoint string, secured *tls.Config) (ahead time.Duration, certEnds time.Time) {
	if !strings.Contains(endpoint, "://") {
		endpoint = "http://" + endpoint
		if secured != nil {
			endpoint = "https" + strings.TrimPrefix(endpoint, "http")
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"/version", nil)
	if err != nil {
		return 0, certEnds
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: secured, DisableKeepAlives: true}}
	resp, err := client.Do(request)
	if err != nil {
		return 0, certEnds
	}
	defer resp.Body.Close()
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		certEnds = resp.TLS.PeerCertificates[0].NotAfter
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return 0, certEnds
	}
	return time.Until(date.Add(500 * time.Millisecond)).Round(time.Second), certEnds
}

// wholeCluster asks what any member can tell of all, and whether the namespace can be read and written.
func (s *Store) wholeCluster(ctx context.Context, h *keeper.Health) {
	add := func(fatal bool, fact, remedy string) {
		h.Problems = append(h.Problems, keeper.Problem{Fact: fact, Remedy: remedy, Fatal: fatal})
	}
	if _, _, err := s.readSettings(ctx); err != nil {
		h.Problems = append(h.Problems, s.unreadable(h, err))
		return
	}
	file := s.seenFile()
	if latest, before := s.latest.Load(), seen(file); latest < before {
		add(true, fmt.Sprintf("etcd is at revision %d, and was at %d: it was restored from an older snapshot, and "+
			"gives tokens a second time", latest, before),
			"restore again with etcdutl snapshot restore --bump-revision 1000000000 --mark-compacted; if this is a "+
				"new cluster, remove "+file)
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.ConnectTimeout)
	defer cancel()
	if alarms, err := s.client.AlarmList(ctx); err == nil {
		for _, a := range alarms.Alarms {
			h.Alarms = append(h.Alarms, a.Alarm.String())
			add(true, fmt.Sprintf("etcd has raised the alarm %s", a.Alarm),
				"compact and defragment etcd, then: etcdctl alarm disarm")
		}
	}
	if members, err := s.client.MemberList(ctx); err == nil {
		voters := 0
		for _, m := range members.Members {
			if !m.IsLearner {
				voters++
			}
		}
		if voters == 2 {
			add(false, "the cluster has 2 members and stops when either fails", "run 1, 3 or 5")
		}
	}
	lease, _, err := s.newLease(ctx, "asking etcd for a lease", keeper.MinTTL)
	if err == nil {
		put := clientv3.OpPut(s.keys.prefix+"doctor", "", clientv3.WithLease(lease))
		_, _, err = s.commit(ctx, "doctor", txn{then: []clientv3.Op{put}})
		s.client.Revoke(ctx, lease) // failing, it ends in seconds
	}
	if err != nil {
		h.Problems = append(h.Problems, s.problem(err,
			"see that etcd can be written, by this user on the prefix "+s.keys.prefix))
	}
}

// unreadable says why the namespace could not be read though servers answer.
func (s *Store) unreadable(h *keeper.Health, err error) keeper.Problem {
	answer, leaderless := 0, 0
	for _, m := range h.Members {
		if m.Error == "" {
			answer++
		}
		if m.Leaderless {
			leaderless++
		}
	}
	if leaderless > 0 || errors.Is(err, backend.ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
		return keeper.Problem{Fatal: true,
			Fact: fmt.Sprintf("the cluster has no quorum: %d of %d endpoints answer, none can decide", answer,
				len(h.Members)),
			Remedy: "start the members that are down, or mend the network between them; held claims end when their " +
				"leases do"}
	}
	return s.problem(err, "see that the user may read and write the prefix "+s.keys.prefix)
}

// problem takes an error for a fact, with its own remedy if it has one.
func (s *Store) problem(err error, remedy string) keeper.Problem {
	fact := err.Error()
	if at := strings.LastIndex(fact, "; "); at >= 0 {
		fact, remedy = fact[:at], fact[at+2:]
	}
	return keeper.Problem{Fatal: true, Fact: fact, Remedy: remedy}
}

// certificateWarning is how long before its end a certificate is spoken of.
const certificateWarning = 14 * 24 * time.Hour

// ownCertificate tells of a client certificate that has ended, or will soon. One that cannot be read is an error of the
// options.
func ownCertificate(file string, now time.Time) []keeper.Problem {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	der, _ := pem.Decode(data)
	if der == nil {
		return nil
	}
	cert, err := x509.ParseCertificate(der.Bytes)
	if err != nil {
		return nil
	}
	return certificateProblems("the client certificate "+file, cert.NotAfter, now)
}

func certificateProblems(whose string, ends, now time.Time) []keeper.Problem {
	left := ends.Sub(now)
	switch {
	case ends.IsZero() || left > certificateWarning:
		return nil
	case left < 0:
		return []keeper.Problem{{Fatal: true, Fact: fmt.Sprintf("%s ended on %s", whose, ends.Format(time.DateOnly)),
			Remedy: "issue a new one"}}
	}
	return []keeper.Problem{{Fact: fmt.Sprintf("%s ends on %s, in %s", whose, ends.Format(time.DateOnly),
		left.Round(time.Hour)), Remedy: "issue a new one in time"}}
}

// problemsOf says what is wrong with one member.
func problemsOf(m keeper.Member) []keeper.Problem {
	if m.Error != "" {
		return []keeper.Problem{{Fact: fmt.Sprintf("%s does not answer: %s", m.Endpoint, m.Error),
			Remedy: "start it, or take it out of the endpoints"}}
	}
	problems := append(versionProblems(m.Endpoint, m.Version),
		certificateProblems("the certificate of "+m.Endpoint, m.CertEnds, time.Now())...)
	if m.DBSize > largeDB {
		problems = append(problems, keeper.Problem{
			Fact: fmt.Sprintf("the database of %s has %d MiB; etcd stops writing at its quota, 2048 MiB as it is "+
				"shipped", m.Endpoint, m.DBSize>>20),
			Remedy: "switch compaction on (--auto-compaction-retention) and run: etcdctl defrag"})
	}
	if m.ClockAhead > clockTolerance || m.ClockAhead < -clockTolerance {
		problems = append(problems, keeper.Problem{
			Fact:   fmt.Sprintf("the clock of %s is %s apart from ours", m.Endpoint, m.ClockAhead.Abs()),
			Remedy: "run a time service: no slot depends on it, but the times that status shows do"})
	}
	if m.Latency > time.Second {
		problems = append(problems, keeper.Problem{
			Fact:   fmt.Sprintf("%s took %s to answer", m.Endpoint, m.Latency.Round(time.Millisecond)),
			Remedy: "look at the disk of etcd (wal_fsync) and at the network; raise --ttl meanwhile"})
	}
	return problems
}

// versionProblems knows the bugs of servers that concern leases.
func versionProblems(endpoint, version string) []keeper.Problem {
	major, minor, patch := splitVersion(version)
	older := func(minorWith, patchWith int) bool { return major == 3 && minor == minorWith && patch < patchWith }
	var problems []keeper.Problem
	add := func(fact, remedy string) {
		problems = append(problems, keeper.Problem{Fact: fmt.Sprintf("%s is etcd %s, %s", endpoint, version, fact),
			Remedy: remedy})
	}
	if major < 3 || (major == 3 && minor < 4) {
		add("older than the oldest that was tried, 3.4", "update to 3.5.23, 3.6.5 or later")
		return problems
	}
	if older(4, 31) || older(5, 13) {
		add("in which an old leader may revoke leases that were renewed: a claim may be lost though its holder lives",
			"update to 3.5.23, 3.6.5 or later")
	}
	if major == 3 && minor == 4 || older(5, 23) || older(6, 5) {
		add("which may accept the renewal of a lease that is being revoked: a holder may learn late that its claim "+
			"is lost", "update to 3.5.23, 3.6.5 or later")
	}
	return problems
}

func splitVersion(version string) (major, minor, patch int) {
	version, _, _ = strings.Cut(version, "-")
	parts := append(strings.Split(version, "."), "0", "0", "0")
	major, _ = strconv.Atoi(parts[0])
	minor, _ = strconv.Atoi(parts[1])
	patch, _ = strconv.Atoi(parts[2])
	return major, minor, patch
}
