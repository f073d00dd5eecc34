package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	grpccredentials "google.golang.org/grpc/credentials"

	"limit/backend/etcd/keeper"
)

// credentials are what the files of the options hold: the password, the client certificate with its key, and the CA.
// Others replace these files while commands run, so they are read again for each connection, and the password whenever
// etcd refuses the last token. A file that is missing, half written, or a key that does not belong to its certificate
// yet is passed over: what was last read whole serves on.
type credentials struct {
	options keeper.Options

	mu       sync.Mutex
	password string
	tls      *tls.Config
}

// A program that starts while the files are being replaced reads them again for a moment before it fails.
const (
	replacing     = 500 * time.Millisecond
	replacingStep = 50 * time.Millisecond
)

// readCredentials reads the files for the first time: what is wrong with them now is an error.
func readCredentials(ctx context.Context, o keeper.Options) (*credentials, error) {
	c := &credentials{options: o}
	for since := time.Now(); ; {
		err := c.refresh()
		if err == nil {
			return c, nil
		}
		if errors.Is(err, os.ErrNotExist) || time.Since(since) > replacing || !pause(ctx, replacingStep) {
			return nil, err
		}
	}
}

// refresh reads the files again. What cannot be read stays as it was.
func (c *credentials) refresh() error {
	config, errTLS := tlsConfig(c.options)
	password, errPassword := readPassword(c.options.PasswordFile)
	c.mu.Lock()
	defer c.mu.Unlock()
	if errTLS == nil {
		c.tls = config
	}
	if errPassword == nil {
		c.password = password
	}
	return errors.Join(errTLS, errPassword)
}

// newPassword is the password as its file has it now.
func (c *credentials) newPassword() string {
	c.refresh() // failing, the last serves
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.password
}

// newTLS is the configuration for the next connection; nil without TLS.
func (c *credentials) newTLS() *tls.Config {
	c.refresh() // failing, the last serves
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tls
}

func readPassword(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the password of etcd: %w", err)
	}
	password := strings.TrimRight(string(data), "\r\n")
	if password == "" {
		return "", fmt.Errorf("%s is empty; it should hold the password of the user of etcd", file)
	}
	return password, nil
}

// tlsConfig reads the files of TLS. It is nil where neither the endpoints nor the options ask for TLS.
func tlsConfig(o keeper.Options) (*tls.Config, error) {
	t := o.TLS
	wanted := t != keeper.TLS{}
	for _, e := range o.Endpoints {
		wanted = wanted || strings.HasPrefix(e, "https://")
	}
	if !wanted {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName, InsecureSkipVerify: t.SkipVerify}
	if t.CA != "" {
		pem, err := os.ReadFile(t.CA)
		if err != nil {
			return nil, fmt.Errorf("reading the CA certificate of etcd: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate; it should be the CA of etcd's servers", t.CA)
		}
	}
	switch {
	case t.Cert != "" && t.Key != "":
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	case t.Cert != "" || t.Key != "":
		return nil, errors.New("a client certificate needs both its cert and its key; give the other one too")
	}
	return c, nil
}

// transport is TLS with the files as they are at each handshake. A tls.Config alone can do that for the client
// certificate, not for the CA: a verification of one's own is not told the server's name where that is an address.
type transport struct {
	grpccredentials.TransportCredentials // of the first reading: what the connection is called
	files                                *credentials
}

func newTransport(files *credentials) grpccredentials.TransportCredentials {
	return &transport{grpccredentials.NewTLS(files.newTLS()), files}
}

// ClientHandshake reads the files.
func (t *transport) ClientHandshake(ctx context.Context, authority string,
	conn net.Conn) (net.Conn, grpccredentials.AuthInfo, error) {
	return grpccredentials.NewTLS(t.files.newTLS()).ClientHandshake(ctx, authority, conn)
}

// Clone returns one that reads the same files.
func (t *transport) Clone() grpccredentials.TransportCredentials {
	return &transport{t.TransportCredentials.Clone(), t.files}
}
