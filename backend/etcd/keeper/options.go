package keeper

import "time"

// Defaults of Options.
const (
	DefaultTTL            = 60 * time.Second
	DefaultGrace          = 10 * time.Second
	DefaultConnectTimeout = 10 * time.Second
	MinTTL                = 5 * time.Second
)

// Options say which etcd, and how long a dead machine keeps its slots. Zero values are the defaults; Endpoints has
// none.
type Options struct {
	Endpoints []string `json:"endpoints"` // host:port, http://host:port or https://host:port
	Namespace string   `json:"namespace,omitempty"`
	TLS       TLS      `json:"tls"`
	Username  string   `json:"username,omitempty"`

	// PasswordFile holds the user's password. It is read again, as the files of TLS are, whenever etcd asks for
	// credentials.
	PasswordFile string `json:"password_file,omitempty"`

	// TTL is the lease of what this process owns, in whole seconds; Grace the time a command
	// needs between TERM and KILL. A holder that cannot renew learns it Grace before it has to be gone.
	TTL   time.Duration `json:"ttl,omitempty"`
	Grace time.Duration `json:"grace,omitempty"`

	// WarnOnLost lets a command run on when its claim is lost, or its wrapper dead: the keeper kills nothing.
	WarnOnLost bool `json:"warn_on_lost,omitempty"`

	// ThirdGuard is the program that runs fence.Main, with its arguments. Empty: there is none.
	ThirdGuard []string `json:"third_guard,omitempty"`

	// SeenDir is a directory of this user's for the highest revision that was seen, which Health compares. It is made
	// where it is not there. Empty: nothing is kept.
	SeenDir string `json:"seen_dir,omitempty"`

	// ConnectTimeout bounds every request, repetitions included; then it fails with backend.ErrUnreachable.
	ConnectTimeout time.Duration `json:"connect_timeout,omitempty"`
}

// TLS names the files of the usual TLS options of etcd. Endpoints with https:// need none of them.
type TLS struct {
	CA         string `json:"ca,omitempty"`
	Cert       string `json:"cert,omitempty"`
	Key        string `json:"key,omitempty"`
	ServerName string `json:"server_name,omitempty"`
	SkipVerify bool   `json:"skip_verify,omitempty"` // accepts any certificate of the server
}

// WithDefaults returns the options with defaults in place of zero values, and a TTL of whole seconds, at least MinTTL.
func (o Options) WithDefaults() Options {
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	o.TTL = max(MinTTL, (o.TTL + time.Second - 1).Truncate(time.Second))
	if o.Grace == 0 {
		o.Grace = min(DefaultGrace, o.TTL/4)
	}
	o.Grace = min(o.Grace, o.TTL/2)
	if o.ConnectTimeout == 0 {
		o.ConnectTimeout = DefaultConnectTimeout
	}
	return o
}

// Fence is how long after the sending of the last answered renewal the last process of a command has to be gone:
// the lease cannot end before, even if the clocks of server and holder differ by a tenth.
func (o Options) Fence() time.Duration { return o.TTL*9/10 - time.Second }
