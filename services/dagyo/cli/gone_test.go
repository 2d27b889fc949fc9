package cli

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/clienttest"
)

// A wire connects clients to a server until it is cut: frozen, so that nothing arrives any more, or closed.
type wire struct {
	url      string
	listener net.Listener
	frozen   chan struct{}
	copying  sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func newWire(t *testing.T, server string) *wire {
	t.Helper()
	to, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{frozen: make(chan struct{})}
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	w.url = "nats://" + w.listener.Addr().String()
	w.copying.Go(func() { w.accept(to.Host) })
	t.Cleanup(func() {
		w.close()
		w.copying.Wait()
	})
	return w
}

func (w *wire) accept(host string) {
	for {
		in, err := w.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", host)
		if err != nil {
			in.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, in, out)
		w.mu.Unlock()
		w.copying.Go(func() { w.copy(in, out) })
		w.copying.Go(func() { w.copy(out, in) })
	}
}

func (w *wire) copy(to io.Writer, from io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		select {
		case <-w.frozen:
			continue
		default:
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (w *wire) close() {
	w.listener.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
}

// A server that is gone for good does not keep a command that a signal asks to end. It says what is unknown.
func TestSignalsWhileTheServerIsGone(t *testing.T) {
	flow := filepath.Join(t.TempDir(), "flow.json")
	if err := os.WriteFile(flow, []byte(`{"nodes": {}, "edges": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	defer all.Wait()
	for name, cut := range map[string]func(*wire){
		"frozen": func(w *wire) { close(w.frozen) },
		"down":   (*wire).close,
	} {
		for args, want := range map[string]struct {
			code int
			says string
		}{
			"run --id f " + flow:           {ExitUnknown, "gave up waiting for flow f, which may still be running: its cancel could not be stored"},
			"submit --wait --id f " + flow: {ExitUnknown, "gave up waiting for flow f, which may still be running: its cancel could not be stored"},
			"watch live":                   {ExitInterrupted, "interrupted before flow live ended"},
			"cancel live":                  {ExitInterrupted, "interrupted before flow live ended: its cancel is stored"},
			"watch":                        {ExitOK, ""},
		} {
			s := clienttest.Start(t, contract.FlowStatus{Flow: "live", Phase: contract.TypeFlowSpawned})
			w := newWire(t, s.URL)
			signals, begun, over := make(chan os.Signal, 1), s.Began(t), make(chan struct{})
			all.Go(func() {
				select {
				case <-begun:
					cut(w)
					signals <- syscall.SIGTERM
				case <-over: // it has failed
				}
			})
			all.Go(func() {
				defer close(over)
				var stderr bytes.Buffer
				code := Run(t.Context(), Invocation{
					Args: append([]string{"-s", w.url}, strings.Fields(args)...), In: strings.NewReader(""),
					Out: io.Discard, Err: &stderr, Env: func(string) string { return "" }, Signals: signals,
				})
				if code != want.code || !strings.Contains(stderr.String(), want.says) {
					t.Errorf("%s, server %s: %d, %s", args, name, code, stderr.String())
				}
			})
		}
	}
}
