package planner

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/stream"
)

// A shard's name is its index, a dash, and a suffix that no earlier shard had. So a flow whose shard was lost with
// a broker that kept it in memory never uses another shard by mistake.
func shardName(index int) string {
	return strconv.Itoa(index) + "-" + strings.ToLower(rand.Text()[:8])
}

func shardIndex(shard string) (int, bool) {
	index, _, ok := strings.Cut(shard, "-")
	n, err := strconv.Atoi(index)
	return n, ok && err == nil
}

// errShardLost means that a shard was lost after the flow was planned. The next try uses new shards.
var errShardLost = errors.New("a stream of edges no longer exists: it was deleted, or kept in memory by a server that restarted")

// ensureShards creates missing shards, and passes all shards to the state. It does nothing if it succeeded on the
// current connection before.
func (w *wiring) ensureShards(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	connection := w.link.Stats().Reconnects + 1
	if w.shardsSeen == connection {
		return nil
	}
	shards, err := w.makeShards(ctx)
	if err != nil {
		return brokerError("create the streams of edges", err)
	}
	w.shardsSeen = connection
	if slices.Equal(shards, w.shards) {
		return nil
	}
	first := w.shards == nil
	w.shards = shards
	w.runtime.Fold(contract.Event{Type: FactShards, With: shards})
	if !first {
		return errShardLost
	}
	return nil
}

// forgetShards makes the planner check the shards before it plans the next flow.
func (w *wiring) forgetShards() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shardsSeen = 0
}

// tend creates the shards at the beginning of a term, because no flow is planned before they exist and the last leader
// may have replaced them. It then sweeps, which would take the streams of shards that are not known for orphans.
func (w *wiring) tend(ctx context.Context, r *service.Runtime[*State]) error {
	w.mu.Lock()
	w.runtime, w.shards, w.shardsSeen = r, nil, 0
	w.mu.Unlock()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		err := w.ensureShards(ctx)
		if err == nil {
			return w.sweep(ctx, r)
		}
		if ctx.Err() != nil {
			return nil
		}
		r.Log().Warn().Err(err).Msg("cannot create the streams of edges; trying again")
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// makeShards returns a shard of the configured kind for each index. It creates missing ones.
func (w *wiring) makeShards(ctx context.Context) ([]string, error) {
	have, err := w.listShards(ctx)
	if err != nil {
		return nil, err
	}
	shards := make([]string, w.config.EdgeStreams)
	for _, info := range have {
		shard := strings.TrimPrefix(info.Config.Name, contract.EdgeStreamPrefix)
		i, ok := shardIndex(shard)
		if ok && i < len(shards) && info.Config.Storage == w.config.EdgeStorage && (shards[i] == "" || shard < shards[i]) {
			shards[i] = shard
		}
	}
	for i := range shards {
		if shards[i] != "" {
			continue
		}
		shards[i] = shardName(i)
		if _, err := w.link.JS.CreateStream(ctx, stream.ShardConfig(shards[i], w.config.EdgeStorage)); err != nil {
			return nil, err
		}
	}
	return shards, nil
}

func (w *wiring) listShards(ctx context.Context) (shards []*jetstream.StreamInfo, err error) {
	all := w.link.JS.ListStreams(ctx, jetstream.WithStreamListSubject("edges.>"))
	for info := range all.Info() {
		if strings.HasPrefix(info.Config.Name, contract.EdgeStreamPrefix) {
			shards = append(shards, info)
		}
	}
	return shards, all.Err()
}

// deleteStream deletes the stream of a shard that no flow uses or will use, or the own stream of an old flow.
func (w *wiring) deleteStream(ctx context.Context, name string) error {
	w.streams.Delete(name)
	err := w.link.JS.DeleteStream(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete stream %s: %w", name, err)
	}
	return nil
}

// begin stores that a flow is running, on the subjects of its stops. A flow that was already stopped stays stopped.
func (w *wiring) begin(ctx context.Context, p *contract.FlowPlanned) error {
	for _, subject := range []string{p.Stop, p.LastStop} {
		if subject == "" {
			continue
		}
		_, err := w.link.JS.Publish(ctx, subject, []byte(contract.Running),
			jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithExpectStream(p.Stream))
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			w.forgetShards() // the stream may have been deleted
		}
		if err != nil && !stream.WrongLastSequence(err) {
			return brokerError("store that the flow is running", err)
		}
	}
	return nil
}

// purgeAtOnce is the age up to which all messages of a flow are purged by one request. The broker scans everything
// stored between the flow's first message and its last, so for older flows each subject is purged separately.
const purgeAtOnce = 10 * time.Second

// purgeFlow deletes everything that a shard stores for a flow.
func (w *wiring) purgeFlow(ctx context.Context, name, id string, age time.Duration) error {
	err := w.purgeFrom(ctx, name, contract.FlowEdges(strings.TrimPrefix(name, contract.EdgeStreamPrefix), id), age)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	return err
}

func (w *wiring) purgeFrom(ctx context.Context, name, filter string, age time.Duration) error {
	s, err := w.stream(ctx, name)
	if err != nil {
		return err
	}
	if age < purgeAtOnce {
		return s.Purge(ctx, jetstream.WithPurgeSubject(filter))
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return err
	}
	for subject := range info.State.Subjects {
		if err := s.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
			return err
		}
	}
	return nil
}

// stream returns the handle of a stream. It asks the broker only once per stream.
func (w *wiring) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if s, ok := w.streams.Load(name); ok {
		return s.(jetstream.Stream), nil
	}
	js := w.link.JS
	if name == contract.StreamJobs {
		js = w.link.JS
	}
	s, err := js.Stream(ctx, name)
	if err == nil {
		w.streams.Store(name, s)
	}
	return s, err
}
