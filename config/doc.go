// Package config finds and reads limit.yaml, and lets environment and flags override it.
//
//	c, err := config.Load(config.Flags{Config: …, Backend: …, Namespace: …}, config.OS())
//	c.Backend      // Etcd == nil: the embedded store in Dir; else Etcd's endpoints, files and user
//	c.Namespace
//	c.Settings     // of the concurrency block, where c.HasSettings; else backend.NewSettings()
//	c.Warnings     // to be printed once, each p.Head() or p.Error()
//	c.Values()     // for limit config: every key, its value and where it came from
//
//	config.Diff(old, new)                    what differs, a line each; nil where nothing does
//	config.Schema()                          the JSON schema of limit.yaml
//	config.ParseBackend                      --backend
//	config.ReadTagLimits(value)              tag_concurrency_limits of any file read by yamlread
//
// The errors of a file are a *multierror.Error of *yamlread.Problem, to be printed as it is: each problem has its
// place, the source line and a caret; yamlread.Problems takes them apart. Other errors are one line.
//
// Nothing is executed, expanded or fetched because of a file, and no file is opened that it names: certificates and the
// password are read by those who connect. A file that was found rather than named must be a regular one, and in the
// current directory or above it one that nobody could have written but the caller, root and a group of the caller's;
// see trust.go.
//
// Dagster's own keys beside concurrency are ignored with one warning, so a whole dagster.yaml can be given; Dagster's
// older spellings are refused with the new one. A key of a tag has no "=" in it, since --tag KEY=VALUE and the names of
// limits are cut there.
//
// Reading costs nothing before there is a file: the package has no variables and no initialisation of its own.
package config
