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
// a direct get.
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
	return stream.StreamConfig("f", jetstream.FileStorage, testFrames).MaxMsgsPerSubject
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

// A batch of direct gets comes in order, from a place on, of one subject, and tells where it ends and
// what is behind it.
func TestFactBatchedGets(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		e := setup(t, storage)
		for i := range 6 {
			e.publish(e.addr.Subject, fmt.Sprint(i))
			e.publish(contract.EdgeSubject("f", 1), "of another edge")
		}
		cases := []struct{ request, want string }{
			{`"seq":1,"batch":3,"max_bytes":1000`, "012 204 3"},
			{`"seq":5,"batch":9,"max_bytes":1000`, "2345 204 0"},
			{`"seq":1,"batch":9,"max_bytes":12`, "01 204 4"},
			{`"seq":12,"batch":9,"max_bytes":1000`, " 404 "},
		}
		for _, c := range cases {
			if got := e.batch(c.request); got != c.want {
				t.Errorf("%s: %q, want %q", c.request, got, c.want)
			}
		}
	})
}

// batch asks for stored frames and returns their data, the last status, and what is behind them.
func (e *bundle) batch(request string) (got string) {
	e.t.Helper()
	nc := e.observer.Conn()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		e.t.Fatal(err)
	}
	request = fmt.Sprintf(`{"next_by_subj":%q,%s}`, e.addr.Subject, request)
	err = nc.PublishRequest("$JS.API.DIRECT.GET."+e.addr.Stream, inbox, []byte(request))
	if err != nil {
		e.t.Fatal(err)
	}
	for {
		m, err := sub.NextMsgWithContext(e.ctx)
		if err != nil {
			e.t.Fatal(err)
		}
		if code := m.Header.Get("Status"); code != "" {
			return got + " " + code + " " + m.Header.Get("Nats-Num-Pending")
		}
		got += string(m.Data)
	}
}

// A purge by subject and sequence leaves what is behind it, and other edges.
func TestFactPurgeUpToSequence(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		e := setup(t, storage)
		for i := range 4 {
			e.publish(e.addr.Subject, fmt.Sprint(i))
			e.publish(contract.EdgeSubject("f", 1), "of another edge")
		}
		request := fmt.Sprintf(`{"filter":%q,"seq":5}`, e.addr.Subject)
		_, err := e.observer.Conn().RequestWithContext(e.ctx,
			"$JS.API.STREAM.PURGE."+e.addr.Stream, []byte(request))
		if err != nil {
			t.Fatal(err)
		}
		if got := e.batch(`"seq":1,"batch":9,"max_bytes":1000`); got != "23 204 0" {
			t.Error(got)
		}
		if got := e.state().Msgs; got != 6 {
			t.Errorf("%d messages left", got)
		}
	})
}

// What is sent directly to nobody is answered at once.
func TestFactNobodyListens(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	m, err := e.observer.Conn().RequestWithContext(e.ctx, e.addr.Direct+".1", []byte("x"))
	if !errors.Is(err, nats.ErrNoResponders) {
		t.Fatal(m, err)
	}
}
