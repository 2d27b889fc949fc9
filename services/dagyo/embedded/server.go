package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

// MaxPayload is the maximum size of a message in bytes.
const MaxPayload = 8 << 20

// DefaultPort is the default port of NATS; RandomPort lets the system choose a free one.
const (
	DefaultPort = 4222
	RandomPort  = server.RANDOM_PORT
)

// fetchTimeout is how long the server looks for an account that it does not have: there is no other to ask.
const fetchTimeout = 100 * time.Millisecond

// accountsDir is the folder with the claims of accounts in the directory of the server.
const accountsDir = "accounts"

// tlsTimeout bounds a handshake, in seconds, also on a busy machine.
const tlsTimeout = 10

// startTimeout bounds the start, including the recovery of stored data.
const startTimeout = time.Minute

// Options are the address and the data directory of a server.
type Options struct {
	// Host defaults to 127.0.0.1.
	Host string
	// Port is DefaultPort if 0.
	Port int
	// Dir holds the streams. One server at a time may use it.
	Dir string
	// Trust is what credentials are checked against. Without it, everybody who can connect may do everything.
	Trust *keyring.Trust
	// TLS encrypts all connections. nil for none.
	TLS *tls.Config
	Log zerolog.Logger
}

// A Server is a running nats-server.
type Server struct {
	ns *server.Server
}

// Start starts a server and returns once clients can connect and JetStream is available.
func Start(ctx context.Context, o Options) (*Server, error) {
	set, err := options(o)
	if err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	ns, err := server.NewServer(set)
	if err != nil {
		if set.AccountResolver != nil {
			set.AccountResolver.Close()
		}
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	log := newLogger(o.Log)
	ns.SetLoggerV2(log, o.Log.GetLevel() <= zerolog.DebugLevel, false, false)
	ns.Start()
	s := &Server{ns: ns}
	if err := s.awaitReady(ctx, log); err != nil {
		s.Shutdown()
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	return s, nil
}

func options(o Options) (*server.Options, error) {
	out := &server.Options{
		ServerName: "dagyo", Host: o.Host, Port: o.Port, NoSigs: true,
		JetStream: true, StoreDir: o.Dir, MaxPayload: MaxPayload,
	}
	if out.Host == "" {
		out.Host = "127.0.0.1"
	}
	if out.Port == 0 {
		out.Port = DefaultPort
	}
	if o.TLS != nil {
		out.TLSConfig, out.TLS, out.TLSTimeout = o.TLS, true, tlsTimeout
	}
	if o.Trust == nil {
		return out, nil
	}
	// Accounts can be added, changed and deleted while it runs, and are known again at the next start.
	resolver, err := server.NewDirAccResolver(filepath.Join(o.Dir, accountsDir), 0, time.Minute, server.HardDelete, server.FetchTimeout(fetchTimeout))
	if err != nil {
		return nil, err
	}
	for key, claims := range o.Trust.Accounts {
		if err := resolver.Store(key, claims); err != nil {
			return nil, err
		}
	}
	out.TrustedOperators, out.SystemAccount, out.AccountResolver = []*jwt.OperatorClaims{o.Trust.Operator}, o.Trust.System, resolver
	return out, nil
}

// awaitReady waits until the server is ready. It returns at once if the server reports that it cannot start.
func (s *Server) awaitReady(ctx context.Context, log *logger) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errNotReady)
	defer cancel()
	for !s.ns.ReadyForConnections(20 * time.Millisecond) {
		select {
		case why := <-log.fatal:
			return errors.New(why)
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
	}
	return nil
}

var errNotReady = fmt.Errorf("the server is not ready after %v", startTimeout)

// ClientURL returns the address for clients on this machine.
func (s *Server) ClientURL() string { return s.ns.ClientURL() }

// URL returns the address for clients under a name of the server.
func (s *Server) URL(name string) string {
	return "nats://" + net.JoinHostPort(name, strconv.Itoa(s.ns.Addr().(*net.TCPAddr).Port))
}

// Shutdown stops the server and returns when all data is on disk and all its goroutines have ended.
func (s *Server) Shutdown() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}
