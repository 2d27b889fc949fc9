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

// A shard's name is its index, a dash, and a suffix that no shard had before. So a flow whose shard was lost with
// a broker that kept it in memory never meets another shard of that name.
func shardName(index int) string {
	return strconv.Itoa(index) + "-" + strings.ToLower(rand.Text()[:8])
}

func shardIndex(shard string) (int, bool) {
	index, _, ok := strings.Cut(shard, "-")
	n, err := strconv.Atoi(index)
	return n, ok && err == nil
}

// errShardLost says that a shard was lost since the flow was laid out. The next try has new ones.
var errShardLost = errors.New("a stream of edges is gone: it was kept in memory by a server that restarted, or deleted")

// ensureShards makes the shards that are missing, and has the state know all. It does nothing while the connection
// is the one on which that was done last.
func (w *wiring) ensureShards(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	connection := w.link.Stats().Reconnects + 1
	if w.shardsSeen == connection {
		return nil
	}
	shards, err := w.makeShards(ctx)
	if err != nil {
		return brokerError("make the streams of edges", err)
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

// forgetShards has the shards looked for before the next flow is planned.
func (w *wiring) forgetShards() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shardsSeen = 0
}

// makeFirstShards makes the shards when the planner starts: no flow is planned before they are there.
func (w *wiring) makeFirstShards(ctx context.Context, r *service.Runtime[*State]) error {
	w.mu.Lock()
	w.runtime = r
	w.mu.Unlock()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		err := w.ensureShards(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		r.Log().Warn().Err(err).Msg("cannot make the streams of edges; trying again")
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

// makeShards returns a shard of the configured kind for each index. It makes those that are missing.
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

// deleteStream deletes the stream of a shard that no flow uses and none will, or that of an old flow.
func (w *wiring) deleteStream(ctx context.Context, name string) error {
	w.streams.Delete(name)
	err := w.link.JS.DeleteStream(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete stream %s: %w", name, err)
	}
	return nil
}

// begin stores that a flow runs, on the subjects of its stops. One that was stopped already stays stopped.
func (w *wiring) begin(ctx context.Context, p *contract.FlowPlanned) error {
	for _, subject := range []string{p.Stop, p.LastStop} {
		if subject == "" {
			continue
		}
		_, err := w.link.JS.Publish(ctx, subject, []byte(contract.Running),
			jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithExpectStream(p.Stream))
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			w.forgetShards() // somebody may have deleted the stream
		}
		if err != nil && !stream.WrongLastSequence(err) {
			return brokerError("store that the flow runs", err)
		}
	}
	return nil
}

// purgeAtOnce is the age up to which what a flow has stored is purged by one request. The broker looks at all
// that was stored between the flow's first message and its last, so for older flows each subject is purged alone.
const purgeAtOnce = 10 * time.Second

// purgeFlow deletes all that a shard stores of a flow.
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

// stream returns the handle of a stream. The broker is asked for it once only.
func (w *wiring) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if s, ok := w.streams.Load(name); ok {
		return s.(jetstream.Stream), nil
	}
	s, err := w.link.JS.Stream(ctx, name)
	if err == nil {
		w.streams.Store(name, s)
	}
	return s, err
}
