package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"limit/backend"
	"limit/config/grammar"
	"limit/config/yamlread"
)

// DefaultNamespace is the namespace of those who name none.
const DefaultNamespace = "default"

// maxFile bounds a limit.yaml in bytes: whoever can write to a parent folder cannot make a command slow.
const maxFile = 1 << 20

// Names of the environment variables that configure limit.
const (
	EnvConfig    = "LIMIT_CONFIG"
	EnvBackend   = "LIMIT_BACKEND"
	EnvNamespace = "LIMIT_NAMESPACE"
	EnvAgent     = "LIMIT_AGENT"
)

// Flags are the values of the flags that beat everything else; "" where a flag was not given.
type Flags struct {
	Config    string // --config
	Backend   string // --backend
	Namespace string // --namespace
	Agent     string // --agent
}

// Environment are what the configuration depends on besides flags and files.
type Environment struct {
	Dir    string              // the current directory; "" where there is none
	UID    int                 // the effective user
	Groups []int               // of the user, the effective one among them
	Env    func(string) string // the environment, nil for none; "" is as good as unset
}

// OS returns the surroundings of this process.
func OS() Environment {
	dir, err := os.Getwd()
	if err != nil { // removed, or not to be read: there is nothing to find in it
		dir = ""
	}
	groups, err := os.Getgroups()
	if err != nil {
		groups = nil // then no file that a group can write is trusted
	}
	return Environment{Dir: dir, UID: os.Geteuid(), Groups: append(groups, os.Getegid()), Env: os.Getenv}
}

// Config is the effective configuration.
type Config struct {
	File        string // the file it was read from; "" where there was none
	StateDir    string // limit's directory of this user, XDG_STATE_HOME before root's own; "" where HOME is not set
	Backend     Backend
	Namespace   string
	Settings    backend.Settings // what the file's concurrency block says; backend.NewSettings where there is none
	Dag         Dag
	Agent       Agent
	HasSettings bool                // the file has a concurrency block
	Warnings    []*yamlread.Problem // what the user should be told, once
	Notes       []string            // the same of files that were passed over

	origins map[string]string // by the dotted path of a key: FILE:LINE, a flag, a variable
	environ []string
}

// Load finds and reads the configuration. Mistakes in a file are a *multierror.Error of *yamlread.Problem.
func Load(flags Flags, at Environment) (*Config, error) {
	c := empty()
	doc, notes, err := read(flags, at)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if doc != nil {
		if c, err = readDocument(doc, filepath.Dir(at.path(doc.Name()))); err != nil {
			return nil, err
		}
	}
	c.Notes = notes
	encrypted := c.Backend.encrypted()
	if err := c.override(flags, at); err != nil {
		return nil, err
	}
	if err := c.settle(at); err != nil {
		return nil, err
	}
	c.environ = c.assignments(encrypted && c.Backend.Etcd != nil && !c.Backend.encrypted(), at, flags.Config != "" ||
		at.env(EnvConfig) != "")
	return c, nil
}

// Environ returns the assignments NAME=value with which another limit, started from any directory, comes to the same
// store and namespace.
func (c *Config) Environ() []string { return c.environ }

// assignments are Environ. An etcd cluster is not known by its endpoints alone: the file goes with it, for its
// certificates and user, and where there was none, none is to be found. plain says that the file has certificates which
// are not for these endpoints.
func (c *Config) assignments(plain bool, at Environment, named bool) []string {
	store := c.Backend.String()
	if plain {
		store = strings.Join(c.Backend.Etcd.Endpoints, ",") // with their http://
	}
	env := []string{EnvBackend + "=" + store, EnvNamespace + "=" + c.Namespace}
	switch file := at.path(c.File); {
	case c.File == "" && c.Backend.Etcd != nil:
		env = append(env, EnvConfig+"="+os.DevNull)
	// a pipe is read once
	case c.File != "" && (named || c.Backend.Etcd != nil) && (isFile(file) || file == os.DevNull):
		env = append(env, EnvConfig+"="+file)
	}
	if c.Backend.Etcd != nil && c.Backend.Etcd.Agent != "" {
		env = append(env, EnvAgent+"="+c.Backend.Etcd.Agent)
	}
	return env
}

func empty() *Config {
	return &Config{Namespace: DefaultNamespace, Dag: defaultDag(), Settings: backend.NewSettings(),
		origins: map[string]string{}}
}

// override lets flags beat the environment and both beat the file.
func (c *Config) override(flags Flags, at Environment) error {
	if text, from := choose(flags.Backend, "--backend", at, EnvBackend); text != "" {
		chosen, err := ParseBackend(text)
		if err == nil {
			chosen, err = c.Backend.replacedBy(chosen)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", from, err)
		}
		if chosen.Etcd == nil && chosen.Dir != "" {
			chosen.Dir = at.path(chosen.Dir)
		}
		c.Backend = chosen
		c.origins["backend"] = from
	}
	if text, from := choose(flags.Agent, "--agent", at, EnvAgent); text != "" && c.Backend.Etcd != nil {
		if fault := pathFault(text); fault != "" {
			return fmt.Errorf("%s: the path %s; give that of the agent's socket, or %s", from, fault, NoAgent)
		}
		if text != NoAgent {
			text = at.path(text)
		}
		e := *c.Backend.Etcd
		e.Agent = text
		c.Backend.Etcd = &e
		c.origins["backend.etcd.agent"] = from
	}
	if name, from := choose(flags.Namespace, "--namespace", at, EnvNamespace); name != "" {
		if fault := namespaceFault(name); fault != "" {
			return fmt.Errorf("%s: the namespace %s", from, fault)
		}
		c.Namespace = name
		c.origins["namespace"] = from
	}
	return nil
}

func choose(flag, name string, at Environment, variable string) (value, from string) {
	if flag != "" {
		return flag, name
	}
	return at.env(variable), "$" + variable
}

// settle fills in what nobody gave.
func (c *Config) settle(at Environment) error {
	c.StateDir, _ = at.stateDir()
	if c.Backend.Etcd != nil || c.Backend.Dir != "" {
		return nil
	}
	dir, err := at.defaultDir()
	c.Backend.Dir = dir
	return err
}

// env is the value of a variable.
func (at Environment) env(name string) string {
	if at.Env == nil {
		return ""
	}
	return at.Env(name)
}

// defaultDir is where the embedded store lives unless told otherwise.
func (at Environment) defaultDir() (string, error) {
	if at.UID == 0 {
		return rootDir, nil
	}
	return at.stateDir()
}

const rootDir = "/var/lib/limit"

// stateDir is limit's directory of this user.
func (at Environment) stateDir() (string, error) {
	if dir := at.env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "limit"), nil
	}
	if at.UID == 0 {
		return rootDir, nil
	}
	if home := at.env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local/state/limit"), nil
	}
	return "", errors.New("no directory for the store, as HOME is not set; give --backend local:DIR")
}

// path makes a path absolute, as far as the current directory is known.
func (at Environment) path(name string) string {
	if filepath.IsAbs(name) || at.Dir == "" {
		return filepath.Clean(name)
	}
	return filepath.Join(at.Dir, name)
}

// namespaceFault is grammar.NameFault for namespaces. They become parts of paths: two names are none.
func namespaceFault(name string) string {
	if name == "." || name == ".." {
		return `cannot be "` + name + `"`
	}
	return grammar.NameFault(name)
}
