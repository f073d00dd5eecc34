package etcdtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Certs are the files of a certificate authority made for one test: servers with it demand client certificates.
type Certs struct {
	CA, ServerCert, ServerKey, ClientCert, ClientKey string
	StrangerCert, StrangerKey                        string // signed by another authority
	pool                                             *x509.CertPool
	ca                                               *x509.Certificate
	key                                              *ecdsa.PrivateKey
}

// NewCerts makes them.
func NewCerts(t testing.TB) *Certs {
	t.Helper()
	dir := t.TempDir()
	c := &Certs{CA: filepath.Join(dir, "ca.pem")}
	stranger, strangerKey := authority(t, "another authority")
	c.StrangerCert, c.StrangerKey = issue(t, dir, "stranger", stranger, strangerKey, day)
	c.Renew(t)
	return c
}

const day = 24 * time.Hour

// Renew makes another authority and new certificates of it, in the same files. A server has them after its next start.
func (c *Certs) Renew(t testing.TB) {
	t.Helper()
	c.ca, c.key = authority(t, "authority of the test")
	c.ServerCert, c.ServerKey = issue(t, filepath.Dir(c.CA), "server", c.ca, c.key, day)
	write(t, c.CA, "CERTIFICATE", c.ca.Raw)
	c.pool = x509.NewCertPool()
	c.pool.AddCert(c.ca)
	c.RenewClient(t, day)
}

// RenewClient makes a new client certificate, in the same files.
func (c *Certs) RenewClient(t testing.TB, lifetime time.Duration) {
	t.Helper()
	c.ClientCert, c.ClientKey = issue(t, filepath.Dir(c.CA), "client", c.ca, c.key, lifetime)
}

func (c *Certs) flags() []string {
	return []string{"--cert-file", c.ServerCert, "--key-file", c.ServerKey, "--trusted-ca-file", c.CA,
		"--client-cert-auth"}
}

func (c *Certs) client() *tls.Config {
	pair, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
	if err != nil {
		panic(err)
	}
	return &tls.Config{RootCAs: c.pool, Certificates: []tls.Certificate{pair}}
}

func authority(t testing.TB, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func issue(t testing.TB, dir, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey,
	lifetime time.Duration) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".pem"), filepath.Join(dir, name+"-key.pem")
	write(t, certFile, "CERTIFICATE", der)
	write(t, keyFile, "PRIVATE KEY", pkcs8)
	return certFile, keyFile
}

func write(t testing.TB, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
