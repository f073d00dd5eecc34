package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"limit/config/grammar"
	"limit/config/yamlread"
)

// The keys of a limit.yaml, by the mapping they stand in.
func topKeys() []string     { return []string{"backend", "namespace", "concurrency", "dag", "agent"} }
func backendKeys() []string { return []string{"local", "etcd"} }
func etcdKeys() []string    { return []string{"endpoints", "tls", "username", "password_file", "agent"} }
func tlsKeys() []string     { return []string{"ca", "cert", "key", "server_name"} }

// reader reads a document into a Config.
type reader struct {
	doc     *yamlread.Document
	dir     string // what paths are relative to
	config  *Config
	ignored []yamlread.Entry // Dagster's keys that mean nothing here
}

func readDocument(doc *yamlread.Document, dir string) (*Config, error) {
	r := &reader{doc: doc, dir: dir, config: empty()}
	r.config.File = doc.Name()
	top, _ := doc.Root().Fields(r.dagsterKey, topKeys()...)
	r.backend(top.Get("backend"))
	r.namespace(top.Get("namespace"))
	r.concurrency(top.Get("concurrency"))
	r.dag(top.Get("dag"))
	r.agent(top.Get("agent"))
	r.warnIgnored()
	r.config.Warnings = doc.Warnings()
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return r.config, nil
}

// from remembers where the value of a key was set.
func (r *reader) from(path string, v yamlread.Value) {
	r.config.origins[path] = fmt.Sprintf("%s:%d", r.doc.Name(), v.Line())
}

func (r *reader) namespace(v yamlread.Value) {
	name, ok := v.Text()
	if !ok {
		return
	}
	if fault := namespaceFault(name); fault != "" {
		v.Reject("the namespace "+fault, "")
		return
	}
	r.config.Namespace = name
	r.from("namespace", v)
}

func (r *reader) backend(v yamlread.Value) {
	if v.Kind() == yamlread.Text {
		remedy := "write local: or etcd: below it"
		if v.Written() == "local" {
			remedy = "write local: {}, or leave it out"
		}
		v.Reject("backend must be a mapping", remedy)
		return
	}
	fields, _ := v.Fields(nil, backendKeys()...)
	local, etcd := fields.Get("local"), fields.Get("etcd")
	if local.Kind() != yamlread.Absent && etcd.Kind() != yamlread.Absent {
		fields.Key("etcd").Reject("backend has both local and etcd", "keep one of them")
	}
	if local.Kind() != yamlread.Absent {
		r.from("backend", fields.Key("local"))
		inner, _ := local.Fields(nil, "dir")
		r.config.Backend.Dir = r.path(inner.Get("dir"))
	}
	if etcd.Kind() != yamlread.Absent {
		r.from("backend", fields.Key("etcd"))
		r.etcd(fields.Key("etcd"), etcd)
	}
}

// path reads a path, relative to the file, and returns it in full; "" where there is none.
func (r *reader) path(v yamlread.Value) string {
	path, ok := v.Text()
	if !ok {
		return ""
	}
	if fault := pathFault(path); fault != "" {
		v.Reject(fmt.Sprintf("%s %s", v.Name(), fault), "write the path in full, or relative to this file")
		return ""
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(r.dir, path)
}

// origins remembers the places of those keys that are given.
func (r *reader) origins(parent string, fields yamlread.Fields, keys ...string) {
	for _, key := range keys {
		if v := fields.Get(key); v.Given() {
			r.from(parent+"."+key, v)
		}
	}
}

func (r *reader) etcd(key, v yamlread.Value) {
	if v.Kind() == yamlread.Null {
		key.Reject("etcd has no endpoints", "add endpoints: [https://HOST:2379]")
		return
	}
	fields, ok := v.Fields(nil, etcdKeys()...)
	if !ok {
		return
	}
	e := &Etcd{}
	e.Endpoints = r.endpoints(fields.Require("endpoints"))
	r.tls(fields.Get("tls"), e)
	r.credentials(fields, e)
	if agent := fields.Get("agent"); agent.Written() == NoAgent {
		e.Agent = NoAgent
	} else {
		e.Agent = r.path(agent)
	}
	r.origins("backend.etcd", fields, "agent")
	if fault := e.completeSchemes(); fault != "" && len(e.Endpoints) > 0 {
		fact, remedy, _ := strings.Cut(fault, "; ")
		fields.Get("endpoints").Reject(fact, remedy)
	}
	r.config.Backend.Etcd = e
}

func (r *reader) endpoints(v yamlread.Value) []string {
	items, ok := v.OneOrMany()
	if ok && len(items) == 0 {
		v.Reject("endpoints is empty", "add one: [https://HOST:2379]")
	}
	var endpoints []string
	for _, item := range items {
		text, ok := item.Text()
		if !ok {
			if item.Kind() == yamlread.Null {
				item.Reject("an endpoint is empty", "")
			}
			continue
		}
		endpoint, err := parseEndpoint(text)
		if err != nil {
			fact, remedy, _ := strings.Cut(err.Error(), "; ")
			item.Reject(fact, remedy)
			continue
		}
		if slices.Contains(endpoints, endpoint) {
			item.Reject(fmt.Sprintf("endpoint %s is named twice", endpoint), "")
			continue
		}
		endpoints = append(endpoints, endpoint)
	}
	return endpoints
}

func (r *reader) tls(v yamlread.Value, e *Etcd) {
	fields, ok := v.Fields(nil, tlsKeys()...)
	if !ok {
		return
	}
	e.CA, e.Cert, e.Key = r.path(fields.Get("ca")), r.path(fields.Get("cert")), r.path(fields.Get("key"))
	r.origins("backend.etcd.tls", fields, tlsKeys()...)
	needs(fields, "cert", "key")
	needs(fields, "key", "cert")
	name := fields.Get("server_name")
	e.ServerName, _ = name.Text()
	if fault := grammar.NameFault(e.ServerName); fault != "" && name.Kind() == yamlread.Text {
		name.Reject("server_name "+fault, "")
	}
}

func (r *reader) credentials(fields yamlread.Fields, e *Etcd) {
	user := fields.Get("username")
	e.Username, _ = user.Text()
	if fault := grammar.NameFault(e.Username); fault != "" && user.Kind() == yamlread.Text {
		user.Reject("username "+fault, "")
	}
	e.PasswordFile = r.path(fields.Get("password_file"))
	r.origins("backend.etcd", fields, "username", "password_file")
	needs(fields, "username", "password_file")
	needs(fields, "password_file", "username")
}

// needs notes a key without the one that belongs to it.
func needs(fields yamlread.Fields, one, other string) {
	if fields.Get(one).Given() && !fields.Get(other).Given() {
		fields.Key(one).Reject(fmt.Sprintf("%s stands without %s", one, other), fmt.Sprintf("add %s: …", other))
	}
}
