package recipes

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"limit/integration/binary"
	"limit/integration/etcdtest"
)

// container is what a recipe says of one.
type container struct {
	argv    []string
	env     []string
	volumes map[string]string // what is mounted: a path in the container, and a directory of the host
}

// enter makes a root of a tmpfs, with the programs of the host and the volumes, and starts a command in it.
const enter = `set -e
root=$1
volumes=$2
shift 2
mount -t tmpfs tmpfs "$root"
for dir in /bin /dev /lib* /proc /sbin /usr; do
	if [ -L "$dir" ]; then
		cp -P "$dir" "$root$dir"
	else
		mkdir "$root$dir"
		mount --rbind "$dir" "$root$dir"
	fi
done
mkdir "$root/etc" "$root/tmp"
cp /etc/passwd /etc/group "$root/etc"
for volume in $volumes; do
	mkdir -p "$root/${volume%%=*}"
	mount --bind "${volume#*=}" "$root/${volume%%=*}"
done
exec chroot "$root" /bin/sh -c 'cd /app && exec "$@"' sh "$@"
`

// start starts a container as those who run containers do: its first process is the recipe's, in PID and mount
// namespaces and a root of its own, with nothing in its environment but what the recipe says. The image has limit and
// the kitchen as /app. The container is killed with the process that is returned.
func (k *kitchen) start(c container) *exec.Cmd {
	k.Helper()
	root, err := os.MkdirTemp(k.dir, "root")
	k.must(err)
	volumes := []string{"image=" + filepath.Dir(binary.Path(k)), "app=" + k.dir, k.dir[1:] + "=" + k.dir}
	for path, dir := range c.volumes {
		volumes = append(volumes, path[1:]+"="+dir)
	}
	cmd := k.inContainer(append([]string{"/bin/sh", "-c", enter, "sh", root, strings.Join(volumes, " ")}, c.argv...)...)
	cmd.Env = append([]string{"PATH=/image:/usr/sbin:/usr/bin:/sbin:/bin"}, c.env...)
	out, err := os.Create(filepath.Join(k.dir, filepath.Base(root)+".out"))
	k.must(err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	k.must(cmd.Start())
	k.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		if k.Failed() {
			k.Logf("%v: %v\n%s", c.argv, cmd.ProcessState, k.read(filepath.Base(out.Name())))
		}
	})
	return cmd
}

// printed is what a container has printed until now.
func (k *kitchen) printed(cmd *exec.Cmd) string {
	k.Helper()
	return k.read(filepath.Base(cmd.Stdout.(*os.File).Name()))
}

// object is the beginning of each manifest.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
}

// cronJob has the keys of a CronJob that the recipe uses.
type cronJob struct {
	object `yaml:",inline"`
	Spec   struct {
		Schedule          string
		ConcurrencyPolicy string `yaml:"concurrencyPolicy"`
		JobTemplate       struct {
			Spec struct {
				BackoffLimit *int `yaml:"backoffLimit"`
				Template     struct{ Spec podSpec }
			}
		} `yaml:"jobTemplate"`
	}
}

type podSpec struct {
	RestartPolicy                 string `yaml:"restartPolicy"`
	TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
	Containers                    []struct {
		Name, Image string
		Command     []string
		Env         []struct{ Name, Value string }
		Mounts      []struct {
			Name     string
			Path     string `yaml:"mountPath"`
			ReadOnly bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}
	Volumes []struct {
		Name   string
		Secret *struct {
			Name string `yaml:"secretName"`
		}
		EmptyDir *struct{} `yaml:"emptyDir"`
	}
}

type secret struct {
	object     `yaml:",inline"`
	StringData map[string]string `yaml:"stringData"`
}

// valid checks what a server would, but for what strict decoding has found already.
func (j *cronJob) valid(k *kitchen, s *secret) {
	k.Helper()
	check := func(what string, ok bool) {
		k.Helper()
		if !ok {
			k.Errorf("the manifest has no valid %s: %+v", what, j)
		}
	}
	label := regexp.MustCompile(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`)
	pod := j.Spec.JobTemplate.Spec.Template.Spec
	check("kind", j.APIVersion == "batch/v1" && j.Kind == "CronJob" && s.APIVersion == "v1" && s.Kind == "Secret")
	check("name", label.MatchString(j.Metadata.Name) && label.MatchString(s.Metadata.Name))
	check("schedule", len(strings.Fields(j.Spec.Schedule)) == 5)
	check("concurrencyPolicy", regexp.MustCompile("^(Allow|Forbid|Replace)$").MatchString(j.Spec.ConcurrencyPolicy))
	check("restartPolicy", pod.RestartPolicy == "Never" || pod.RestartPolicy == "OnFailure")
	check("grace: limit's is 10s", pod.TerminationGracePeriodSeconds > 10)
	check("container", len(pod.Containers) == 1 && label.MatchString(pod.Containers[0].Name) && pod.Containers[0].Image != "")
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		check("volume", (v.Secret == nil) != (v.EmptyDir == nil) && (v.Secret == nil || v.Secret.Name == s.Metadata.Name))
	}
	for _, m := range pod.Containers[0].Mounts {
		check("volume of a mount", volumes[m.Name] && filepath.IsAbs(m.Path))
	}
}

// container is that of one pod, whose secret is mounted as the kubelet does, over symbolic links.
func (j *cronJob) container(k *kitchen, secretDir string) container {
	k.Helper()
	pod := j.Spec.JobTemplate.Spec.Template.Spec
	c := container{argv: pod.Containers[0].Command, volumes: map[string]string{}}
	for _, e := range pod.Containers[0].Env {
		c.env = append(c.env, e.Name+"="+e.Value)
	}
	for _, m := range pod.Containers[0].Mounts {
		c.volumes[m.Path] = secretDir
		if !m.ReadOnly {
			dir, err := os.MkdirTemp(k.dir, m.Name)
			k.must(err)
			c.volumes[m.Path] = dir
		}
	}
	return c
}

// mountSecret makes the directory of a secret.
func (k *kitchen) mountSecret(s *secret) (dir string) {
	k.Helper()
	dir = filepath.Join(k.dir, "secret")
	for name, text := range s.StringData {
		k.write("secret/..2026/"+name, text)
		k.must(os.Symlink("..data/"+name, filepath.Join(dir, name)))
	}
	k.must(os.Symlink("..2026", filepath.Join(dir, "..data")))
	return dir
}

func TestAPodOfACronJobKeepsTheLimitsOfTheFleetAndEndsOnTERM(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t, etcdtest.Options{Flags: []string{"--bcrypt-cost", "4"}})
	k := newKitchen(t)
	var job cronJob
	var s secret
	k.strictly(k.recipe("A Kubernetes CronJob"), &job, &s)
	job.valid(k, &s)
	k.must(os.Symlink(etcdtest.Etcdctl(t), filepath.Join(k.dir, "bin", "etcdctl")))
	k.env = append(k.env, "ETCDCTL_ENDPOINTS="+cluster.Direct()[0])
	k.run(0, "sh", "-ec", strings.Replace(k.blocks("etcd", "\n## Access\n", 1)[0], "\n", ":PASSWORD\n", 1))
	s.StringData["limit.yaml"] = strings.Replace(s.StringData["limit.yaml"], "http://etcd.example.com:2379", cluster.Endpoints()[0], 1)
	pod := job.container(k, k.mountSecret(&s))
	k.env = append(k.env, "LIMIT_BACKEND=", "LIMIT_CONFIG="+k.dir+"/secret/limit.yaml")

	k.write("load", k.recordScript("0.2"))
	k.write("nightly.yaml", "steps: {load: {matrix: {table: [a, b]}, pool: warehouse, run: ./load $MATRIX_TABLE}}\n")
	k.run(0, "limit", "pool", "set", "warehouse", "1")
	pods := []*exec.Cmd{k.start(pod), k.start(pod)}
	for _, p := range pods {
		p.Wait()
		if out := k.printed(p); codeOf(p.ProcessState) != 0 || !strings.Contains(out, "2 succeeded") {
			t.Errorf("a pod ends with %d and prints\n%s", codeOf(p.ProcessState), out)
		}
	}
	if most, all := k.most(); most != 1 || all != 4 {
		t.Errorf("%d tables were loaded, %d at a time", all, most)
	}

	k.write("nightly.yaml", "steps: {load: {pool: warehouse, run: exec sleep 1000}}\n")
	stopped := k.start(pod)
	k.until(time.Minute, "the step runs", func() bool { return len(k.held()) == 2 })
	k.must(syscall.Kill(childOf(t, stopped.Process.Pid), syscall.SIGTERM))
	stopped.Wait()
	if code := codeOf(stopped.ProcessState); code != 128+int(syscall.SIGTERM) {
		t.Errorf("a pod that is stopped ends with %d", code)
	}
	if held := k.held(); len(held) > 0 {
		t.Errorf("after it held are %v", held)
	}
}

// compose is a file of docker-compose, with the keys that the recipe uses.
type compose struct {
	Worker   service `yaml:"x-worker"`
	Services map[string]service
	Volumes  map[string]struct{}
}

type service struct {
	Image       string
	Entrypoint  []string
	Command     []string
	Environment map[string]string
	Volumes     []string
}

// container is that of one service. A named volume is a directory of the kitchen.
func (c *compose) container(k *kitchen, name string) container {
	k.Helper()
	s := c.Services[name]
	if s.Image == "" || len(s.Entrypoint) == 0 || len(s.Command) == 0 {
		k.Fatalf("the service %s is %+v", name, s)
	}
	made := container{argv: append(s.Entrypoint[:len(s.Entrypoint):len(s.Entrypoint)], s.Command...), volumes: map[string]string{}}
	for name, value := range s.Environment {
		made.env = append(made.env, name+"="+value)
	}
	for _, volume := range s.Volumes {
		source, target, _ := strings.Cut(volume, ":")
		if _, declared := c.Volumes[source]; !declared || !filepath.IsAbs(target) {
			k.Fatalf("the volume %s of %s is not declared", volume, name)
		}
		made.volumes[target] = filepath.Join(k.dir, source)
		k.must(os.MkdirAll(made.volumes[target], 0o755))
	}
	return made
}

func TestContainersOfAComposeFileShareAStoreAndOneThatIsKilledFreesItsSlot(t *testing.T) {
	t.Parallel()
	k := newKitchen(t)
	blocks := k.recipes("docker-compose.", 2)
	var c compose
	k.strictly(blocks[0], &c)
	var entrypoint, name string
	call := strings.TrimSpace(blocks[1])
	if _, err := fmt.Sscanf(call, "docker compose run --rm --entrypoint %s %s", &entrypoint, &name); err != nil {
		t.Fatalf("%v: %s", err, call)
	}
	once := c.container(k, name)
	once.argv = append([]string{entrypoint}, strings.Fields(call)[7:]...)
	if p := k.start(once); p.Wait() != nil {
		t.Fatalf("%v ends with %d", once.argv, codeOf(p.ProcessState))
	}
	k.env = append(k.env, "LIMIT_BACKEND=local:"+k.dir+"/slots")
	k.write("worker", "#!/bin/sh\necho $1 >>/app/started\nexec sleep 1000\n")
	workers := map[string]*exec.Cmd{}
	for name := range c.Services {
		workers[name] = k.start(c.container(k, name))
	}
	started := func() []string { return strings.Fields(k.read("started")) }
	waiting := func() bool { return strings.Contains(k.run(0, "limit", "status"), "\nwaiting: 1\n") }
	k.until(time.Minute, "two work and one waits", func() bool { return len(started()) == 2 && waiting() })
	if held := k.held(); len(workers) != 3 || len(held) != 2 {
		t.Errorf("of %d workers, held are %v", len(workers), held)
	}
	k.must(workers[started()[0]].Process.Kill())
	k.until(time.Minute, "the third works", func() bool { return len(started()) == 3 })
	if held := k.held(); len(held) != 2 {
		t.Errorf("with one of three killed, held are %v", held)
	}
}
