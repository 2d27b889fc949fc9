package edge

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
)

// seal seals the edge. Its ends are jobs, which write and read as "writer" and "reader".
func (e *bundle) seal() {
	e.addr = withKey(e.addr)
	e.addr.Writer, e.addr.Reader = &contract.End{Job: "w"}, &contract.End{Job: "r"}
}

// noise stores messages that are not of the ends where these store theirs, under another name and on plain subjects.
func (e *bundle) noise() {
	e.t.Helper()
	end, err := wire.NewEncoder(1<<10, 1<<11).Finish()
	if err != nil {
		e.t.Fatal(err)
	}
	closed := string(wire.Credit{Closed: true, Frame: 1, Attach: 1 << 62}.Append(nil))
	for _, by := range []string{"", ".by.mallory"} {
		for n := range uint64(testFrames) {
			e.publish(e.addr.Slot(n)+by, string(end))
		}
		e.publish(e.addr.Credit+by, closed)
	}
}

// answerWho answers who has started the jobs, as the panic-aggregator does, and counts the questions.
func (e *bundle) answerWho() chan string {
	e.t.Helper()
	asked := make(chan string, 100)
	_, err := e.observer.Conn().Subscribe(contract.FromAny(contract.AskJobExecutor), func(m *nats.Msg) {
		name := map[string]string{"f.w": "writer", "f.r": "reader"}[string(m.Data)]
		asked <- name
		_ = m.Respond([]byte(`{"executor":"` + name + `"}`))
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return asked
}

func TestSealedEdgeWithoutKey(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	addr := e.addr
	addr.Salt = "salt"
	if _, err := stream.NewWriter(e.out, addr); !errors.Is(err, stream.ErrSealed) {
		t.Errorf("a writer: %v", err)
	}
	if _, err := stream.NewReader(e.in, addr); !errors.Is(err, stream.ErrSealed) {
		t.Errorf("a reader: %v", err)
	}
}

// Nothing that others store or send changes what the reader gets.
func TestSealedEdgeIgnoresOthers(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	e.seal()
	asked := e.answerWho()
	e.noise()
	noises := 0
	_, err := e.observer.Conn().Subscribe(e.addr.Direct+".*", func(m *nats.Msg) {
		if noises++; noises > 200 || strings.HasPrefix(m.Reply, "noise") {
			return
		}
		for _, data := range [][]byte{m.Data, []byte("noise"), wire.Hint(1 << 40)} {
			_ = e.observer.Conn().PublishRequest(m.Subject, "noise.1", data)
		}
		_ = e.observer.Conn().Publish(m.Reply, wire.Credit{Closed: true, Frame: 1}.Append(nil))
	})
	if err != nil {
		t.Fatal(err)
	}
	sizes := repeated(1000, 3000)
	w, r := e.writer(), e.reader()
	wait := start(t, func() error { return sendAll(e.ctx, w, sizes) })
	if err := expect(e.ctx, r, sizes, 0); err != nil {
		t.Fatal(err)
	}
	wait()
	if w.Dropped() == 0 && r.Dropped() == 0 {
		t.Error("nothing was dropped")
	}
	if len(asked) == 0 {
		t.Error("nobody asked who is at the other end")
	}
}

// A reader that starts after the end of the writer finds what it has stored behind what others have.
func TestSealedEdgeIsReadLater(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	e.seal()
	e.answerWho()
	sizes := repeated(100, 50)
	if err := sendAll(e.ctx, e.writer(), sizes); err != nil {
		t.Fatal(err)
	}
	e.noise()
	if err := expect(e.ctx, e.reader(), sizes, 0); err != nil {
		t.Fatal(err)
	}
}

// A writer that starts after its reader has closed finds that.
func TestSealedEdgeWasClosed(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	e.seal()
	e.answerWho()
	if err := e.reader().Close(e.ctx); err != nil {
		t.Fatal(err)
	}
	e.noise()
	w := e.writer()
	var err error
	for err == nil {
		err = w.Send(e.ctx, make([]byte, 1000))
	}
	if !errors.Is(err, stream.ErrReaderClosed) {
		t.Error(err)
	}
}

// Services find the credit and the backlog of a sealed edge.
func TestLookAtSealedEdge(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	e.seal()
	sizes := repeated(1000, 10)
	if err := sendAll(e.ctx, e.writer(stream.FrameTarget(1000)), sizes); err != nil {
		t.Fatal(err)
	}
	r := e.reader()
	if err := expectOne(e.ctx, r, 0, 1000); err != nil {
		t.Fatal(err)
	}
	if err := r.Settle(e.ctx); err != nil {
		t.Fatal(err)
	}
	e.noise()
	exact := e.addr
	exact.Writer, exact.Reader = &contract.End{Name: "writer"}, &contract.End{Name: "reader"}
	found, err := stream.Credits(e.ctx, e.observer, exact.Stream, exact)
	if err != nil || found[exact.Credit].Records != 1 {
		t.Errorf("credits %+v, %v", found, err)
	}
	all, err := stream.Backlogs(e.ctx, e.observer, "0", "f", []contract.Address{exact}, []uint64{1})
	if err != nil || all[0].Bytes < 9000 || all[0].Bytes > 10_000 {
		t.Errorf("backlog %+v, %v", all, err)
	}
	if behind, err := stream.Behind(e.ctx, e.observer, exact, 1); !behind || err != nil {
		t.Errorf("there are frames behind the first one: %v, %v", behind, err)
	}
	if behind, err := stream.Behind(e.ctx, e.observer, exact, 100); behind || err != nil {
		t.Errorf("there are no frames behind the last one: %v, %v", behind, err)
	}
}
