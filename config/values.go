package config

import (
	"maps"
	"slices"
	"strconv"

	"limit/backend"
)

// Value is one thing that is configured, and who did it.
type Value struct {
	Name string `json:"name"`  // the dotted path of the key
	Text string `json:"value"` // the value in force
	From string `json:"from"`  // FILE:LINE, a flag, a $VARIABLE, or default
}

// Values lists the effective configuration, as limit config prints it. The settings are those of the file.
func (c *Config) Values() []Value {
	values := []Value{{"backend", c.Backend.String(), c.From("backend")}}
	add := func(name, text string) {
		if text != "" {
			values = append(values, Value{name, text, c.From(name)})
		}
	}
	if e := c.Backend.Etcd; e != nil {
		add("backend.etcd.tls.ca", e.CA)
		add("backend.etcd.tls.cert", e.Cert)
		add("backend.etcd.tls.key", e.Key)
		add("backend.etcd.tls.server_name", e.ServerName)
		add("backend.etcd.username", e.Username)
		add("backend.etcd.password_file", e.PasswordFile)
		add("backend.etcd.agent", e.Agent)
	}
	add("namespace", c.Namespace)
	s := c.Settings
	limit, _ := s.Pool("")
	add("concurrency.pools.default_limit", limitText(limit.Limit))
	add("concurrency.pools.strict", strconv.FormatBool(s.Strict))
	add("concurrency.pools.granularity", granularityText(s))
	for _, name := range slices.Sorted(maps.Keys(s.Pools)) {
		add("concurrency.pools.limits."+name, poolText(s.Pools, name))
	}
	add("concurrency.runs.max_concurrent_runs", limitText(s.MaxRuns))
	limits := tagLimits(s)
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		values = append(values, Value{"concurrency.runs." + name, limits[name],
			c.From("concurrency.runs.tag_concurrency_limits")})
	}
	add("concurrency.reserve_after", backend.ShortDuration(s.Reserve()))
	add("concurrency.hide_commands", strconv.FormatBool(s.HideCommands))
	add("concurrency.history_entries", historyText(s))
	add("dag.keep_runs", strconv.Itoa(c.Dag.Runs))
	add("dag.keep_days", strconv.Itoa(int(c.Dag.Age.Hours()/24)))
	add("dag.keep_bytes", strconv.FormatInt(c.Dag.Bytes, 10))
	add("dag.log_limit", strconv.FormatInt(c.Dag.LogLimit, 10))
	add("dag.log_dir", c.Dag.LogDir)
	add("agent.listen", c.Agent.Listen)
	add("agent.state", c.Agent.State)
	if c.Agent.TTL != 0 {
		add("agent.ttl", backend.ShortDuration(c.Agent.TTL))
	}
	if c.Agent.Rules != nil {
		add("agent.rules", strconv.Itoa(len(c.Agent.Rules)))
	}
	return values
}

// FromDefault is what From says of a value that nobody has given.
const FromDefault = "default"

// From says where the value of a key came from: FILE:LINE, --flag, $VARIABLE, or FromDefault.
func (c *Config) From(name string) string {
	if from, ok := c.origins[name]; ok {
		return from
	}
	return FromDefault
}
