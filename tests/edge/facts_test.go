package edge

import (
	"fmt"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// These tests say what the edges take for granted of the broker. If a later version changes one of
// them, this is where it shows.

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

// A rolled-up credit replaces the one before it, also with DiscardNewPerSubject, and can be had by
// a direct get although the stream is a work queue.
func TestFactCreditsRollUp(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		e := setup(t, storage)
		n := 3 * int(e.maxMessages())
		for i := range n {
			e.publish(e.addr.Credit, fmt.Sprint(i), jetstream.MsgRollup, jetstream.MsgRollupSubject)
		}
		if got := e.state(); got.Msgs != 1 {
			t.Fatalf("%d messages stored", got.Msgs)
		}
		m, err := e.observer.Conn().RequestWithContext(e.ctx,
			"$JS.API.DIRECT.GET."+e.addr.Stream+"."+e.addr.Credit, nil)
		if err != nil || string(m.Data) != fmt.Sprint(n-1) {
			t.Fatalf("%q %v", m.Data, err)
		}
	})
}

func (e *bundle) maxMessages() int64 {
	return stream.StreamConfig("f", 1, jetstream.FileStorage, testFrames).MaxMsgsPerSubject
}

// A full subject refuses a message, and leaves the others alone.
func TestFactFullSubjectRefuses(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		e := setup(t, storage)
		for range e.maxMessages() {
			e.publish(e.addr.Subject, "x")
		}
		_, err := e.observer.Publish(e.ctx, e.addr.Subject, []byte("x"))
		if err == nil {
			t.Fatal("one too many was stored")
		}
		t.Log(err)
		e.publish(contract.EdgeSubject("f", 1), "x")
	})
}

// Plain subscribers get what is published to a stream's subject.
func TestFactSubscribersHearStreamSubjects(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	sub, err := e.in.Conn().SubscribeSync(e.addr.Credit)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.in.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	e.publish(e.addr.Credit, "x", jetstream.MsgRollup, jetstream.MsgRollupSubject)
	if m, err := sub.NextMsgWithContext(e.ctx); err != nil || string(m.Data) != "x" {
		t.Fatal(m, err)
	}
}

// A consumer that is made anew begins at the first message that was not acknowledged, in order.
func TestFactNewConsumerBeginsAtFirstUnacked(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		e := setup(t, storage)
		for i := range 6 {
			e.publish(e.addr.Subject, fmt.Sprint(i))
		}
		take := func(n, acks int) (got string) {
			c, err := e.observer.CreateOrUpdateConsumer(e.ctx, e.addr.Stream,
				stream.ConsumerConfig(e.addr))
			if err != nil {
				t.Fatal(err)
			}
			batch, err := c.Fetch(n, jetstream.FetchMaxWait(5*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			i := 0
			for m := range batch.Messages() {
				got += string(m.Data())
				if i++; i <= acks {
					if err := m.DoubleAck(e.ctx); err != nil {
						t.Fatal(err)
					}
				}
			}
			return got
		}
		if got := take(4, 2); got != "0123" {
			t.Fatal(got)
		}
		if err := e.observer.DeleteConsumer(e.ctx, e.addr.Stream, e.addr.Consumer); err != nil {
			t.Fatal(err)
		}
		if got := take(4, 0); got != "2345" {
			t.Fatal(got)
		}
	})
}

// MaxConsumers above the broker's default of 1,000 is what lifts that default.
func TestFactMoreThanThousandConsumers(t *testing.T) {
	if testing.Short() {
		t.Skip("creates 1,010 consumers")
	}
	e := setup(t, jetstream.MemoryStorage)
	const edges = 1010
	createFlow(e.ctx, t, e.observer, "big", edges, jetstream.MemoryStorage)
	for i := range edges {
		addr := address("big", i)
		_, err := e.observer.CreateOrUpdateConsumer(e.ctx, addr.Stream, stream.ConsumerConfig(addr))
		if err != nil {
			t.Fatalf("consumer %d: %v", i, err)
		}
	}
}
