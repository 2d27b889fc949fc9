package broker

import (
	"errors"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Access is how to be let in by the NATS server: paths of files, each "" where there is none.
type Access struct {
	// Creds is a NATS credentials file.
	Creds string
	// CA holds the certificates of the authorities that the server's certificate may come from;
	// without it, those of the system count.
	CA string
	// Cert and Key are our own certificate and its key.
	Cert, Key string
}

// AccessFromEnvironment reads the variables that tell an executor, or the command, of its files.
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
		return errors.New("a TLS certificate and its key belong together: give both, or neither")
	}
	return nil
}

func (a Access) options() []nats.Option {
	var out []nats.Option
	if a.Creds != "" {
		out = append(out, nats.UserCredentials(a.Creds))
	}
	if a.CA != "" {
		out = append(out, nats.RootCAs(a.CA))
	}
	if a.Cert != "" {
		out = append(out, nats.ClientCert(a.Cert, a.Key))
	}
	return out
}

// Redact makes a list of NATS URLs fit to be shown: without users, passwords and tokens. A password may
// have anything in it, so all is hidden from the first scheme to the last "@", other servers' names too.
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
