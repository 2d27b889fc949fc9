package history

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

// forgetEvery is after how many new segments the index drops the entries of those that the limits have removed.
const forgetEvery = 64

// trimWait limits the request for the stream's first sequence.
const trimWait = 5 * time.Second

// An Index knows where in history each flow may be. Its methods may be called concurrently.
type Index struct {
	js     jetstream.JetStream
	stored func(upto uint64)
	// idsOnly is true if nothing is searched.
	idsOnly bool
	fetch   fetch
	opener  opener
	cache   cache

	mu      sync.RWMutex
	loaded  chan struct{}
	stream  jetstream.Stream // nil before it is needed
	entries []entry          // in the order of the stream
	flows   int64            // their records
	upto    uint64
	settled uint64 // the last segment for which stored was called
}

// An entry is the index entry of a segment.
type entry struct {
	summary
	seq uint64
	// broken is the error from reading the headers.
	broken error
}

// fetch reads the message of a segment.
type fetch func(ctx context.Context, seq uint64) (nats.Header, []byte, error)

// NewIndex returns an empty index of StreamHistory; Run fills it.
//
// Stored is called with each upto of a [Writer.Append] once the index contains all of its flows, while it loads only
// with the last one. A caller that keeps ended flows until they are stored must drop them before it returns; a flow
// that is still among the current ones after that may be listed twice. Stored may be nil.
func NewIndex(js jetstream.JetStream, stored func(upto uint64)) *Index {
	if stored == nil {
		stored = func(uint64) {}
	}
	x := &Index{js: js, stored: stored, opener: newOpener(), loaded: make(chan struct{})}
	x.fetch = x.direct
	return x
}

// NewLookup returns an index like NewIndex, but for Get only, with a tenth of the memory. Page works, slowly.
func NewLookup(js jetstream.JetStream, stored func(upto uint64)) *Index {
	x := NewIndex(js, stored)
	x.idsOnly = true
	return x
}

// direct reads a message from any replica of the stream.
func (x *Index) direct(ctx context.Context, seq uint64) (nats.Header, []byte, error) {
	stream, err := x.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	m, err := stream.GetMsg(ctx, seq)
	if err != nil {
		return nil, nil, err
	}
	return m.Header, m.Data, nil
}

// open requests the stream's configuration once, to find out whether it allows direct reads.
func (x *Index) open(ctx context.Context) (jetstream.Stream, error) {
	x.mu.RLock()
	known := x.stream
	x.mu.RUnlock()
	if known != nil {
		return known, nil
	}
	stream, err := x.js.Stream(ctx, contract.StreamHistory)
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stream = stream
	return stream, nil
}

// Run follows the stream until the context ends or the stream has lost its end. Called again, it starts with an empty
// index: a service that starts again with another state must receive again what is stored.
func (x *Index) Run(ctx context.Context) error {
	x.reset()
	defer x.unload()
	return broker.Follower{
		JS: x.js, Stream: contract.StreamHistory, HeadersOnly: true, Name: "history-index",
		Handle: func(m *nats.Msg, meta *nats.MsgMetadata) {
			x.add(meta.Sequence.Stream, m.Header)
			if meta.Sequence.Stream%forgetEvery == 0 && x.isLoaded() {
				x.forgetRemoved(ctx)
			}
		},
		CaughtUp: func() {
			x.forgetRemoved(ctx)
			x.load()
		},
		Interrupted: func(error) {},
	}.Run(ctx)
}

func (x *Index) reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.entries, x.flows, x.upto, x.settled = nil, 0, 0, 0
	x.cache.clear()
}

// load marks the index as loaded.
func (x *Index) load() {
	if x.isLoaded() {
		return
	}
	if upto := x.Upto(); upto > 0 {
		x.stored(upto)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range x.entries {
		if !e.more {
			x.settled = e.seq
		}
	}
	close(x.loaded)
}

// unload makes callers of Loaded wait for the next Run. Those that did not wait any more find what the index had.
func (x *Index) unload() {
	if x.isLoaded() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.loaded = make(chan struct{})
	}
}

func (x *Index) isLoaded() bool {
	select {
	case <-x.Loaded():
		return true
	default:
		return false
	}
}

// Loaded is closed when the index contains everything that was stored before Run.
func (x *Index) Loaded() <-chan struct{} {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.loaded
}

// Upto is the place in EVENTS up to which history is complete, or 0 if nothing is stored.
func (x *Index) Upto() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.upto
}

// Flows is the number of flows in history.
func (x *Index) Flows() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.flows
}

// add adds the headers of a new segment.
func (x *Index) add(seq uint64, h nats.Header) {
	e := entry{seq: seq}
	e.summary, e.broken = parseSummary(h)
	if e.broken != nil {
		e.summary = summary{}
		e.upto, _ = parseUpto(h)
	} else if !x.idsOnly {
		e.columns = parseColumns(h.Get(headerColumns), e.records)
	}
	x.mu.Lock()
	x.entries = append(x.entries, e)
	x.flows += int64(e.records)
	complete := !e.more && e.upto > x.upto
	if complete {
		x.upto = e.upto
	}
	x.mu.Unlock()
	if !x.isLoaded() {
		return
	}
	if complete {
		x.stored(e.upto)
	}
	if !e.more {
		x.settle(seq)
	}
}

func (x *Index) settle(seq uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settled = seq
}

// forgetRemoved drops the entries of segments that the limits have removed. Missing some does no harm:
// [Index.read] finds nothing there.
func (x *Index) forgetRemoved(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, trimWait)
	defer cancel()
	stream, err := x.js.Stream(ctx, contract.StreamHistory)
	if err == nil {
		x.drop(stream.CachedInfo().State.FirstSeq)
	}
}

// drop drops the segments before a sequence.
func (x *Index) drop(first uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].seq >= first })
	for _, e := range x.entries[:n] {
		x.flows -= int64(e.records)
	}
	x.entries = slices.Clone(x.entries[n:]) // or the others would stay in memory
}

// from returns the entries from a sequence on, in the order of the stream. They do not change.
func (x *Index) from(seq uint64) []entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].seq >= seq })
	return x.entries[n:len(x.entries):len(x.entries)]
}

// upThrough returns the entries up to a sequence, in the order of the stream.
func (x *Index) upThrough(seq uint64) []entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	n := sort.Search(len(x.entries), func(i int) bool { return x.entries[i].seq > seq })
	return x.entries[:n:n]
}

// beginning is the last segment whose flows are certainly no longer current.
func (x *Index) beginning() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.settled
}

// Trim removes the oldest segments from the stream, as many as possible while at least keep flows remain.
// Only the leader calls it.
func (x *Index) Trim(ctx context.Context, keep int64) error {
	first := x.excess(keep)
	if first == 0 {
		return nil
	}
	stream, err := x.open(ctx)
	if err == nil {
		err = stream.Purge(ctx, jetstream.WithPurgeSequence(first))
	}
	if err != nil {
		return fmt.Errorf("trim history to %d flows: %w", keep, err)
	}
	x.drop(first)
	return nil
}

// excess returns the sequence before which segments can be removed, or 0 if none can.
func (x *Index) excess(keep int64) (first uint64) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	left := x.flows
	for _, e := range x.entries {
		if left -= int64(e.records); left < keep {
			return first
		}
		first = e.seq + 1
	}
	return first
}
