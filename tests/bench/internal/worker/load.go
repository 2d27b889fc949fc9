// Package worker contains the parts that a measurement runs, each in a separate process: the nats-server, the two ends
// of an edge, and the ends and stages of the references.
package worker

import (
	"encoding/binary"
	"runtime"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A Load describes what a worker sends or receives. All workers of a run get the same load.
type Load struct {
	URL string `json:"url"`
	// Size is the length of each record in bytes, For how long records are sent.
	Size int           `json:"size"`
	For  time.Duration `json:"for"`
	// Gap is the pause between two lone records, each of which begins with the time it was sent.
	Gap time.Duration `json:"gap,omitempty"`
	// Window limits the bytes that are sent and not yet received, if NATS itself does not.
	Window int64 `json:"window,omitempty"`
	// Subject carries the records of the references; Next is where a stage sends them.
	Subject string `json:"subject,omitempty"`
	Next    string `json:"next,omitempty"`
	// Workers is the number of senders and receivers of a Watermill process; above 1, order is lost.
	Workers int `json:"workers,omitempty"`
	// AckAsync is Watermill's setting.
	AckAsync bool `json:"ackAsync,omitempty"`
	// Listen is where the receiver listens, for workers beside the broker: host:port, or @name for a Unix socket. Frame is
	// the size of frames in bytes, Key seals them unless it is empty.
	Listen string `json:"listen,omitempty"`
	Frame  int    `json:"frame,omitempty"`
	Key    []byte `json:"key,omitempty"`
	// Address is an edge, for workers on package stream.
	Address contract.Address `json:"address,omitzero"`
	// Mailbox and Slots are an executor's.
	Mailbox string `json:"mailbox,omitempty"`
	Slots   int    `json:"slots,omitempty"`
	// Batch lets executors send and receive many records per call.
	Batch bool `json:"batch,omitempty"`
	// Profile is the path, without extension, of the profiles to write, or "" for none.
	Profile string `json:"profile,omitempty"`
}

// A Result is the result of a worker.
type Result struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
	// First and Last are the times of the first and the last record, in nanoseconds since 1970.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Allocs is the number of heap objects allocated for AllocRecords records in the steady state.
	Allocs       uint64 `json:"allocs"`
	AllocRecords int64  `json:"allocRecords"`
	// Delays of lone records, one way: the median and the 99th percentile.
	P50 time.Duration `json:"p50,omitempty"`
	P99 time.Duration `json:"p99,omitempty"`
}

// Add returns the combined result of two concurrent workers.
func (r Result) Add(o Result) Result {
	switch {
	case r.Records == 0:
		return o
	case o.Records == 0:
		return r
	}
	r.Records, r.Bytes = r.Records+o.Records, r.Bytes+o.Bytes
	r.First, r.Last = min(r.First, o.First), max(r.Last, o.Last)
	return r
}

// A meter counts records. It is not safe for concurrent use.
type meter struct {
	load    Load
	every   int64 // records between two readings of the clock
	until   int64 // records to the next one
	start   time.Time
	elapsed time.Duration
	result  Result
	delays  []time.Duration

	began, closed bool // the steady state
	before        uint64
	beforeRecords int64
}

func newMeter(l Load) *meter {
	every := max(1, min(256, int64(32<<10)/int64(max(l.Size, 1))))
	return &meter{load: l, every: every, until: 1}
}

// add counts a record of n bytes.
func (m *meter) add(n int) {
	m.result.Records++
	m.result.Bytes += int64(n)
	if m.until--; m.until == 0 {
		m.until = m.every
		m.look()
	}
}

// look reads the clock. The steady state begins after a quarter of the time and ends before its last tenth.
func (m *meter) look() {
	now := time.Now()
	if m.start.IsZero() {
		m.start, m.result.First = now, now.UnixNano()
	}
	m.elapsed = now.Sub(m.start)
	m.result.Last = now.UnixNano()
	switch {
	case !m.began && m.elapsed >= m.load.For/4:
		m.began, m.before, m.beforeRecords = true, mallocs(), m.result.Records
	case m.began && !m.closed && m.elapsed >= m.load.For*9/10:
		m.settle()
	}
}

func (m *meter) settle() {
	m.closed = true
	m.result.Allocs = mallocs() - m.before
	m.result.AllocRecords = m.result.Records - m.beforeRecords
}

// over reports whether a sender has sent for long enough.
func (m *meter) over() bool { return m.elapsed >= m.load.For }

// delay records how long ago a lone record was sent.
func (m *meter) delay(record []byte) {
	if m.load.Gap > 0 && len(record) >= 8 {
		m.delays = append(m.delays, time.Duration(time.Now().UnixNano()-sentAt(record)))
	}
}

// done returns the result.
func (m *meter) done() Result {
	m.look()
	if m.began && !m.closed {
		m.settle()
	}
	m.result.P50, m.result.P99 = Quantile(m.delays, 0.5), Quantile(m.delays, 0.99)
	return m.result
}

// Quantile returns the q-quantile of the values, or 0 if there are none.
func Quantile(all []time.Duration, q float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func mallocs() uint64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.Mallocs
}

// newRecord returns a record of the load's size.
func newRecord(l Load) []byte {
	b := make([]byte, l.Size)
	for i := range b {
		b[i] = 'a' + byte(i%26)
	}
	return b
}

// stamp waits until a lone record is due, and writes the time into it.
func stamp(l Load, record []byte) {
	if l.Gap == 0 {
		return
	}
	time.Sleep(l.Gap)
	binary.BigEndian.PutUint64(record, uint64(time.Now().UnixNano()))
}

func sentAt(record []byte) int64 { return int64(binary.BigEndian.Uint64(record)) }
