package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// MaxPayload is the largest message, in octets, that the server takes.
const MaxPayload = 8 << 20

// DefaultPort is where NATS listens by convention; RandomPort lets the system choose.
const (
	DefaultPort = 4222
	RandomPort  = server.RANDOM_PORT
)

// startTimeout bounds the start, the recovery of what is stored included.
const startTimeout = time.Minute

// Options say where the server listens and keeps its streams.
type Options struct {
	// Host defaults to 127.0.0.1: there are no passwords, so nobody else may connect.
	Host string
	// Port is DefaultPort if 0.
	Port int
	// Dir holds the streams. One server at a time may use it.
	Dir string
	Log zerolog.Logger
}

// A Server is a running nats-server.
type Server struct {
	ns *server.Server
}

// Start starts a server and returns once clients can connect and JetStream is there.
func Start(ctx context.Context, o Options) (*Server, error) {
	ns, err := server.NewServer(options(o))
	if err != nil {
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

func options(o Options) *server.Options {
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
	return out
}

// awaitReady returns at once when the server has said that it cannot start.
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

// ClientURL is the address for clients on this machine.
func (s *Server) ClientURL() string { return s.ns.ClientURL() }

// Shutdown stops the server and returns when everything is on disk and all its goroutines have ended.
func (s *Server) Shutdown() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}
