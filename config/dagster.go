package config

import (
	"fmt"
	"slices"
	"strings"

	"limit/config/yamlread"
)

// dagsterKeys are the keys of a dagster.yaml that say nothing about concurrency, as Dagster 1.11 knows them.
func dagsterKeys() []string {
	return []string{"auto_materialize", "backfills", "code_servers", "compute_logs", "defs_state_storage",
		"event_log_storage", "freshness", "instance_class", "local_artifact_storage", "nux", "python_logs", "retention",
		"run_launcher", "run_monitoring", "run_retries", "run_storage", "schedule_storage", "scheduler", "schedules",
		"secrets", "sensors", "storage", "telemetry"}
}

// bufferKey is the one key of Dagster's concurrency block without a meaning here: runs are not held back because
// their steps may have to wait.
const bufferKey = "op_granularity_run_buffer"

// olderKeys are Dagster's older spellings.
func olderKeys() []string {
	return []string{"run_queue", "run_coordinator", "default_op_concurrency_limit"}
}

// older tells Dagster's older spellings, which are refused with the new one.
func older(e yamlread.Entry) bool {
	if !slices.Contains(olderKeys(), e.Name) {
		return false
	}
	remedy := "write concurrency.runs.max_concurrent_runs and concurrency.runs.tag_concurrency_limits"
	if e.Name == "default_op_concurrency_limit" {
		remedy = "write concurrency.pools.default_limit"
	}
	e.Key.Reject(e.Name+" is Dagster's older spelling", remedy)
	return true
}

// dagsterKey deals with the keys of the top that are Dagster's, and with those that stand too high.
func (r *reader) dagsterKey(e yamlread.Entry) bool {
	if slices.Contains(dagsterKeys(), e.Name) {
		r.ignored = append(r.ignored, e)
		return true
	}
	return older(e) || misplaced(e, "concurrency", concurrencyKeys()) ||
		misplaced(e, "concurrency.pools", poolsKeys()) ||
		misplaced(e, "concurrency.runs", runsKeys())
}

// misplaced notes a key that would be right elsewhere.
func misplaced(e yamlread.Entry, parent string, keys []string) bool {
	if !slices.Contains(keys, e.Name) {
		return false
	}
	e.Key.Reject(fmt.Sprintf("%s does not stand here", e.Name), "move it below "+parent)
	return true
}

// warnIgnored tells in one warning what of a dagster.yaml has no effect.
func (r *reader) warnIgnored() {
	if len(r.ignored) == 0 {
		return
	}
	names := make([]string, len(r.ignored))
	for i, e := range r.ignored {
		names[i] = e.Name
	}
	keys := "keys"
	if len(names) == 1 {
		keys = "key"
	}
	r.ignored[0].Key.Warn(fmt.Sprintf("ignored Dagster's %s %s", keys, strings.Join(names, ", ")), "")
}
