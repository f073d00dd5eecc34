// Package release tests what scripts/release.sh makes.
package release

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// copySource copies the files that the project is built of, as they stand, to another place.
func copySource(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "elsewhere")
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err == nil {
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"main.go", "go.mod", "go.sum", "LICENSE", "README.md", "backend", "config", "wrap", "scripts"} {
		target := filepath.Join(dir, part)
		info, err := os.Stat(filepath.Join(root, part))
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			err = os.CopyFS(target, os.DirFS(filepath.Join(root, part)))
		} else {
			var data []byte
			if data, err = os.ReadFile(filepath.Join(root, part)); err == nil {
				err = os.WriteFile(target, data, 0o644)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func release(t *testing.T, source string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "dist")
	cmd := exec.Command("bash", "scripts/release.sh", out)
	cmd.Dir = source
	cmd.Env = append(os.Environ(), "PLATFORMS=linux/"+runtime.GOARCH, "SOURCE_DATE_EPOCH=1767225600")
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("scripts/release.sh: %v\n%s", err, said)
	}
	return out
}

func TestAReleaseIsTheSameBytesWhereverItIsBuiltAndItsPackageInstallsAndRuns(t *testing.T) {
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("SKIPPED: there is no dpkg-deb here")
	}
	one := release(t, copySource(t))
	two := release(t, copySource(t))
	sums, err := os.ReadFile(filepath.Join(one, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := os.ReadFile(filepath.Join(two, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(sums) {
		t.Errorf("the checksums of two builds are\n%sand\n%s", sums, again)
	}
	if lines := strings.Split(strings.TrimSpace(string(sums)), "\n"); len(lines) != 2 {
		t.Errorf("SHA256SUMS is\n%s", sums)
	}
	if said, err := exec.Command("sh", "-c", "cd "+one+" && sha256sum -c SHA256SUMS").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	unpacked(t, one)
	installed(t, one)
}

// unpacked runs what is in the archive.
func unpacked(t *testing.T, dist string) {
	archives, _ := filepath.Glob(filepath.Join(dist, "limit-*.tar.gz"))
	if len(archives) != 1 {
		t.Fatalf("archives: %v", archives)
	}
	to := t.TempDir()
	if said, err := exec.Command("tar", "-xzf", archives[0], "-C", to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	dir := filepath.Join(to, strings.TrimSuffix(filepath.Base(archives[0]), ".tar.gz"))
	for _, name := range []string{"limit", "limit-keeper", "limit-serve", "limit.1", "limit.yaml.5", "limit-dag.5",
		"limit-etcd.7", "limit-recipes.7", "limit-agent.7", "LICENSE", "README.md", "completions/limit.bash",
		"completions/_limit_command", "completions/limit.fish"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	for _, page := range []string{"limit.1", "limit.yaml.5", "limit-dag.5", "limit-etcd.7", "limit-recipes.7",
		"limit-agent.7"} {
		readable(t, filepath.Join(dir, page))
	}
	store := "local:" + filepath.Join(to, "store")
	out, err := exec.Command(filepath.Join(dir, "limit"), "--backend", store, "run", "--pool", "p", "-q", "--", "echo", "hello").CombinedOutput()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("the unpacked limit: %v, %q", err, out)
	}
	if said, err := exec.Command("file", "-b", filepath.Join(dir, "limit")).Output(); err == nil && !strings.Contains(string(said), "statically linked") {
		t.Errorf("limit is %s", said)
	}
}

// installed installs the package, runs it, and removes it.
func installed(t *testing.T, dist string) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: only root installs packages")
	}
	if exec.Command("dpkg-query", "-W", "limit").Run() == nil {
		t.Skip("SKIPPED: a package limit is installed here already")
	}
	packages, _ := filepath.Glob(filepath.Join(dist, "limit_*.deb"))
	if len(packages) != 1 {
		t.Fatalf("packages: %v", packages)
	}
	t.Cleanup(func() { exec.Command("dpkg", "--purge", "limit").Run() })
	dpkg := func(args ...string) {
		t.Helper()
		if said, err := exec.Command("dpkg", args...).CombinedOutput(); err != nil {
			t.Fatalf("dpkg %v: %v\n%s", args, err, said)
		}
	}
	dpkg("-i", packages[0])
	dpkg("--verify", "limit")
	said, err := exec.Command("/usr/bin/limit", "version").Output()
	if err != nil || !regexp.MustCompile(`^limit \S+ linux/`+runtime.GOARCH).Match(said) {
		t.Errorf("the installed limit says %q, %v", said, err)
	}
	for _, name := range []string{"/usr/share/bash-completion/completions/limit", "/usr/share/zsh/vendor-completions/_limit_command",
		"/usr/share/fish/vendor_completions.d/limit.fish", "/usr/bin/limit-keeper", "/usr/bin/limit-serve"} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	units, _ := filepath.Glob("/usr/lib/systemd/system/limit-*")
	if len(units) != 3 {
		t.Errorf("units: %v", units)
	}
	if said, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"},
		units...)...).CombinedOutput(); err != nil || bytes.Contains(said, []byte("limit-")) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, said)
	}
	dpkg("-r", "limit")
	if _, err := os.Stat("/usr/bin/limit"); !os.IsNotExist(err) {
		t.Errorf("after its removal /usr/bin/limit is there: %v", err)
	}
}

// readable checks a manual page with those who set it.
func readable(t *testing.T, page string) {
	t.Helper()
	for _, reader := range [][]string{{"mandoc", "-Tlint", "-W", "warning"}, {"man", "--warnings", "-E", "UTF-8", "-l"}} {
		if _, err := exec.LookPath(reader[0]); err != nil {
			t.Skipf("SKIPPED: no %s here; apt-get install mandoc man-db", reader[0])
		}
		var set, complaints bytes.Buffer
		cmd := exec.Command(reader[0], append(reader[1:], page)...)
		cmd.Env = append(os.Environ(), "MANWIDTH=80")
		cmd.Stdout, cmd.Stderr = &set, &complaints
		err := cmd.Run()
		if reader[0] == "mandoc" {
			complaints.Write(set.Bytes())
		} else if !strings.Contains(set.String(), "DESCRIPTION") {
			t.Errorf("%v prints\n%s", cmd.Args, set.String())
		}
		if err != nil || strings.Contains(complaints.String(), "table wider") || reader[0] == "mandoc" && complaints.Len() > 0 {
			t.Errorf("%v: %v\n%s", cmd.Args, err, complaints.String())
		}
	}
}
