package broker

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/contract"
)

// Access is the authentication with the NATS server: paths of files, each "" if unused.
type Access struct {
	// Creds is a NATS credentials file.
	Creds string
	// CA holds the certificates of the authorities to trust for the server's certificate; without it,
	// those of the system are used.
	CA string
	// Cert and Key are our own certificate and its key.
	Cert, Key string
}

// Secrets are the files that only their user may read.
func (a Access) Secrets() (paths []string) {
	for _, path := range []string{a.Creds, a.Key} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// AccessFromEnvironment reads the environment variables that name the files of an executor or of the command.
func AccessFromEnvironment(lookup func(string) string) Access {
	return Access{
		Creds: lookup(contract.EnvCreds), CA: lookup(contract.EnvTLSCA),
		Cert: lookup(contract.EnvTLSCert), Key: lookup(contract.EnvTLSKey),
	}
}

// Environment is the inverse of AccessFromEnvironment.
func (a Access) Environment() map[string]string {
	out := make(map[string]string)
	for name, path := range map[string]string{
		contract.EnvCreds: a.Creds, contract.EnvTLSCA: a.CA, contract.EnvTLSCert: a.Cert, contract.EnvTLSKey: a.Key,
	} {
		if path != "" {
			out[name] = path
		}
	}
	return out
}

// Validate reports what is wrong with it.
func (a Access) Validate() error {
	if (a.Cert == "") != (a.Key == "") {
		return errors.New("a TLS certificate needs its key: set both, or neither")
	}
	return nil
}

func (a Access) options(credentials []byte) ([]nats.Option, error) {
	var out []nats.Option
	if credentials != nil {
		out = append(out, nats.UserCredentialBytes(credentials))
	} else if a.Creds != "" {
		out = append(out, nats.UserCredentials(a.Creds)) // it may be replaced while we are connected
	}
	holder, ours, err := a.Holder(credentials)
	if err != nil {
		return nil, err
	}
	if ours {
		out = append(out, nats.CustomInboxPrefix(holder.Inbox()))
	}
	if a.CA != "" {
		out = append(out, nats.RootCAs(a.CA))
	}
	if a.Cert != "" {
		out = append(out, nats.ClientCert(a.Cert, a.Key))
	}
	return out, nil
}

// Holder returns whom the credentials are for: those in Creds, or the given ones. ok is false if there are none, or if
// Dagyo has not issued them.
func (a Access) Holder(credentials []byte) (h access.Holder, ok bool, err error) {
	if credentials == nil && a.Creds != "" {
		credentials, err = os.ReadFile(a.Creds)
	}
	if err == nil && credentials != nil {
		h, ok, err = access.Read(credentials)
	}
	if err != nil {
		err = fmt.Errorf("read the NATS credentials%s: %w", at(a.Creds), err)
	}
	return h, ok, err
}

// at returns where something is, for a message.
func at(path string) string {
	if path == "" {
		return ""
	}
	return " in " + path
}

// Redact removes users, passwords and tokens from a list of NATS URLs for display. A password may contain any
// character, so everything from the first scheme to the last "@" is hidden, including names of other servers.
func Redact(urls string) string {
	at := strings.LastIndexByte(urls, '@')
	if at < 0 {
		return urls
	}
	shown := "xxxxx@" + urls[at+1:]
	if scheme, _, ok := strings.Cut(urls[:at], "://"); ok {
		shown = scheme + "://" + shown
	}
	return shown
}
