//go:build linux

package cluster

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// lifetime is the lifetime of every certificate, longer than that of a test cluster.
const lifetime = 7 * 24 * time.Hour

// An identity is the subject of a certificate: a user and its group for a client, names and addresses for a server.
type identity struct {
	name, group string
	names       []string
	addresses   []string
}

var servers = map[string]identity{
	"apiserver": {
		name: "kube-apiserver",
		names: []string{
			"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc." + Domain,
		},
		addresses: []string{Address, "127.0.0.1", "10.96.0.1"},
	},
	"kubelet": {name: Real, names: []string{Real}, addresses: []string{Address}},
}

const administrators = "system:masters"

var clients = map[string]identity{
	"admin":              {name: "admin", group: administrators},
	"apiserver-kubelet":  {name: "kube-apiserver", group: administrators},
	"controller-manager": {name: "system:kube-controller-manager"},
	"scheduler":          {name: "system:kube-scheduler"},
	"proxy":              {name: "system:kube-proxy"},
	"node":               {name: "system:node:" + Real, group: "system:nodes"},
}

// writePKI creates an authority, the certificates that it signs, and a kubeconfig for each client.
func writePKI() error {
	if err := os.MkdirAll(path("pki"), 0o700); err != nil {
		return err
	}
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	for file, id := range servers {
		if _, err := ca.issue(file, id, x509.ExtKeyUsageServerAuth); err != nil {
			return err
		}
	}
	for file, id := range clients {
		user, err := ca.issue(file, id, x509.ExtKeyUsageClientAuth)
		if err != nil {
			return err
		}
		if err := ca.writeKubeconfig(file, user); err != nil {
			return err
		}
	}
	_, err = writeKey("service-accounts")
	return err
}

type authority struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	pem         []byte
}

func newAuthority() (*authority, error) {
	key, err := writeKey("ca")
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "dagyo tests"},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	ca := &authority{key: key, certificate: template}
	ca.pem, err = ca.sign("ca", template, key.Public())
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(ca.pem)
	ca.certificate, err = x509.ParseCertificate(block.Bytes)
	return ca, err
}

// issue writes pki/FILE.crt and pki/FILE.key, and returns them in the form for a kubeconfig.
func (ca *authority) issue(file string, id identity, use x509.ExtKeyUsage) (*clientcmdapi.AuthInfo, error) {
	key, err := writeKey(file)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: id.name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{use},
		DNSNames:    id.names,
	}
	if id.group != "" {
		template.Subject.Organization = []string{id.group}
	}
	for _, a := range id.addresses {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(a))
	}
	certificate, err := ca.sign(file, template, key.Public())
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	user := clientcmdapi.NewAuthInfo()
	user.ClientCertificateData = certificate
	user.ClientKeyData = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return user, nil
}

func (ca *authority) sign(file string, template *x509.Certificate, key crypto.PublicKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = time.Now().Add(lifetime)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, key, ca.key)
	if err != nil {
		return nil, err
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return block, os.WriteFile(path("pki", file+".crt"), block, 0o644)
}

// writeKey creates a key, and writes it to pki/FILE.key and its public part to pki/FILE.pub.
func writeKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	if err := writePEM(path("pki", file+".pub"), "PUBLIC KEY", public); err != nil {
		return nil, err
	}
	return key, writePEM(path("pki", file+".key"), "PRIVATE KEY", private)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func (ca *authority) writeKubeconfig(name string, user *clientcmdapi.AuthInfo) error {
	server := clientcmdapi.NewCluster()
	server.Server = apiServer
	server.CertificateAuthorityData = ca.pem
	context := clientcmdapi.NewContext()
	context.Cluster, context.AuthInfo = "test", name
	return clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"test": server},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{name: user},
		Contexts:       map[string]*clientcmdapi.Context{"test": context},
		CurrentContext: "test",
	}, path(name+".kubeconfig"))
}
