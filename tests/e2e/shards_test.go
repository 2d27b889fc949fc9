package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/tests/harness"
)

const trickle = `{"nodes": {"from": {"progdef": "trickles"}, "to": {"progdef": "sink"}},
	"edges": [{"from": "from.out", "to": "to.in"}]}`

// shards lists the streams of edges, with their storage.
func shards(t *testing.T, c *harness.Client) (out []string) {
	t.Helper()
	all := c.JS.ListStreams(t.Context(), jetstream.WithStreamListSubject("edges.>"))
	for info := range all.Info() {
		out = append(out, fmt.Sprint(info.Config.Name, " ", info.Config.Storage))
	}
	if all.Err() != nil {
		t.Fatal(all.Err())
	}
	return out
}

// The number and storage of the streams of edges may change: running flows keep theirs, new flows use the new streams,
// and old streams are deleted with their last flow.
func TestStreamsOfEdgesChange(t *testing.T) {
	o := harness.DefaultOptions()
	o.Planner.EdgeStorage, o.Planner.EdgeStreams = jetstream.FileStorage, 2
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "trickles", Out: true, Slots: 2})
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 2})
	c.Submit(t, "before", trickle)
	c.Await(t, "start", harness.Is(contract.TypeJobStarted, "before"))
	old := shards(t, c)
	s.KillService(t, "planner")
	s.Reconfigure(func(o *harness.Options) {
		o.Planner.EdgeStorage, o.Planner.EdgeStreams = jetstream.MemoryStorage, 3
	})
	s.StartService(t, "planner")
	c.Submit(t, "behind", trickle)
	for _, flow := range []string{"before", "behind"} {
		if got := completed(t, c.AwaitEnd(t, flow)).Edges[0].Received.Records; got != 300 {
			t.Errorf("%d records of flow %s arrived, want 300", got, flow)
		}
		c.Await(t, "clean-up of "+flow, harness.Is(contract.TypeFlowCleaned, flow))
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(harness.Patience); ; <-tick.C {
		now := shards(t, c)
		if len(now) == 3 && !slices.ContainsFunc(now, func(x string) bool { return slices.Contains(old, x) }) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the streams are %v; they were %v", now, old)
		}
	}
	s.AwaitNothingLeft(t, c)
}

// The streams of edges are created by the leader only, so replicas that start together on a fresh broker create one set.
// Each leader looks for them, since they may be gone.
func TestOneSetOfStreamsOfEdges(t *testing.T) {
	o := harness.DefaultOptions()
	o.Without = harness.Services
	s := harness.Start(t, o)
	c := s.Client(t)
	const advisory = "$JS.EVENT.ADVISORY.STREAM.CREATED."
	created, err := c.SubscribeSync(advisory + "*")
	if err != nil {
		t.Fatal(err)
	}
	c.AwaitFlush(t)
	for range 2 {
		s.StartService(t, planner.Name)
	}
	next := func(wait time.Duration) bool {
		for {
			m, err := created.NextMsg(wait)
			if err != nil {
				return false
			}
			if strings.HasPrefix(m.Subject, advisory+contract.EdgeStreamPrefix) {
				return true
			}
		}
	}
	await := func(streams int) {
		t.Helper()
		for range streams {
			if !next(harness.Patience) {
				t.Fatal("a stream of edges is missing")
			}
		}
	}
	await(o.Planner.EdgeStreams)
	name, _, _ := strings.Cut(shards(t, c)[0], " ")
	if err := c.JS.DeleteStream(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	// Another holder has the lease for a moment, so that a new term begins.
	if _, err := c.JS.PublishMsg(t.Context(), &nats.Msg{Subject: contract.LeaseSubject(planner.Name)}, jetstream.WithMsgTTL(time.Second)); err != nil {
		t.Fatal(err)
	}
	await(1)
	if got := shards(t, c); len(got) != o.Planner.EdgeStreams {
		t.Errorf("the streams are %v, want %d", got, o.Planner.EdgeStreams)
	}
	s.KillService(t, planner.Name)
	c.AwaitFlush(t)
	if next(time.Nanosecond) {
		t.Error("another stream of edges was created")
	}
}

// Only the stored frames of unknown flows are removed.
func TestStrayEdgesAreSwept(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "trickles", Out: true})
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true})
	c.Submit(t, "alive", trickle)
	c.Await(t, "start", harness.Is(contract.TypeJobStarted, "alive"))
	for _, x := range shards(t, c) {
		name, _, _ := strings.Cut(x, " ")
		shard := strings.TrimPrefix(name, contract.EdgeStreamPrefix)
		stray := contract.EdgeAddress(shard, "stray", 0, 1<<20, 128, "json")
		for _, subject := range []string{
			stray.Slot(1), stray.Slot(2), stray.Credit, contract.StopSubject(shard, "stray"),
			"edges." + shard + ".Not-a-name.x", "edges." + shard + ".f.frame",
		} {
			if _, err := c.JS.Publish(t.Context(), subject, []byte("x")); err != nil {
				t.Fatal(subject, err)
			}
		}
		// A subject with a wildcard must not make the sweep delete what it matches.
		for _, subject := range []string{"edges." + shard + ".*.x", "edges." + shard + ".>"} {
			if _, err := c.JS.Publish(t.Context(), subject, []byte("x")); err != nil {
				t.Logf("%s: %v", subject, err)
			}
		}
	}
	if _, err := c.JS.Publish(t.Context(), "jobs.sink.r.*.x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if got := completed(t, c.AwaitEnd(t, "alive")).Edges[0].Received.Records; got != 300 {
		t.Errorf("%d records arrived, want 300", got)
	}
	s.AwaitNothingLeft(t, c)
}

// A deleted stream of edges is recreated for the next flow, and its flows panic.
func TestDeletedStreamsOfEdges(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	c.ApplyFaulty(t, harness.Faulty{Name: "trickles", Out: true})
	c.Submit(t, "loses", trickle)
	for _, job := range []string{"from", "to"} {
		c.Await(t, "start of "+job, func(e contract.Event) bool {
			d, ok := e.Data.(*contract.JobStarted)
			return ok && d.Job == job
		})
	}
	for _, x := range shards(t, c) {
		name, _, _ := strings.Cut(x, " ")
		if err := c.JS.DeleteStream(t.Context(), name); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	c.Submit(t, "next", words)
	completed(t, c.AwaitEnd(t, "next"))
	if got := panicked(t, c.AwaitEnd(t, "loses")).Cause; got.Kind != contract.KindLostEdges {
		t.Errorf("cause %+v, want protocol", got)
	}
	s.AwaitNothingLeft(t, c)
}
