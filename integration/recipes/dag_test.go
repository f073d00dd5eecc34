package recipes

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCronMailsOfADagWhatHasFailedAndNothingElse(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	line := strings.TrimSpace(k.recipe("A dag under cron."))
	file := "/etc/nightly/nightly.yaml"
	well := k.write("well.yaml", "steps: {extract: echo extracted, load: {needs: extract, run: "+k.write("load", k.recordScript("0"))+"}}\n")
	broken := k.write("broken.yaml", "steps:\n  extract: echo extracted\n  load: {needs: extract, run: 'echo the disk is full >&2; exit 3'}\n")
	for _, pool := range []string{"nightly", "second", "third"} {
		k.run(0, "limit", "pool", "set", pool, "1")
	}
	k.lastRun("nightly")
	other := func(pool string) string { return strings.Replace(line, "--pool nightly", "--pool "+pool, 1) }
	k.startCron(k.now(line, file, well) + k.now(other("second"), file, well) + k.now(other("third"), file, broken))

	k.ends("0", "0", "1")
	k.mail("failed: load: exit 3\n    the disk is full\n")
	if _, all := k.most(); all != 1 {
		t.Errorf("%d loads have run: one night is skipped, one fails", all)
	}
}

// buildFile is a step file of four steps; test[my] fails while there is a file broken.
const buildFile = `steps:
  compile: echo compiled
  test: {needs: compile, matrix: {db: [pg, my]}, run: 'echo testing; [ $MATRIX_DB = pg ] || [ ! -e broken ] || { echo no connection; exit 3; }'}
  publish: {needs: test, run: echo published}
`

func TestAGitHubJobRunsADagAndSumsItUp(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	var w workflow
	k.strictly(k.recipe("A dag in GitHub Actions."), &w)
	steps := w.Jobs["build"].Steps
	if len(steps) != 3 || !strings.HasPrefix(steps[0].Uses, "actions/checkout@") || w.Jobs["build"].RunsOn == "" || len(w.On) == 0 {
		t.Fatalf("the workflow is %+v", w)
	}
	k.env = append(k.env, "CI=true", "GITHUB_ACTIONS=true", "GITHUB_REF_NAME=main", "GITHUB_STEP_SUMMARY="+k.write("summary", ""))
	k.write("build.yaml", strings.Replace(buildFile, "needs: test", "needs: tset", 1))
	if out := k.github(2, steps[1].Run); !strings.HasPrefix(out, "::error file=build.yaml,line=4,col=20") {
		t.Errorf("of a file that is not valid, validate prints\n%s", out)
	}
	k.write("build.yaml", buildFile)
	k.github(0, steps[1].Run)
	out := k.github(0, steps[2].Run)
	if strings.Count(out, "::group::") != 4 || strings.Count(out, "::endgroup::") != 4 || strings.Contains(out, "::error") {
		t.Errorf("the job prints\n%s", out)
	}
	k.write("broken", "")
	out = k.github(1, steps[2].Run)
	if strings.Count(out, "::error title=test[my]::test[my]: exit 3\n") != 1 || strings.Contains(out, "published") {
		t.Errorf("a job that fails prints\n%s", out)
	}
	summary := k.read("summary")
	if !strings.Contains(summary, "4 steps, 4 succeeded") || !strings.Contains(summary, "**test\\[my]**: exit 3") || !strings.Contains(summary, "  no connection\n") {
		t.Errorf("the summary is\n%s", summary)
	}
	if report := k.read("report.xml"); !strings.Contains(report, `failures="1"`) {
		t.Errorf("the report is\n%s", report)
	}
}

func TestAGitLabJobRunsADagInSections(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	var p pipeline
	k.strictly(k.recipe("A dag in GitLab CI."), &p)
	build := p["build"]
	if build.Retry.Max != 1 || build.Retry.ExitCodes[0] != 75 || build.Artifacts.When != "always" {
		t.Errorf("the job is %+v", build)
	}
	k.variables(build.Variables)
	k.env = append(k.env, "CI=true", "GITLAB_CI=true")
	k.write("build.yaml", buildFile)
	out := k.gitlab(0, build.Script)
	if strings.Count(out, "\x1b[0Ksection_start:") != 4 || strings.Count(out, "\x1b[0Ksection_end:") != 4 {
		t.Errorf("the job prints\n%q", out)
	}
	k.write("broken", "")
	k.gitlab(1, build.Script)
	if report := k.read(build.Artifacts.Reports.JUnit); !strings.Contains(report, `failures="1"`) {
		t.Errorf("the report is\n%s", report)
	}
	k.write("build.yaml", strings.Replace(buildFile, "{needs: compile,", "{needs: compile, pool: database,", 1))
	k.run(0, "limit", "pool", "set", "database", "1")
	k.lastRun("database")
	build.Script[0] = strings.Replace(build.Script[0], "--wait 30m", "--wait 50ms", 1)
	k.gitlab(75, build.Script)
}

func TestMakeRunsADagOfADayAndRetriesIt(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	k.need("make", "make")
	k.write("Makefile", k.recipe("A dag from make."))
	k.write("nightly.yaml", "params: {day: null}\nsteps:\n  extract: echo \"$PARAM_DAY\" >>extracted\n  load: {needs: extract, run: '[ ! -e broken ] && echo \"loaded $PARAM_DAY\"'}\n")
	k.write("broken", "")
	if out := k.run(2, "make", "nightly", "DAY=2026-03-01"); !strings.Contains(out, "Error 1") {
		t.Errorf("make says\n%s", out)
	}
	k.must(os.Remove(filepath.Join(k.dir, "broken")))
	if out := k.run(0, "make", "retry"); !strings.Contains(out, "loaded 2026-03-01\n") {
		t.Errorf("a retry says\n%s", out)
	}
	k.run(0, "make")
	if got := k.read("extracted"); got != "2026-03-01\nyesterday\n" {
		t.Errorf("extracted is\n%s", got)
	}
}

func TestABackfillLoadsTwoDaysOfATableAtATimeAndRetriesTheDaysThatFailed(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	blocks := k.recipes("A backfill.", 2)
	k.write("backfill.yaml", blocks[0])
	commands := strings.Split(strings.TrimSpace(strings.ReplaceAll(blocks[1], "$ ", "")), "\n")
	k.write("load.sh", k.recordScript("0.2")+"echo $* >>attempts; [ ! -e broken ] || [ $2 != 2026-03-03 ]\n")
	k.write("broken", "")
	k.run(0, "limit", "pool", "set", "warehouse", "unlimited")
	k.run(1, "sh", "-c", commands[0])
	for _, table := range []string{"orders", "customers"} {
		if most, all := k.mostOf(table); most > 2 || all != 6 {
			t.Errorf("%s: %d loads, %d at a time; want 5 and a retry, at most 2 at a time\n%s", table, all, most, k.read("record"))
		}
	}
	k.must(os.Remove(filepath.Join(k.dir, "broken")))
	k.must(os.Remove(filepath.Join(k.dir, "attempts")))
	k.run(0, "limit", "pool", "set", "warehouse", "1")
	k.run(0, "sh", "-c", commands[1])
	if got := strings.Fields(k.read("attempts")); len(got) != 4 || got[1] != "2026-03-03" || got[3] != "2026-03-03" {
		t.Errorf("the retry loads %q", got)
	}
}
