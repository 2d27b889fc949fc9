package edge

import (
	"errors"
	"fmt"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// These tests check the properties of the broker that the edges rely on. If a later version changes one, a test fails.

func (e *bundle) publish(subject, data string, header ...string) *jetstream.PubAck {
	e.t.Helper()
	m := nats.NewMsg(subject)
	m.Data = []byte(data)
	for i := 0; i < len(header); i += 2 {
		m.Header.Set(header[i], header[i+1])
	}
	ack, err := e.observer.PublishMsg(e.ctx, m)
	if err != nil {
		e.t.Fatal(err)
	}
	return ack
}

// A shard keeps the last message on each subject, which a direct get reads.
func TestFactLastMessageIsKept(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		e := setup(t, storage)
		const n = 300
		for i := range n {
			e.publish(e.addr.Credit, fmt.Sprint(i))
			e.publish(e.addr.Slot(uint64(i)), fmt.Sprint(i))
		}
		if got := e.state(); got.Msgs != 1+testFrames {
			t.Fatalf("%d messages are stored", got.Msgs)
		}
		for _, subject := range []string{e.addr.Credit, e.addr.Slot(n - 1)} {
			if got := e.get(subject); got != fmt.Sprint(n-1) {
				t.Fatalf("%s holds %q", subject, got)
			}
		}
	})
}

// get returns the last message on a subject, or the status of the answer.
func (e *bundle) get(subject string) string {
	e.t.Helper()
	m, err := e.observer.Conn().RequestWithContext(e.ctx, "$JS.API.DIRECT.GET."+e.addr.Stream+"."+subject, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return string(m.Data) + m.Header.Get("Status")
}

// A message is stored only if its subject has the last sequence that the publisher expects, 0 for none.
func TestFactExpectedSequence(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		e := setup(t, storage)
		slot := e.addr.Slot(1)
		first := e.publish(slot, "a", jetstream.ExpectedLastSubjSeqHeader, "0")
		e.publish(e.addr.Slot(2), "another")
		e.publish(slot, "b", jetstream.ExpectedLastSubjSeqHeader, fmt.Sprint(first.Sequence))
		for _, stale := range []uint64{0, first.Sequence} {
			m := nats.NewMsg(slot)
			m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, fmt.Sprint(stale))
			if _, err := e.observer.PublishMsg(e.ctx, m); !stream.WrongLastSequence(err) {
				t.Errorf("expecting %d: %v", stale, err)
			}
		}
		if got := e.get(slot); got != "b" {
			t.Errorf("the slot holds %q", got)
		}
	})
}

// A shard rejects messages that are longer than a frame, and rollups, by which one writer could delete all frames.
func TestFactShardRefuses(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		e := setup(t, storage)
		e.publish(e.addr.Slot(1), string(make([]byte, stream.MaxFrame)))
		long := nats.NewMsg(e.addr.Slot(2))
		long.Data = make([]byte, stream.MaxFrame+2<<10)
		rollup := nats.NewMsg(e.addr.Slot(2))
		rollup.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupAll)
		for _, m := range []*nats.Msg{long, rollup} {
			if _, err := e.observer.PublishMsg(e.ctx, m); err == nil {
				t.Errorf("%v with %d bytes was stored", m.Header, len(m.Data))
			}
		}
		if got := e.state().Msgs; got != 1 {
			t.Errorf("%d messages are stored", got)
		}
	})
}

// Plain subscribers receive messages that are published to a stream's subject.
func TestFactSubscribersReceiveStreamSubjects(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	sub, err := e.in.Conn().SubscribeSync(e.addr.Credit)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.in.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	e.publish(e.addr.Credit, "x")
	if m, err := sub.NextMsgWithContext(e.ctx); err != nil || string(m.Data) != "x" {
		t.Fatal(m, err)
	}
}

// A purge of a flow's subjects keeps those of other flows.
func TestFactPurgeBySubject(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		e := setup(t, storage)
		other := address("other", 0)
		for i := range uint64(4) {
			e.publish(e.addr.Slot(i), "x")
			e.publish(other.Slot(i), "x")
		}
		s, err := e.observer.Stream(e.ctx, e.addr.Stream)
		if err == nil {
			err = s.Purge(e.ctx, jetstream.WithPurgeSubject(contract.FlowEdges("0", "f")))
		}
		if err != nil {
			t.Fatal(err)
		}
		if a, b := e.get(e.addr.Slot(1)), e.get(other.Slot(1)); a != "404" || b != "x" || e.state().Msgs != 4 {
			t.Errorf("%q, %q, %d messages", a, b, e.state().Msgs)
		}
	})
}

// A request without a subscriber is answered at once.
func TestFactNoResponders(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	m, err := e.observer.Conn().RequestWithContext(e.ctx, e.addr.Direct+".1", []byte("x"))
	if !errors.Is(err, nats.ErrNoResponders) {
		t.Fatal(m, err)
	}
}
