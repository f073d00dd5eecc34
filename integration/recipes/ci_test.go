package recipes

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pipeline is one of GitLab, with the keys that recipes use.
type pipeline map[string]struct {
	Variables map[string]string
	Script    []string
	Retry     struct {
		Max       int
		ExitCodes []int `yaml:"exit_codes"`
	}
	Artifacts struct {
		When    string
		Reports struct{ JUnit string }
	}
}

// workflow is one of GitHub, with the keys that recipes use.
type workflow struct {
	On   []string
	Jobs map[string]struct {
		RunsOn string `yaml:"runs-on"`
		Steps  []struct {
			Name, Uses, Run string
			Env             map[string]string
		}
	}
}

// variables adds those of a recipe, but for the store, which is the kitchen's.
func (k *kitchen) variables(of map[string]string) {
	for name, value := range of {
		if name == "LIMIT_BACKEND" && strings.HasPrefix(value, "etcd://") {
			continue
		}
		k.env = append(k.env, name+"="+value)
	}
}

func TestAGitLabJobDeploysInTheShellOfItsRunner(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	var p pipeline
	k.strictly(k.recipe("GitLab CI."), &p)
	deploy := p["deploy"]
	k.variables(deploy.Variables)
	k.env = append(k.env, "CI=true", "GITLAB_CI=true", "CI_PROJECT_PATH=shop/web", "CI_PIPELINE_ID=4711", "CI_JOB_ID=9")
	k.write("deploy.sh", "#!/bin/sh\nlimit status\n[ ! -e broken ]\n")
	k.run(0, "limit", "pool", "set", "deploy", "1")
	if out := k.gitlab(0, deploy.Script); !strings.Contains(out, "shop/web 4711") || strings.Contains(out, "limit: ") {
		t.Errorf("the job prints\n%s", out)
	}
	k.write("broken", "")
	k.gitlab(1, deploy.Script)
}

// gitlab runs a script as a runner of GitLab does, which feeds bash on standard input; each line is what eval gets.
func (k *kitchen) gitlab(code int, script []string) string {
	k.Helper()
	call := "eval '" + strings.ReplaceAll(strings.Join(script, "\n"), "'", `'"'"'`) + "'"
	if slices.Contains(k.env, "FF_USE_NEW_BASH_EVAL_STRATEGY=true") {
		call = "(" + call + ")" // or bash exits with 1, whatever the script exits with
	}
	cmd := k.command(k.need("bash", "bash"))
	cmd.Stdin = strings.NewReader("set -eo pipefail\nset +o noclobber\n: | " + call + "\n")
	return k.ended(code, cmd)
}

// github runs a step as a runner of GitHub does.
func (k *kitchen) github(code int, run string) string {
	k.Helper()
	return k.run(code, k.need("bash", "bash"), "--noprofile", "--norc", "-eo", "pipefail", k.write("step.sh", run))
}

func TestAGitHubStepTestsInTheShellOfItsRunner(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	var w workflow
	k.strictly(k.recipe("GitHub Actions**"), &w)
	step := w.Jobs["test"].Steps[0]
	k.variables(step.Env)
	summary := k.write("summary", "")
	k.env = append(k.env, "CI=true", "GITHUB_ACTIONS=true", "GITHUB_REPOSITORY=shop/web", "GITHUB_RUN_ID=12", "GITHUB_SHA=abc", "GITHUB_STEP_SUMMARY="+summary)
	k.write("test.sh", "#!/bin/sh\nlimit status devices; echo \"sha $1\"\n[ ! -e broken ]\n")
	k.run(0, "limit", "pool", "set", "devices", "2")
	if out := k.github(0, step.Run); !strings.Contains(out, "shop/web#12") || !strings.Contains(out, "sha abc") || k.read("summary") != "tested\n" {
		t.Errorf("the step prints\n%s\nand sums up %q", out, k.read("summary"))
	}
	k.write("broken", "")
	k.github(1, step.Run)
	if k.read("summary") != "tested\n" {
		t.Error("a step that failed went on")
	}
}

func TestASystemdServiceIsOneThatSystemdAccepts(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	analyze := k.need("systemd-analyze", "systemd")
	unit := k.recipe("systemd.")
	export := k.write("export", "#!/bin/sh\nexit 0\n")
	binary, err := filepath.EvalSymlinks(filepath.Join(k.dir, "bin", "limit"))
	k.must(err)
	unit = strings.ReplaceAll(strings.ReplaceAll(unit, "/usr/bin/limit", binary), "/usr/local/bin/export", export)
	file := k.write("export.service", unit)
	out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "export.service") { // other units of the machine are not our business
			t.Errorf("systemd-analyze: %s", line)
		}
	}
	if err != nil && len(out) == 0 {
		t.Errorf("systemd-analyze: %v", err)
	}
	start := ""
	for line := range strings.Lines(unit) {
		if command, found := strings.CutPrefix(line, "ExecStart="); found {
			start = strings.TrimSpace(command)
		}
	}
	k.run(0, "sh", "-c", "exec "+start+" 2>/dev/null")
}
