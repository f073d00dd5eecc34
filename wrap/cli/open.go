package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"limit/backend"
	"limit/backend/local"
	"limit/backend/memory"
	"limit/config"
	"limit/config/yamlread"
	"limit/wrap"
)

// store is an opened store with the configuration that named it.
type store struct {
	backend.Backend
	config    *config.Config
	namespace string
}

// load reads the configuration, and tells what a user should know of it.
func (p *program) load(c *cli.Context) (*config.Config, error) { return p.loadFile(c, "") }

// loadFile reads a given file, "" for the one in force, with flags and environment over it.
func (p *program) loadFile(c *cli.Context, file string) (*config.Config, error) {
	cfg, err := p.configuration(c, file)
	if err != nil {
		return nil, err
	}
	for _, note := range cfg.Notes {
		p.messages(c).Info("%s", note)
	}
	for _, warning := range cfg.Warnings {
		p.messages(c).Info("%v", warning)
	}
	return cfg, nil
}

// configuration is loadFile that says nothing.
func (p *program) configuration(c *cli.Context, file string) (*config.Config, error) {
	if file == "" {
		file = text(c, "config")
	}
	return p.configurationIn(c, file)
}

// configurationIn is that of a file, or where it is "" the one that is found, with flags and environment over it.
func (p *program) configurationIn(c *cli.Context, file string) (*config.Config, error) {
	at := config.OS()
	at.Env = func(name string) string { return wrap.Getenv(p.env, name) }
	return config.Load(config.Flags{Config: file, Backend: text(c, "backend"), Namespace: text(c, "namespace"),
		Agent: text(c, "agent")}, at)
}

// openFor opens the store. A store that never had settings takes those of the configuration; where it
// has others, one line says so.
func (p *program) openFor(c *cli.Context, o storeOptions) (*store, error) {
	cfg, err := p.load(c)
	if err != nil {
		return nil, err
	}
	return p.openWith(c, cfg, o)
}

// openWith opens the store that a configuration names.
func (p *program) openWith(c *cli.Context, cfg *config.Config, o storeOptions) (*store, error) {
	s, err := p.connect(c, cfg, o)
	if err != nil {
		return nil, err
	}
	if err := s.initSettings(c.Context, p.messages(c)); err != nil && !o.look {
		s.Close()
		return nil, err
	}
	return s, nil
}

// connect is openWith, and leaves the settings as they are.
func (p *program) connect(c *cli.Context, cfg *config.Config, o storeOptions) (*store, error) {
	o.timeout, _ = durationOf(c, "connect-timeout")
	ctx, cancel := context.WithTimeout(c.Context, o.timeout)
	defer cancel()
	var b backend.Backend
	var err error
	if cfg.Backend.Etcd != nil {
		b, err = p.connectEtcd(ctx, cfg, o)
	} else {
		b, err = openLocal(ctx, local.Options{Dir: cfg.Backend.Dir, Namespace: cfg.Namespace, Create: !o.look,
			Patience: o.timeout})
	}
	if err != nil {
		return nil, err
	}
	return &store{Backend: b, config: cfg, namespace: cfg.Namespace}, nil
}

// openLocal opens an embedded store; one that is not there and not to be made is an empty one.
func openLocal(ctx context.Context, o local.Options) (backend.Backend, error) {
	open := func(ctx context.Context) (backend.Backend, error) { return local.Open(ctx, o) }
	b, err := open(ctx)
	if !o.Create && errors.Is(err, fs.ErrNotExist) {
		return &unmade{Store: memory.NewSpace().Open(), name: "local:" + o.Dir, open: open}, nil
	}
	return b, err
}

// openInterruptible opens a store for a verb that has a supervisor, whose signals are to end limit though the store is
// slow to answer: one that came meanwhile is returned without a store. What open waits for may be a call that nothing
// ends, as of a file system that hangs, or of a FIFO: it is left behind then, and limit ends.
func (p *program) openInterruptible(c *cli.Context, open func() (*store, error)) (*store, syscall.Signal, error) {
	outer := c.Context
	ctx, cancel := context.WithCancel(outer)
	c.Context = ctx
	defer func() { cancel(); c.Context = outer }()
	type answer struct {
		store *store
		err   error
	}
	opened := make(chan answer, 1)
	go func() {
		s, err := open()
		opened <- answer{s, err}
	}()
	var ending syscall.Signal
	var leave <-chan time.Time
	for {
		select {
		case ending = <-p.supervisor.Signals():
			cancel()
			leave = time.After(leaveBehind)
		case <-leave:
			return nil, ending, nil
		case a := <-opened:
			if ending != 0 && a.store != nil {
				a.store.Close()
			}
			return a.store, ending, a.err
		}
	}
}

// leaveBehind is how long open may take to end after a signal.
const leaveBehind = 500 * time.Millisecond

// errSame ends a change of settings that would change nothing.
var errSame = errors.New("the settings are the same")

// initSettings gives the store the configuration's settings where it has none, and warns where it has others.
func (s *store) initSettings(ctx context.Context, messages *wrap.Messages) error {
	if !s.config.HasSettings {
		return nil
	}
	current, ok, err := s.Settings(ctx)
	if err != nil {
		return err
	}
	if !ok {
		err = s.ChangeSettings(ctx, func(settings *backend.Settings, set bool) error {
			if set {
				current = settings.Clone()
				return errSame
			}
			*settings = s.config.Settings.Clone()
			current = *settings
			return nil
		})
		if err != nil && !errors.Is(err, errSame) {
			return fmt.Errorf("taking the settings of %s into the store: %w", s.config.File, err)
		}
	}
	if differences := config.Diff(current, s.config.Settings); len(differences) > 0 {
		messages.Info("%s differs from the store, whose settings count (%s); 'limit apply' writes the file's",
			s.config.File, summarize(differences))
	}
	return nil
}

// summarize names the first difference and counts the others.
func summarize(differences []string) string {
	if len(differences) == 1 {
		return differences[0]
	}
	return fmt.Sprintf("%s and %d more", differences[0], len(differences)-1)
}

// warnOfTags says which tags of a run no limit of the run queue holds for, and look like a misspelling of one that has
// a limit.
func warnOfTags(settings backend.Settings, messages *wrap.Messages, tags map[string]string) {
	var keys []string
	for _, t := range settings.TagLimits {
		keys = append(keys, t.Key)
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if near := yamlread.Closest(key, keys); !slices.Contains(keys, key) && near != "" {
			messages.Info("no limit holds for the run's tag %s; did you mean %s, which has one?", key, near)
		}
	}
}

// warnUnset says which pools have neither a limit nor a default, and which were probably meant.
func warnUnset(messages *wrap.Messages, settings backend.Settings, pools map[string]int) {
	unset := settings.Unset(pools)
	if len(unset) == 0 {
		return
	}
	var meant []string
	for _, name := range unset {
		if near := nearPool(name, settings); near != "" {
			meant = append(meant, near)
		}
	}
	question := ""
	if len(meant) > 0 {
		question = "did you mean " + strings.Join(meant, ", ") + "? "
	}
	messages.Info("pool %s has no limit and there is no default: one slot, as a lock has; %s'limit pool set %s N' "+
		"sets one",
		strings.Join(unset, ", "), question, backend.ShellWord(unset[0]))
}

// warnOfLimits tells once what people are to know of the limits of a claim that has entered. It asks the store only
// where entering has not shown that already.
func (s *store) warnOfLimits(ctx context.Context, messages *wrap.Messages, e backend.Entry) {
	var survey backend.Survey
	surveyed, known := e.(backend.Surveyed)
	if known {
		survey = surveyed.Survey()
	}
	claim := e.Claim()
	if !known || len(survey.Unset) > 0 {
		settings, _, err := s.Settings(ctx)
		if err != nil {
			return // what is done with the store will tell
		}
		survey = settings.Survey(&claim)
		warnUnset(messages, settings, claim.Pools)
	}
	if survey.Unlimited && len(claim.Pools) == 0 && claim.RunID == claim.ID {
		messages.Info("nothing limits this run: it names no pool, and no limit of the run queue concerns it; give " +
			"--pool NAME")
	}
}
