package provision

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/moby/sys/atomicwriter"

	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

// Certificates are valid for years: the server reads its own at its start, and is given a new one in time by the start
// before.
const (
	authorityYears = 20
	serverYears    = 5
	// backdated allows for clocks that are behind.
	backdated = time.Hour
)

// An authority signs the certificate of the NATS server.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	// public is the certificate as a PEM file.
	public []byte
}

// openAuthority reads the authority in the folder of the keys, and makes it if there is none.
func openAuthority(dir string) (*authority, error) {
	public, private := filepath.Join(dir, caFile), filepath.Join(dir, "ca.key")
	pair, err := tls.LoadX509KeyPair(public, private)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeAuthority(public, private); err == nil {
			pair, err = tls.LoadX509KeyPair(public, private)
		}
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if err == nil && !ok {
		err = errors.New("its key is not an ECDSA key")
	}
	if err != nil {
		return nil, fmt.Errorf("open the certificate authority in %s: %w", dir, err)
	}
	return &authority{cert: pair.Leaf, key: key, public: certificate(pair.Certificate[0])}, nil
}

// makeAuthority writes a new authority, its certificate last: without that it does not exist.
func makeAuthority(public, private string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "Dagyo"}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := sign(template, template, key, key, authorityYears)
	if err != nil {
		return err
	}
	text, err := keyText(key)
	if err == nil {
		err = atomicwriter.WriteFile(private, text, 0o600)
	}
	if err == nil {
		err = atomicwriter.WriteFile(public, certificate(der), 0o600)
	}
	return err
}

// keep returns the certificate and the key in two files if a server with these names can go on with them, else new ones.
func (a *authority) keep(cert, key string, names []string) (public, private []byte, err error) {
	public, first := os.ReadFile(cert)
	private, second := os.ReadFile(key)
	if first == nil && second == nil && a.serves(public, private, names) {
		return public, private, nil
	}
	return a.server(names)
}

// server returns a certificate for a server with the given names and addresses, and its key, as PEM files.
func (a *authority) server(names []string) (public, private []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "NATS of Dagyo"}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	template.DNSNames, template.IPAddresses = split(names)
	der, err := sign(template, a.cert, key, a.key, serverYears)
	if err != nil {
		return nil, nil, err
	}
	private, err = keyText(key)
	return certificate(der), private, err
}

// serves reports whether a server can go on with a certificate: it is for these names, and good for a third of its time.
func (a *authority) serves(public, private []byte, names []string) bool {
	pair, err := tls.X509KeyPair(public, private)
	if err != nil || pair.Leaf.CheckSignatureFrom(a.cert) != nil {
		return false
	}
	hosts, addresses := split(names)
	return slices.Equal(pair.Leaf.DNSNames, hosts) &&
		slices.EqualFunc(pair.Leaf.IPAddresses, addresses, net.IP.Equal) &&
		time.Until(pair.Leaf.NotAfter) > pair.Leaf.NotAfter.Sub(pair.Leaf.NotBefore)/3
}

// split tells addresses from names.
func split(names []string) (hosts []string, addresses []net.IP) {
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			addresses = append(addresses, ip)
		} else {
			hosts = append(hosts, name)
		}
	}
	return hosts, addresses
}

func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey, years int) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, now.Add(-backdated), now.AddDate(years, 0, 0)
	return x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
}

func certificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyText(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// caFile is the name of the certificate of the authority, for whoever connects.
const caFile = "ca.crt"

// The certificate of the server and its key.
const (
	certPath = "nats/tls.crt"
	keyPath  = "nats/tls.key"
)

// TLS is how the NATS server is reached by TLS.
type TLS struct {
	// Names are the names and addresses of the server. Without any, it has no TLS.
	Names []string
	// Dir is the folder nats as the server sees it.
	Dir string
}

// configuration is the part of the server's configuration.
func (t TLS) configuration() []byte {
	return fmt.Appendf(nil, "tls {\n  cert_file: %q\n  key_file: %q\n}\n",
		filepath.Join(t.Dir, filepath.Base(certPath)), filepath.Join(t.Dir, filepath.Base(keyPath)))
}

// AuthorityFile returns the file with the certificates to verify the server with, "" if it has no TLS: then there is no
// authority, or the server's folder has no certificate. `dagyo up` has it in its data directory.
func AuthorityFile(dir string) string {
	exists := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	if own := filepath.Join(dir, caFile); exists(own) {
		return own
	}
	path := filepath.Join(keyring.In(dir), caFile)
	if !exists(path) || exists(filepath.Join(dir, filepath.Dir(certPath))) && !exists(filepath.Join(dir, certPath)) {
		return ""
	}
	return path
}

// dropCertificate removes the server's certificate. The authority stays: the server may get another one.
func dropCertificate(dir string) error {
	for _, path := range []string{certPath, keyPath, encrypted} {
		if err := os.Remove(filepath.Join(dir, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// certificates returns the files for TLS: a server's certificate, kept if it still serves, and the authority for each
// reader.
func certificates(dir string, names []string) ([]File, error) {
	a, err := openAuthority(keyring.In(dir))
	if err != nil {
		return nil, err
	}
	public, private, err := a.keep(filepath.Join(dir, filepath.FromSlash(certPath)), filepath.Join(dir, filepath.FromSlash(keyPath)), names)
	if err != nil {
		return nil, fmt.Errorf("make the certificate of the server: %w", err)
	}
	out := []File{{Path: certPath, Content: bytes.Clone(public)}, {Path: keyPath, Content: private}}
	for _, reader := range secretReaders() {
		out = append(out, File{Path: reader + "/" + caFile, Content: a.public})
	}
	return out, nil
}
