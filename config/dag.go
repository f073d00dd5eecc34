package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"limit/config/yamlread"
)

// Dag bounds what runs of dags leave behind. Runs, Age and Bytes are for each dag by itself.
type Dag struct {
	Runs     int           // that are kept
	Age      time.Duration // of runs that are kept
	Bytes    int64         // of all that is kept
	LogLimit int64         // bytes of one attempt's log
	LogDir   string        // where runs are kept; "": in the state directory
}

// defaultDag is what applies where limit.yaml does not say.
func defaultDag() Dag {
	return Dag{Runs: 50, Age: 30 * 24 * time.Hour, Bytes: 2 << 30, LogLimit: 100 << 20}
}

func dagKeys() []string {
	return []string{"keep_runs", "keep_days", "keep_bytes", "log_limit", "log_dir"}
}

func (r *reader) dag(v yamlread.Value) {
	fields, _ := v.Fields(nil, dagKeys()...)
	d := &r.config.Dag
	if n, ok := fields.Get("keep_runs").Int(1, math.MaxInt32); ok {
		d.Runs = n
	}
	if n, ok := fields.Get("keep_days").Int(1, 36500); ok {
		d.Age = time.Duration(n) * 24 * time.Hour
	}
	if n, ok := size(fields.Get("keep_bytes")); ok {
		d.Bytes = n
	}
	if n, ok := size(fields.Get("log_limit")); ok {
		d.LogLimit = n
	}
	d.LogDir = r.path(fields.Get("log_dir"))
	r.origins("dag", fields, dagKeys()...)
}

// size reads a number of bytes: 1000000, 500KiB, 100MiB, 2GiB.
func size(v yamlread.Value) (int64, bool) {
	text, ok := v.Scalar()
	if !ok {
		return 0, false
	}
	number, factor := text, int64(1)
	for i, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n, has := strings.CutSuffix(text, unit); has {
			number, factor = strings.TrimSpace(n), int64(1)<<(10*(i+1))
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > math.MaxInt64/factor || strings.HasPrefix(number, "+") {
		v.Reject(v.Name()+" must be a size of at least 1 byte", "write it as 500KiB, 100MiB, 2GiB or a number of bytes")
		return 0, false
	}
	return n * factor, true
}
