package config

import (
	"errors"
	"fmt"
	"limit/config/grammar"
	"slices"
	"strconv"
	"strings"
)

// Backend says which store to use: etcd where Etcd is set, else the embedded store in Dir.
type Backend struct {
	Dir  string // absolute in a Config that was loaded; "" for the default directory
	Etcd *Etcd
}

// Etcd says how to reach an etcd cluster.
type Etcd struct {
	Endpoints    []string // http://host:port or https://host:port, all of the same kind
	CA           string   // file of the certificates to trust; "": the system's
	Cert, Key    string   // files of the client's certificate and key, both or none
	ServerName   string   // the name that the server's certificate must have; "": the endpoint's host
	Username     string
	PasswordFile string // set where Username is
	Agent        string // the socket of the agent to use, or NoAgent; "": the default one, where it is there
}

// encrypted reports whether the store is an etcd cluster with anything set that only an encrypted connection uses.
func (b Backend) encrypted() bool { return b.Etcd != nil && b.Etcd.TLS() }

// TLS reports whether anything is set that only an encrypted connection uses.
func (e *Etcd) TLS() bool { return e.CA != "" || e.Cert != "" || e.Key != "" || e.ServerName != "" }

// String is what --backend takes: local:DIR or etcd://h1:2379,h2:2379.
func (b Backend) String() string {
	if b.Etcd == nil {
		if b.Dir == "" {
			return "local"
		}
		return "local:" + b.Dir
	}
	bare := make([]string, len(b.Etcd.Endpoints))
	for i, endpoint := range b.Etcd.Endpoints {
		bare[i] = strings.TrimPrefix(endpoint, "http://")
	}
	return "etcd://" + strings.Join(bare, ",")
}

// ParseBackend reads the value of --backend: local, local:DIR, etcd://HOST[:PORT],…, or a list of http:// or https://
// endpoints. The directory may be relative. Endpoints without scheme, which may stand after etcd:// only, come back
// without.
func ParseBackend(text string) (Backend, error) {
	kind, rest, _ := strings.Cut(text, ":")
	switch kind {
	case "local":
		if text == "local" {
			return Backend{}, nil
		}
		if fault := pathFault(rest); fault != "" {
			return Backend{}, fmt.Errorf("the directory of the store %s; give local:DIR, or local for the default",
				fault)
		}
		return Backend{Dir: rest}, nil
	case "etcd":
		list, ok := strings.CutPrefix(rest, "//")
		if !ok {
			return Backend{}, errors.New("etcd needs endpoints; give etcd://HOST:2379,…")
		}
		return parseEndpoints(list)
	case "http", "https":
		return parseEndpoints(text)
	}
	if strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") {
		return Backend{}, fmt.Errorf("%q is a path and not a store; give local:%s", text, text)
	}
	return Backend{}, fmt.Errorf("unknown store %q; give local, local:DIR or etcd://HOST:2379,…", text)
}

func parseEndpoints(list string) (Backend, error) {
	var endpoints []string
	for _, text := range strings.Split(list, ",") {
		endpoint, err := parseEndpoint(text)
		if err != nil {
			return Backend{}, err
		}
		if slices.Contains(endpoints, endpoint) {
			return Backend{}, fmt.Errorf("endpoint %s is named twice", endpoint)
		}
		endpoints = append(endpoints, endpoint)
	}
	return Backend{Etcd: &Etcd{Endpoints: endpoints}}, nil
}

// parseEndpoint reads [SCHEME://]HOST[:PORT] and adds the port where it is missing.
func parseEndpoint(text string) (string, error) {
	scheme, host, found := strings.Cut(text, "://")
	if !found {
		scheme, host = "", text
	} else if scheme != "http" && scheme != "https" {
		return "", fmt.Errorf("endpoint %q: unknown scheme; give http:// or https://", text)
	}
	host = strings.TrimSuffix(host, "/")
	if strings.Contains(host, "@") {
		return "", errors.New("an endpoint has a user in it; set username and password_file in limit.yaml")
	}
	host, port := cutPort(host)
	if fault := hostFault(host); fault != "" {
		return "", fmt.Errorf("endpoint %q %s", text, fault)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return "", fmt.Errorf("endpoint %q: port %q is not a number from 1 to 65535", text, port)
	}
	if scheme != "" {
		scheme += "://"
	}
	return scheme + host + ":" + port, nil
}

// cutPort takes host and port apart. The default port is etcd's.
func cutPort(text string) (host, port string) {
	if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') {
		return text[:i], text[i+1:]
	}
	return text, "2379"
}

func hostFault(host string) string {
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		inner, bracketed = strings.CutSuffix(inner, "]")
	}
	switch {
	case host == "":
		return "has no host"
	case bracketed && inner != "" && !strings.ContainsFunc(inner, notOf("0123456789abcdefABCDEF:.")):
		return ""
	case strings.Contains(host, ":") && !strings.ContainsAny(host, "[]"):
		return "is ambiguous; put an IPv6 address in brackets: [::1]:2379"
	case strings.ContainsFunc(host, notOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")):
		return "is not HOST:PORT"
	}
	return ""
}

func notOf(allowed string) func(rune) bool {
	return func(r rune) bool { return !strings.ContainsRune(allowed, r) }
}

// pathFault says why a path is not taken; "" where it is.
func pathFault(path string) string {
	switch {
	case path == "":
		return "is empty"
	case path == "~" || strings.HasPrefix(path, "~/"):
		return `begins with "~", which only a shell knows`
	case grammar.HasControl(path):
		return "has a character in it that is not text"
	}
	return ""
}

// replacedBy is the store that a flag or variable chose. Other endpoints keep the file's certificates and user.
func (b Backend) replacedBy(chosen Backend) (Backend, error) {
	if chosen.Etcd == nil {
		return chosen, nil
	}
	e := Etcd{}
	if b.Etcd != nil {
		e = *b.Etcd
	}
	e.Endpoints = chosen.Etcd.Endpoints
	if strings.HasPrefix(e.Endpoints[0], "http://") && e.TLS() {
		if e.Username != "" {
			return Backend{}, errors.New("an http:// endpoint would get the password, which limit.yaml sends " +
				"encrypted; give https://, or another file by --config")
		}
		e.CA, e.Cert, e.Key, e.ServerName = "", "", "", ""
	}
	if fault := e.completeSchemes(); fault != "" {
		return Backend{}, errors.New(fault)
	}
	if b.Etcd != nil && !slices.Equal(e.Endpoints, b.Etcd.Endpoints) {
		e.Agent = "" // that of the file is for the file's
	}
	return Backend{Etcd: &e}, nil
}

// completeSchemes gives endpoints without scheme theirs. The fault it returns is that of mixed ones, or of TLS without
// use.
func (e *Etcd) completeSchemes() (fault string) {
	endpoints := make([]string, len(e.Endpoints))
	secure := 0
	for i, endpoint := range e.Endpoints {
		switch {
		case strings.Contains(endpoint, "://"):
		case e.TLS():
			endpoint = "https://" + endpoint
		default:
			endpoint = "http://" + endpoint
		}
		if strings.HasPrefix(endpoint, "https://") {
			secure++
		}
		endpoints[i] = endpoint
	}
	e.Endpoints = endpoints
	switch {
	case secure > 0 && secure < len(endpoints):
		return "some endpoints are encrypted and some are not; give all of them https:// or all http://"
	case secure == 0 && e.TLS():
		return "tls is set, but the endpoints are not encrypted; give them https://"
	}
	return ""
}
