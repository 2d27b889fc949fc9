package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/tests/harness"
)

// A flood of releases drops none of those of others.
func TestFloodOfReleases(t *testing.T) {
	link := connect(t)
	var dropped atomic.Int64
	own, err := broker.Connect(t.Context(), broker.Options{URL: link.ConnectedUrl(), Wait: harness.Patience, Extra: []nats.Option{
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			t.Log(sub.Subject, err)
			dropped.Add(1)
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	run := func(ctx context.Context) error { return planner.Run(ctx, own, planner.DefaultConfig()) }
	serve(t, own, run, "$SRV.PING.dagyo-planner")
	read := make(map[string]contract.OutputCount)
	for i := range 1000 {
		read[fmt.Sprintf("output-%050d", i)] = contract.OutputCount{}
	}
	body, err := json.Marshal(contract.Release{Read: read})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		if err := link.Publish(fmt.Sprintf("release.f%d.by.eve", i), body); err != nil {
			t.Fatal(err)
		}
	}
	if err := link.FlushTimeout(harness.Patience); err != nil {
		t.Fatal(err)
	}
	if err := own.FlushTimeout(harness.Patience); err != nil { // all have arrived
		t.Fatal(err)
	}
	if n := dropped.Load(); n > 0 {
		t.Errorf("%d errors", n)
	}
}

// What NATS reports outside of any call is logged, and not printed.
func TestErrorsAreLogged(t *testing.T) {
	link := connect(t)
	lines := make(chan string, 10)
	log := zerolog.New(zerolog.MultiLevelWriter(lineWriter(lines)))
	own, err := broker.Connect(t.Context(), broker.Options{
		URL: link.ConnectedUrl(), Wait: harness.Patience, Extra: []nats.Option{service.LogErrors(log)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(own.Close)
	if _, err := own.ChanSubscribe(contract.ReleaseSubjects, make(chan *nats.Msg)); err != nil {
		t.Fatal(err)
	}
	if err := own.Publish("release.f", nil); err != nil {
		t.Fatal(err)
	}
	if line := <-lines; !bytes.Contains([]byte(line), []byte("slow consumer")) || !bytes.Contains([]byte(line), []byte("release.*")) {
		t.Errorf("logged %s", line)
	}
}

type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}
