package harness

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Server is an embedded nats-server that can be restarted on the same port and store.
type Server struct {
	*server.Server
	options server.Options
}

// anybody is the user of clients without a name: the server cannot get such a user later.
const anybody = "anybody"

// StartServer starts a nats-server with JetStream on a free port, with its store in dir.
func StartServer(t testing.TB, dir string, maxPayload int32) *Server {
	t.Helper()
	s := &Server{options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: dir, MaxPayload: maxPayload, JetStreamLimits: server.JSLimitOpts{},
		Users: []*server.User{{Username: anybody, Password: "x"}}, NoAuthUser: anybody,
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

// Restrict gives the server further users. Clients without a name may do everything. It returns the violations of
// permissions so far.
func (s *Server) Restrict(t testing.TB, users ...*server.User) (violations func() []string) {
	t.Helper()
	log := &violationLog{}
	s.SetLoggerV2(log, false, false, false)
	s.options.Users = append(s.options.Users, users...)
	options := s.options
	if err := s.ReloadOptions(&options); err != nil {
		t.Fatal(err)
	}
	return log.all
}

// A violationLog keeps what the server logs about violations of permissions.
type violationLog struct {
	mu    sync.Mutex
	found []string
}

func (l *violationLog) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.found)
}

// Errorf implements server.Logger, as the other methods do.
func (l *violationLog) Errorf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	if !strings.Contains(text, "Violation") {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found = append(l.found, text)
}

func (*violationLog) Noticef(string, ...any) {}
func (*violationLog) Warnf(string, ...any)   {}
func (*violationLog) Fatalf(string, ...any)  {}
func (*violationLog) Debugf(string, ...any)  {}
func (*violationLog) Tracef(string, ...any)  {}

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
