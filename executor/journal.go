package executor

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"time"

	"github.com/dagyo/dagyo/pkg/joblog"
)

const (
	// flushAfter is how long a line waits for others.
	flushAfter = 200 * time.Millisecond
	// mostBatches limits what waits to be published.
	mostBatches = 16
	// lastLines is how long the end of a job waits until its last lines are stored.
	lastLines = time.Second
)

// A journal publishes what a job logs: at most once, in batches, and never in the goroutine that logs. What exceeds the
// job's rate, or waits for too long because of the connection, is dropped and counted.
type journal struct {
	publish func(batch []byte) error
	confirm func(ctx context.Context, batch []byte) error
	mask    mask

	// turn is held while batches are published, so that they are in order.
	turn chan struct{}

	mu      sync.Mutex
	bucket  bucket
	batches []batch
	dropped int64
	timer   *time.Timer // nil while nothing waits
	rest    partial     // the line that a command has begun
	closed  bool
}

type batch struct {
	data  []byte
	lines int64 // those that were dropped, too
}

func newJournal(rate int, m mask, publish func([]byte) error, confirm func(context.Context, []byte) error) *journal {
	return &journal{
		publish: publish, confirm: confirm, mask: m, turn: make(chan struct{}, 1), bucket: newBucket(rate, time.Now().UTC()),
	}
}

// log logs the lines of a text.
func (j *journal) log(level, text string) {
	text = j.mask.apply(text)
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(text) {
		j.add(joblog.Line{Stream: joblog.Log, Level: level, Text: joblog.Cut(strings.TrimRight(line, "\r\n"), 0)})
	}
}

// add adds a line, now. After one that was dropped, all are, until take has said so.
func (j *journal) add(l joblog.Line) {
	l.Time = time.Now().UTC()
	switch {
	case j.closed:
	case j.dropped > 0, len(j.batches) == mostBatches, !j.bucket.take(l.Time, joblog.Cost(l.Text)):
		j.dropped++
		j.schedule()
	default:
		j.append(l)
	}
}

// append adds a line to the last batch. A full one is published at once.
func (j *journal) append(l joblog.Line) {
	if n := len(j.batches); n == 0 || len(j.batches[n-1].data) >= joblog.MaxBatch {
		j.batches = append(j.batches, batch{})
	}
	last := &j.batches[len(j.batches)-1]
	last.data = joblog.Append(last.data, l)
	last.lines += max(1, l.Dropped)
	j.schedule()
	if len(last.data) >= joblog.MaxBatch {
		j.timer.Reset(0)
	}
}

// schedule has what waits published after a while.
func (j *journal) schedule() {
	if j.timer == nil {
		j.timer = time.AfterFunc(flushAfter, j.flush)
	}
}

// flush publishes what waits. The timer calls it.
func (j *journal) flush() {
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	default:
		return // that of an earlier call, which schedules the next one
	}
	j.mu.Lock()
	batches := j.take(false)
	j.mu.Unlock()
	lost := int64(0)
	for _, b := range batches {
		if j.publish(b.data) != nil {
			lost += b.lines
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dropped += lost
	if j.timer = nil; !j.closed && len(j.batches)+int(j.dropped) > 0 {
		j.schedule()
	}
}

// take takes what waits, with a line for what was dropped: when there is room for more again, or if it is the last time.
func (j *journal) take(last bool) (out []batch) {
	if now := time.Now().UTC(); j.dropped > 0 && (last || j.bucket.ready(now)) {
		n := j.dropped
		j.dropped = 0
		j.append(joblog.Missing(now, n))
	}
	out, j.batches = j.batches, nil
	return out
}

// close publishes what waits, and returns when it is stored, or after a while. Nothing is logged from then on.
func (j *journal) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastLines)
	defer cancel()
	j.mu.Lock()
	if j.rest.begun() {
		j.endLine()
	}
	batches := j.take(true)
	j.closed = true
	if j.timer != nil {
		j.timer.Stop()
	}
	j.mu.Unlock()
	select {
	case j.turn <- struct{}{}:
		defer func() { <-j.turn }()
	case <-ctx.Done():
		return
	}
	for i, b := range batches {
		if i < len(batches)-1 {
			_ = j.publish(b.data)
		} else {
			_ = j.confirm(ctx, b.data)
		}
	}
}

// Write logs the lines of a command's standard error. It never fails.
func (j *journal) Write(b []byte) (int, error) {
	n := len(b)
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		line, rest, ended := bytes.Cut(b, []byte("\n"))
		j.rest.add(line, joblog.MaxText+j.mask.longest)
		if !ended {
			return n, nil
		}
		j.endLine()
		b = rest
	}
}

// endLine logs the line that a command has begun.
func (j *journal) endLine() {
	text, more := j.mask.apply(strings.TrimSuffix(string(j.rest.text), "\r")), j.rest.more
	if more > 0 { // the end may be a part of a secret
		kept := max(0, len(text)-j.mask.longest)
		text, more = text[:kept], more+len(text)-kept
	}
	j.rest = partial{text: j.rest.text[:0]}
	j.add(joblog.Line{Stream: joblog.Stderr, Text: joblog.Cut(text, more)})
}

// A partial is a line that has not ended: its beginning, and how many bytes it has more.
type partial struct {
	text []byte
	more int
}

func (p *partial) add(b []byte, limit int) {
	kept := min(len(b), max(0, limit-len(p.text)))
	p.text = append(p.text, b[:kept]...)
	p.more += len(b) - kept
}

func (p *partial) begun() bool { return len(p.text)+p.more > 0 }

// A bucket has tokens for the lines of a second.
type bucket struct {
	rate, tokens float64
	at           time.Time
}

func newBucket(rate int, now time.Time) bucket {
	return bucket{rate: float64(rate), tokens: float64(rate), at: now}
}

func (b *bucket) fill(now time.Time) {
	b.tokens = min(b.rate, b.tokens+b.rate*now.Sub(b.at).Seconds())
	b.at = now
}

// take takes tokens, or none if the bucket is empty. A line that costs more than there is leaves a debt.
func (b *bucket) take(now time.Time, cost int) bool {
	b.fill(now)
	if b.tokens <= 0 {
		return false
	}
	b.tokens -= float64(cost)
	return true
}

// ready reports whether the bucket is half full.
func (b *bucket) ready(now time.Time) bool {
	b.fill(now)
	return b.tokens >= b.rate/2
}
