// Package follow tests a reader of a stream that was trimmed while the reader was away.
package follow

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/tests/harness"
)

func TestAReaderDetectsThatTheStreamWasTrimmed(t *testing.T) {
	s := harness.StartServer(t, t.TempDir(), 1<<20)
	defer s.Stop()
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
	if err != nil {
		t.Fatal(err)
	}
	store := func(n int) {
		for range n {
			if _, err := js.Publish(t.Context(), "s", nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	store(10)
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(3)); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	defer end()
	read := 0
	err = broker.Follower{
		JS: js, Stream: "S", Whole: true, CaughtUp: func() {}, Interrupted: func(error) {},
		Handle: func(_ *nats.Msg, meta *nats.MsgMetadata) {
			read++
			if meta.Sequence.Stream != 10 {
				if meta.NumPending == 0 && meta.Sequence.Stream > 2000 {
					end() // not detected
				}
				return
			}
			// While the reader handles this message, more messages than it requests at once are stored and trimmed.
			store(2500)
			if err := stream.Purge(t.Context(), jetstream.WithPurgeSequence(2000)); err != nil {
				t.Error(err)
			}
		},
	}.Run(ctx)
	if !errors.Is(err, broker.ErrCut) {
		t.Errorf("the reader ended with %v, want %v", err, broker.ErrCut)
	}
	if read < 8 || read >= 2000 {
		t.Errorf("%d messages were read", read)
	}
}
