package edge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"
)

// A script describes the life of an edge: the records sent, and the faults at each record.
type script struct {
	sizes    []int
	addr     contract.Address
	target   int
	slowSend map[int]bool
	slowRecv map[int]bool
	kickOut  map[int]bool
	kickIn   map[int]bool
	longRecv map[int]bool // long enough for the writer to store its frames
	stale    map[int]bool // an old credit arrives late
	restart  map[int]bool // of the broker
	closeAt  int          // the reader closes early at this record, if it is below len(sizes)
	storage  jetstream.StorageType
	out, in  jetstream.JetStream
	observer jetstream.JetStream
	b        *broker
}

func drawScript(t *rapid.T, flow string) script {
	sizes := rapid.SliceOfN(rapid.OneOf(
		rapid.Just(0), rapid.IntRange(1, 300), rapid.IntRange(300, 20_000),
	), 0, 200).Draw(t, "sizes")
	at := func(name string, most int) map[int]bool {
		m := map[int]bool{}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, 200), 0, most).Draw(t, name) {
			m[i] = true
		}
		return m
	}
	s := script{
		sizes:    sizes,
		target:   rapid.SampledFrom([]int{300, 2000, stream.DefaultFrameTarget}).Draw(t, "target"),
		slowSend: at("slow send", 3), slowRecv: at("slow recv", 3),
		kickOut: at("kick writer", 3), kickIn: at("kick reader", 3),
		longRecv: at("long recv", 1), stale: at("stale credit", 2), restart: map[int]bool{},
		closeAt: rapid.OneOf(rapid.Just(1000), rapid.IntRange(0, 200)).Draw(t, "close"),
		storage: rapid.SampledFrom([]jetstream.StorageType{
			jetstream.FileStorage, jetstream.MemoryStorage,
		}).Draw(t, "storage"),
	}
	if s.storage == jetstream.FileStorage && rapid.IntRange(0, 4).Draw(t, "restarts") == 0 {
		s.restart = at("restart", 1)
	}
	s.addr = contract.EdgeAddress(strings.ToLower(s.storage.String()), flow, 0, testWindow, testFrames, "octets")
	if rapid.IntRange(0, 3).Draw(t, "new") == 0 {
		s.addr = oldAddress(flow)
	}
	s.addr.Window = int64(rapid.IntRange(stream.MinWindow, testWindow).Draw(t, "window"))
	s.addr.Frames = int64(rapid.IntRange(1, testFrames).Draw(t, "frames"))
	if s.addr.Slots > 0 {
		s.addr.Slots = s.addr.Frames
	}
	return s
}

// stall simulates load, not synchronization: the other side continues meanwhile.
func stall(yes bool) {
	if yes {
		time.Sleep(3 * time.Millisecond)
	}
}

func (s *script) send(ctx context.Context, w *stream.Writer) error {
	for i, size := range s.sizes {
		stall(s.slowSend[i])
		if s.kickOut[i] {
			s.b.kick(s.out)
		}
		err := w.Send(ctx, record(i, size))
		if errors.Is(err, stream.ErrReaderClosed) && s.closeAt < len(s.sizes) {
			return w.Close(ctx)
		}
		if err != nil {
			return fmt.Errorf("send %d: %w", i, err)
		}
	}
	return w.Close(ctx)
}

func (s *script) recv(ctx context.Context, r *stream.Reader) error {
	for i, size := range s.sizes {
		stall(s.slowRecv[i])
		if err := s.trouble(ctx, i); err != nil {
			return err
		}
		if i == s.closeAt {
			return r.Close(ctx)
		}
		if err := expectOne(ctx, r, i, size); err != nil {
			return err
		}
	}
	return expect(ctx, r, s.sizes, len(s.sizes))
}

// trouble causes the reader's faults at its i-th record.
func (s *script) trouble(ctx context.Context, i int) error {
	if s.kickIn[i] {
		s.b.kick(s.in)
	}
	if s.longRecv[i] {
		time.Sleep(longStall)
	}
	if s.restart[i] {
		if err := s.restarted(ctx); err != nil {
			return err
		}
	}
	if s.stale[i] {
		m := nats.NewMsg(s.addr.Credit)
		m.Data = wire.Credit{}.Append(nil)
		return s.in.Conn().PublishMsg(m) // only the reader gives credit, in the order of its connection
	}
	return nil
}

// restarted restarts the broker, and waits until the observer has reconnected: the edge may end before that, and the
// observer's requests are not retried.
func (s *script) restarted(ctx context.Context) error {
	nc := s.observer.Conn()
	again := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(again)
	s.b.stop()
	s.b.start()
	select {
	case <-again:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// longStall is longer than a writer with a full window waits for its reader.
const longStall = 200 * time.Millisecond

// Whatever stalls and connection failures occur, the reader gets the records once, in order, and then the end.
func TestEdgeProperty(t *testing.T) {
	b := startBroker(t)
	out, in, observer := b.connect(), b.connect(), b.connect()
	flows := 0
	rapid.Check(t, func(t *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		flows++
		flow := fmt.Sprintf("p%d", flows)
		s := drawScript(t, flow)
		s.b, s.out, s.in, s.observer = b, out, in, observer
		s.make(ctx, t)
		addr := s.addr
		if addr.Slots > 0 && rapid.Bool().Draw(t, "sealed") { // the older form is never sealed
			addr = withKey(addr)
		}
		w, err := stream.NewWriter(out, addr, stream.FrameTarget(s.target))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Abort()
		r, err := stream.NewReader(in, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Abort()
		sent := make(chan error, 1)
		go func() { sent <- s.send(ctx, w) }()
		if err := s.recv(ctx, r); err != nil {
			cancel()
			t.Errorf("recv: %v", err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		s.remove(ctx, t)
	})
}

// make ensures that the stream exists: the shard of all edges, which a restart may have lost, or the stream of an old
// flow.
func (s *script) make(ctx context.Context, t *rapid.T) {
	cfg := stream.ShardConfig(strings.TrimPrefix(s.addr.Stream, contract.EdgeStreamPrefix), s.storage)
	if s.addr.Slots == 0 {
		cfg = oldConfig(s.addr, s.storage)
	}
	if _, err := s.observer.CreateOrUpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
}

// remove deletes the stored messages of the edge, whose number must be bounded.
func (s *script) remove(ctx context.Context, t *rapid.T) {
	if s.addr.Slots == 0 {
		if err := s.observer.DeleteStream(ctx, s.addr.Stream); err != nil {
			t.Fatal(err)
		}
		return
	}
	shard, err := s.observer.Stream(ctx, s.addr.Stream)
	if err != nil {
		t.Fatal(err)
	}
	mine := s.addr.Subject[:strings.Index(s.addr.Subject, ".frame.")+1] + ">"
	info, err := shard.Info(ctx, jetstream.WithSubjectFilter(mine))
	delete(info.State.Subjects, s.addr.Credit) // of a sealed edge, the old credit that the script has sent
	if err != nil || int64(len(info.State.Subjects)) > s.addr.Slots+1 {
		t.Fatalf("%v are stored, of %d slots; %v", info.State.Subjects, s.addr.Slots, err)
	}
	if err := shard.Purge(ctx, jetstream.WithPurgeSubject(mine)); err != nil {
		t.Fatal(err)
	}
}

// oldAddress and oldConfig describe an edge as planned before version 0.2.
func oldAddress(flow string) contract.Address {
	return contract.Address{
		Stream: contract.OldFlowStream(flow), Subject: "edge." + flow + ".0", Credit: "credit." + flow + ".0",
		Direct: contract.DirectSubject(flow, 0), Window: testWindow, Frames: testFrames, Type: "octets",
	}
}

func oldConfig(a contract.Address, storage jetstream.StorageType) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: a.Stream, Subjects: []string{a.Subject, a.Credit}, Storage: storage,
		Discard: jetstream.DiscardNew, DiscardNewPerSubject: true, MaxMsgsPerSubject: 2*a.Frames + 16,
		Duplicates: time.Second, AllowRollup: true, AllowDirect: true,
	}
}
