package embedded_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/services/dagyo/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, dir string) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), embedded.Options{
		Port: embedded.RandomPort, Dir: dir, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func connect(t *testing.T, s *embedded.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

func TestWhatIsStoredSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	nc := connect(t, s)
	if got := nc.MaxPayload(); got != embedded.MaxPayload {
		t.Errorf("max_payload is %d", got)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	config := jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}
	if _, err := js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "s", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	s.Shutdown()

	s = start(t, dir)
	defer s.Shutdown()
	nc = connect(t, s)
	defer nc.Close()
	js, err = jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(t.Context(), "s")
	if err != nil || string(m.Data) != "kept" {
		t.Errorf("found %v, %v", m, err)
	}
}

func TestPortInUseIsSaidAtOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	_, err = embedded.Start(t.Context(), embedded.Options{
		Port: port, Dir: t.TempDir(), Log: zerolog.Nop(),
	})
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := embedded.Start(ctx, embedded.Options{
		Port: embedded.RandomPort, Dir: t.TempDir(), Log: zerolog.Nop(),
	})
	if err == nil { // it was faster
		s.Shutdown()
	}
}
