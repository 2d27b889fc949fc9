package harness

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Server is an embedded nats-server that can be restarted on the same port and store.
type Server struct {
	*server.Server
	options server.Options
}

// StartServer starts a nats-server with JetStream on a free port, with its store in dir.
func StartServer(t testing.TB, dir string, maxPayload int32) *Server {
	t.Helper()
	s := &Server{options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: dir, MaxPayload: maxPayload, JetStreamLimits: server.JSLimitOpts{},
	}}
	s.start(t)
	return s
}

// LateServer returns a server that is not running until Begin.
func LateServer(t testing.TB, dir string, maxPayload int32) *Server {
	t.Helper()
	s := StartServer(t, dir, maxPayload) // reserves the port
	s.Stop()
	return s
}

// Begin starts a late or stopped server.
func (s *Server) Begin(t testing.TB) { s.start(t) }

// PlainServer starts a server without JetStream, until EnableJetStream.
func PlainServer(t testing.TB, dir string, maxPayload int32) *Server {
	t.Helper()
	s := &Server{options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, StoreDir: dir, MaxPayload: maxPayload,
	}}
	s.start(t)
	return s
}

// EnableJetStream enables the server's JetStream.
func (s *Server) EnableJetStream(t testing.TB) {
	t.Helper()
	if err := s.Server.EnableJetStream(&server.JetStreamConfig{StoreDir: s.options.StoreDir}); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	options := s.options
	ns, err := server.NewServer(&options)
	if err != nil {
		t.Fatal(err)
	}
	ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the embedded nats-server did not start")
	}
	s.Server = ns
	s.options.Port = options.Port
}

// Stop shuts down the server and waits until it has stopped.
func (s *Server) Stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

// Restart stops the server and starts it again on the same port and store.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop()
	s.start(t)
}
