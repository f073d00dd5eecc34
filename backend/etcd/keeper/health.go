package keeper

import "time"

// Health is what an etcd cluster tells of itself, and what is wrong with it.
type Health struct {
	Members  []Member  `json:"members"`
	Alarms   []string  `json:"alarms,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
	Agent    *Agency   `json:"agent,omitempty"` // nil: no agent was asked
}

// Agency is what an agent tells of itself.
type Agency struct {
	Version string `json:"version"`
	Claims  int    `json:"claims"` // that it keeps in the namespace
}

// Member is one server of the cluster as this machine reaches it.
type Member struct {
	Endpoint   string        `json:"endpoint"`
	Error      string        `json:"error,omitempty"` // it does not answer; the rest is empty
	Version    string        `json:"version,omitempty"`
	Leader     bool          `json:"leader,omitempty"`
	Learner    bool          `json:"learner,omitempty"`
	Leaderless bool          `json:"leaderless,omitempty"` // it knows no leader: no quorum
	DBSize     int64         `json:"db_size,omitempty"`    // bytes
	DBInUse    int64         `json:"db_in_use,omitempty"`  // bytes
	Latency    time.Duration `json:"latency,omitempty"`    // of one status request, the connection included
	// ClockAhead is by how much the server's wall clock is ahead of ours, known to a second or so: 0 where it cannot be
	// had. No promise depends on it; times in status do.
	ClockAhead time.Duration `json:"clock_ahead,omitempty"`
	CertEnds   time.Time     `json:"cert_ends,omitzero"` // of the server's certificate; zero without TLS
}

// Problem is a fact and its remedy.
type Problem struct {
	Fact   string `json:"fact"`
	Remedy string `json:"remedy"`
	Fatal  bool   `json:"fatal,omitempty"` // unusable: nothing can be granted
}
