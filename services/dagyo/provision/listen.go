package provision

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/atomicwriter"

	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

// A Listener says where a NATS server listens, and how it proves who it is.
type Listener struct {
	// Host is the address to listen on, "" for the loopback interface only, which needs no TLS.
	Host string
	// Names are the names and addresses by which the server is reached, besides those of this machine.
	Names []string
	// Cert and Key are the files of a certificate to use, "" for one of an authority that is made with the keys. CA is the
	// file with the authorities that have signed it, "" for those of the system.
	Cert, Key, CA string
}

// Encrypted reports whether connections are encrypted.
func (l Listener) Encrypted() bool { return !loopback(l.Host) || l.Cert != "" || len(l.Names) > 0 }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" || ip != nil && ip.IsLoopback()
}

// Validate reports what is wrong.
func (l Listener) Validate() error {
	switch {
	case (l.Cert == "") != (l.Key == ""):
		return errors.New("--tls-cert and --tls-key belong together")
	case l.Cert != "" && len(l.Names) > 0:
		return errors.New("--tls-name is for a certificate that is made here: with --tls-cert, the names are those of the certificate")
	case l.Host != "" && l.Host != "localhost" && net.ParseIP(l.Host) == nil:
		return fmt.Errorf("--listen is %q: it must be an IP address of this machine, or 0.0.0.0 or :: for all", l.Host)
	}
	return nil
}

// Serve returns the server's TLS configuration and the name to connect to on this machine, nil and "" without TLS. In the
// data directory, it keeps what clients verify the server with, where AuthorityFile finds it.
func (l Listener) Serve(data string) (*tls.Config, string, error) {
	path := filepath.Join(data, caFile)
	if !l.Encrypted() {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, "", err
	}
	pair, ca, err := l.certificate(data)
	if err != nil {
		return nil, "", fmt.Errorf("the certificate of the server: %w", err)
	}
	if ca == nil {
		err = os.RemoveAll(path)
	} else {
		err = atomicwriter.WriteFile(path, ca, 0o600)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, l.local(pair.Leaf), err
}

// local is the name to connect to on this machine.
func (l Listener) local(cert *x509.Certificate) string {
	for _, name := range []string{"127.0.0.1", "localhost", l.Host} {
		if cert.VerifyHostname(name) == nil && (name == l.Host || loopback(l.Host) || l.any()) {
			return name
		}
	}
	for _, name := range cert.DNSNames { // which must lead here
		if !strings.Contains(name, "*") {
			return name
		}
	}
	return l.Host
}

func (l Listener) any() bool {
	ip := net.ParseIP(l.Host)
	return ip != nil && ip.IsUnspecified()
}

func (l Listener) certificate(data string) (pair tls.Certificate, ca []byte, err error) {
	if l.Cert != "" {
		if pair, err = tls.LoadX509KeyPair(l.Cert, l.Key); err == nil && l.CA != "" {
			ca, err = os.ReadFile(l.CA)
		}
		return pair, ca, err
	}
	names, err := l.names()
	if err != nil {
		return pair, nil, err
	}
	a, err := openAuthority(keyring.In(data))
	if err != nil {
		return pair, nil, err
	}
	certFile, keyFile := filepath.Join(keyring.In(data), "server.crt"), filepath.Join(keyring.In(data), "server.key")
	public, private, err := a.keep(certFile, keyFile, names)
	if err == nil {
		err = errors.Join(atomicwriter.WriteFile(keyFile, private, 0o600), atomicwriter.WriteFile(certFile, public, 0o600))
	}
	if err != nil {
		return pair, nil, err
	}
	pair, err = tls.X509KeyPair(public, private)
	return pair, bytes.Clone(a.public), err
}

// names are the names and addresses of the certificate: the given ones, and those of this machine on which it listens.
func (l Listener) names() ([]string, error) {
	out := append([]string{"localhost", "127.0.0.1", "::1"}, l.Names...)
	if host, err := os.Hostname(); err == nil && host != "" && !loopback(l.Host) {
		out = append(out, host)
	}
	if !l.any() {
		if l.Host != "" {
			out = append(out, l.Host)
		}
	} else {
		all, err := net.InterfaceAddrs()
		if err != nil {
			return nil, err
		}
		for _, a := range all {
			if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() {
				out = append(out, ip.IP.String())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
