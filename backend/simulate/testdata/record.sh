#!/usr/bin/env bash
# Makes recorded.json.gz anew: the history of 2,000 real commands with pools, weights, priorities, tags, rates, waits
# that are given up, and commands within commands. It takes about five minutes; limit is looked up in PATH.
set -euo pipefail
cd "$(dirname "$0")"
store=$(mktemp -d)
trap 'rm -rf "$store"' EXIT
export LIMIT_BACKEND=local:$store/store
cat >"$store/limit.yaml" <<'YAML'
concurrency:
  pools:
    limits:
      database: 4
      api: {limit: 3, rate: 8/2s}
      disk: unlimited
  runs:
    max_concurrent_runs: 8
    tag_concurrency_limits:
      - {key: tenant, value: {applyLimitPerUniqueValue: true}, limit: 1}
      - {key: team, value: data, limit: 3}
YAML
limit apply "$store/limit.yaml" >/dev/null
RANDOM=7
any() { REPLY=${*:1+RANDOM%$#:1}; } # without a process of its own: the machine is to run commands
for ((i = 0; i < 2000; i++)); do
	any 0.2 0.4 0.6 0.8 1
	work="sleep $REPLY"
	any 1 1 1 2 3 && slots=$REPLY
	any acme globex initech && tenant=$REPLY
	any 0 0 0 0 5 -3 && ask="--priority $REPLY"
	case $((RANDOM % 10)) in
	[0-3]) ask+=" --pool database=$slots" ;;
	4) ask+=" --pool api --pool disk=2" ;;
	5) ask+=" --pool database --pool api" ;;
	6) ask+=" --tag tenant=$tenant" ;;
	7) ask+=" --tag team=data --tag tenant=$tenant" ;;
	8) ask+=" --pool database --wait $((4 * slots))" ;;
	9) work="limit run -q --pool api -- $work" ;;
	esac
	printf '%s -- %s\n' "$ask" "$work"
done >"$store/commands"
xargs -P 60 -L 1 limit run -q <"$store/commands" || true
limit history --json |
	sed -E 's/"(host|user)":"[^"]*"/"\1":""/g; s/"pid":[0-9]+/"pid":0/g; s/"(id|run_id)":"([0-9a-f]{10})[0-9a-f]*"/"\1":"\2"/g' |
	gzip -9n >recorded.json.gz
