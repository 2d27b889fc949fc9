package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Get returns the final status of a flow, the last one if there are several. It returns false if the flow is
// not in history.
func (x *Index) Get(ctx context.Context, flow string) (contract.FlowStatus, bool, error) {
	var unread error
	for _, e := range x.holding(flow) {
		lines, err := x.read(ctx, e)
		if err != nil {
			unread = errors.Join(unread, err)
			continue
		}
		if s, ok := find(lines, flow); ok {
			return s, true, nil
		}
	}
	return contract.FlowStatus{}, false, unread
}

// holding returns the segments that may contain a flow, newest first. Those with unreadable headers contain
// nothing that could be read.
func (x *Index) holding(flow string) (out []entry) {
	h := hashID(flow)
	for _, e := range slices.Backward(x.from(0)) {
		if e.broken == nil && e.flows.mayHold(h) {
			out = append(out, e)
		}
	}
	return out
}

// find returns the last status of a flow. It decodes only lines that contain the id.
func find(lines [][]byte, flow string) (contract.FlowStatus, bool) {
	id := quoted(flow)
	for _, line := range slices.Backward(lines) {
		if !bytes.Contains(line, id) {
			continue
		}
		if s, err := decode(line); err == nil && s.Flow == flow {
			return s, true
		}
	}
	return contract.FlowStatus{}, false
}

// read returns the lines of a segment, or none if the limits have removed it.
func (x *Index) read(ctx context.Context, e entry) ([][]byte, error) {
	if e.broken != nil {
		return nil, fmt.Errorf("cannot read segment %d of history: %w", e.seq, e.broken)
	}
	if lines, ok := x.cache.get(e.seq); ok {
		return lines, nil
	}
	h, body, err := x.fetch(ctx, e.seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read segment %d of history: %w", e.seq, err)
	}
	lines, err := x.opener.open(h, body)
	if err != nil {
		return nil, fmt.Errorf("cannot read segment %d of history: %w", e.seq, err)
	}
	x.cache.put(e.seq, lines)
	return lines, nil
}

// cacheBytes limits the cached lines, not counting the last segment.
const cacheBytes = 4 << 20

// A cache keeps the lines of recently read segments: the pages of a list read the same segment several
// times.
type cache struct {
	mu   sync.Mutex
	kept []opened // the most recently used is last
	size int
}

type opened struct {
	seq   uint64
	lines [][]byte
	size  int
}

func (c *cache) get(seq uint64) ([][]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.kept, func(o opened) bool { return o.seq == seq })
	if i < 0 {
		return nil, false
	}
	o := c.kept[i]
	c.kept = append(slices.Delete(c.kept, i, i+1), o)
	return o.lines, true
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept, c.size = nil, 0
}

func (c *cache) put(seq uint64, lines [][]byte) {
	o := opened{seq: seq, lines: lines}
	for _, line := range lines {
		o.size += len(line)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.kept, func(o opened) bool { return o.seq == seq }) {
		return
	}
	for len(c.kept) > 0 && c.size+o.size > cacheBytes {
		c.size -= c.kept[0].size
		c.kept = slices.Delete(c.kept, 0, 1)
	}
	c.kept, c.size = append(c.kept, o), c.size+o.size
}
