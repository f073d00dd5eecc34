package recipes

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// job is what of a workflow or a pipeline the tests read.
type job struct {
	Variables map[string]string `yaml:"variables"` // GitLab
	Script    []string          `yaml:"script"`
	Steps     []struct {        // GitHub
		Env map[string]string `yaml:"env"`
		Run string            `yaml:"run"`
	} `yaml:"steps"`
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
	k.need("bash", "bash")
	var pipeline map[string]job
	k.must(yaml.Unmarshal([]byte(k.recipe("GitLab CI.")), &pipeline))
	deploy := pipeline["deploy"]
	k.variables(deploy.Variables)
	k.env = append(k.env, "CI=true", "GITLAB_CI=true", "CI_PROJECT_PATH=shop/web", "CI_PIPELINE_ID=4711", "CI_JOB_ID=9")
	k.write("deploy.sh", "#!/bin/sh\nlimit status\n[ ! -e broken ]\n")
	// A runner feeds bash on standard input, and each line is what eval gets.
	script := "set -eo pipefail\nset +o noclobber\n: | eval '" + strings.ReplaceAll(strings.Join(deploy.Script, "\n"), "'", `'"'"'`) + "'\n"
	shell := func(code int) string {
		cmd := k.command("bash")
		cmd.Stdin = strings.NewReader(script)
		return k.ended(code, cmd)
	}
	k.run(0, "limit", "pool", "set", "deploy", "1")
	if out := shell(0); !strings.Contains(out, "shop/web 4711") || strings.Contains(out, "limit: ") {
		t.Errorf("the job prints\n%s", out)
	}
	k.write("broken", "")
	shell(1)
}

func TestAGitHubStepTestsInTheShellOfItsRunner(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	k.need("bash", "bash")
	var workflow struct {
		Jobs map[string]job `yaml:"jobs"`
	}
	k.must(yaml.Unmarshal([]byte(k.recipe("GitHub Actions**")), &workflow))
	step := workflow.Jobs["test"].Steps[0]
	k.variables(step.Env)
	summary := k.write("summary", "")
	k.env = append(k.env, "CI=true", "GITHUB_ACTIONS=true", "GITHUB_REPOSITORY=shop/web", "GITHUB_RUN_ID=12", "GITHUB_SHA=abc", "GITHUB_STEP_SUMMARY="+summary)
	k.write("test.sh", "#!/bin/sh\nlimit status devices; echo \"sha $1\"\n[ ! -e broken ]\n")
	script := k.write("step.sh", step.Run)
	k.run(0, "limit", "pool", "set", "devices", "2")
	shell := func(code int) string { return k.run(code, "bash", "--noprofile", "--norc", "-eo", "pipefail", script) }
	if out := shell(0); !strings.Contains(out, "shop/web#12") || !strings.Contains(out, "sha abc") || k.read("summary") != "tested\n" {
		t.Errorf("the step prints\n%s\nand sums up %q", out, k.read("summary"))
	}
	k.write("broken", "")
	shell(1)
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
