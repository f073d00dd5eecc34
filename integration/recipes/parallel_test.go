package recipes

import (
	"strings"
	"testing"
)

func TestMakeWithEightJobsLoadsTwoTablesAtATimeAndKeepsItsJobserver(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	k.need("make", "make")
	k.write("Makefile", k.recipe("make."))
	k.write("load.sh", k.recordScript("0.1"))
	k.write("site/Makefile", "all: a b\na b:\n\t@echo page $@\n")
	k.run(0, "limit", "pool", "set", "database", "2")
	out := k.run(0, "make", "-j8")
	if most, all := k.most(); most != 2 || all != 8 {
		t.Errorf("%d tables were loaded, %d at a time:\n%s", all, most, k.read("record"))
	}
	if !strings.Contains(out, "page a") || !strings.Contains(out, "page b") || strings.Contains(out, "jobserver") {
		t.Errorf("make says\n%s", out)
	}
	if out := k.run(0, "make", "-j8"); strings.Contains(out, "load.sh") {
		t.Errorf("a second make loads again:\n%s", out)
	}
	k.write("load.sh", "#!/bin/sh\nexit 3\n")
	k.run(0, "rm", "orders.loaded")
	if out := k.run(2, "make", "-j8"); !strings.Contains(out, "Error 3") || exists(k.dir+"/orders.loaded") {
		t.Errorf("a table that cannot be loaded:\n%s", out)
	}
}

func TestXargsFetchesByThreeThoughItStartsEight(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	k.need("xargs", "findutils")
	k.write("fetch", k.recordScript("0.05"))
	k.run(0, "limit", "pool", "set", "api", "3")
	k.run(0, "sh", "-ec", k.recipe("xargs**"))
	if most, all := k.most(); most != 3 || all != 20 {
		t.Errorf("%d were fetched, %d at a time", all, most)
	}
	k.write("fetch", "#!/bin/sh\n[ $1 != 7 ]\n")
	k.run(123, "sh", "-c", k.recipe("xargs**")) // as xargs says that one has failed
}

func TestADagsterYAMLIsTakenOver(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	k.write("dagster.yaml", `storage:
  postgres: {postgres_db: {hostname: db}}
run_launcher: {module: dagster.core.launcher, class: DefaultRunLauncher}
telemetry: {enabled: false}
concurrency:
  pools:
    default_limit: 3
    granularity: op
  runs:
    max_concurrent_runs: 4
    tag_concurrency_limits:
      - key: dagster/backfill
        limit: 1
`)
	k.write("backfill.sh", k.recordScript("0.1"))
	lines := strings.Split(strings.TrimSpace(k.recipe("From Dagster.")), "\n")
	if len(lines) != 3 {
		t.Fatalf("the recipe has the lines %q", lines)
	}
	command := func(i int) string { return strings.TrimPrefix(lines[i], "$ ") }
	if out := k.run(1, "sh", "-c", command(0)); strings.Count(out, "ignored Dagster's keys storage, run_launcher, telemetry") != 1 || !strings.Contains(out, "runs unlimited → 4") {
		t.Errorf("diff says\n%s", out)
	}
	if out := k.run(0, "sh", "-c", command(1)); !strings.Contains(out, "tag:dagster/backfill") {
		t.Errorf("apply says\n%s", out)
	}
	if out := k.run(0, "sh", "-c", command(0)); strings.Contains(out, "→") {
		t.Errorf("after it diff says\n%s", out)
	}
	script := "for i in 1 2 3; do " + command(2) + " & done; wait"
	k.run(0, "sh", "-c", script)
	if most, all := k.most(); most != 1 || all != 3 {
		t.Errorf("%d backfills ran, %d at a time", all, most)
	}
}
