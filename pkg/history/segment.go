package history

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Limits of the JSON lines of a segment, in bytes before compression.
const (
	// bodyLimit is the size at which the next record begins a new segment.
	bodyLimit = 1 << 20
	// lineLimit limits a single record, and so the decompressed size of a body.
	lineLimit = 4 << 20
)

// A record is a status and its line.
type record struct {
	status contract.FlowStatus
	line   []byte
}

// newRecord encodes a status. A time after the year 9999, which JSON cannot represent, must not keep a flow
// from being stored.
func newRecord(s contract.FlowStatus) (record, error) {
	line, err := json.Marshal(s)
	if err != nil {
		s = contract.FlowStatus{Flow: s.Flow, Phase: s.Phase, Verdict: s.Verdict, Omitted: timeless}
		line, err = json.Marshal(s)
	}
	return record{s, append(line, '\n')}, err
}

// A packer makes segments. It must be used by one goroutine at a time.
type packer struct{ zstd *zstd.Encoder }

// newPacker uses the fastest level: better ones save 7 % and take up to ten times as long.
func newPacker() packer {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(bodyLimit), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constant
	}
	return packer{e}
}

// pack returns the messages that store the records, in order; each has at most limit bytes.
func (p packer) pack(statuses []contract.FlowStatus, upto uint64, limit int) ([]*nats.Msg, error) {
	rest := make([]record, len(statuses))
	for i, s := range statuses {
		var err error
		if rest[i], err = bounded(s, lineLimit); err != nil {
			return nil, err
		}
	}
	var out []*nats.Msg
	for len(rest) > 0 {
		n := together(rest)
		messages, err := p.split(rest[:n], upto, limit)
		if err != nil {
			return nil, err
		}
		out, rest = append(out, messages...), rest[n:]
	}
	for _, m := range out[:max(len(out)-1, 0)] {
		m.Header.Set(headerPart, partMore)
	}
	return out, nil
}

// together returns how many of the records go into one segment, based on their number and size.
func together(records []record) (n int) {
	for size := 0; n < min(len(records), recordsLimit); n++ {
		size += len(records[n].line)
		if n > 0 && size > bodyLimit {
			break
		}
	}
	return n
}

// split halves a segment until every part fits; a single record that does not fit loses details.
func (p packer) split(records []record, upto uint64, limit int) ([]*nats.Msg, error) {
	m := p.message(records, upto)
	if m.Size() <= limit {
		return []*nats.Msg{m}, nil
	}
	if len(records) == 1 {
		less, err := reduced(records[0])
		if err != nil {
			return nil, err
		}
		return p.split([]record{less}, upto, limit)
	}
	first, err := p.split(records[:len(records)/2], upto, limit)
	if err != nil {
		return nil, err
	}
	second, err := p.split(records[len(records)/2:], upto, limit)
	return append(first, second...), err
}

func (p packer) message(records []record, upto uint64) *nats.Msg {
	var body []byte
	statuses := make([]contract.FlowStatus, len(records))
	for i, r := range records {
		statuses[i] = r.status
		body = append(body, r.line...)
	}
	s := summarize(statuses)
	s.upto = upto
	return s.message(p.zstd.EncodeAll(body, nil))
}

// Fit returns the status with as many details as fit into limit bytes of JSON, for an answer to AskFlowGet: what is
// compressed in a segment may be too large for a message.
func Fit(s contract.FlowStatus, limit int) (contract.FlowStatus, error) {
	r, err := bounded(s, limit)
	return r.status, err
}

// bounded returns the record of a status, reduced until its line is short enough.
func bounded(s contract.FlowStatus, limit int) (record, error) {
	r, err := newRecord(s)
	for err == nil && len(r.line) > limit {
		r, err = reduced(r)
	}
	return r, err
}

// What is removed from a status, step by step, if it is too large for a message.
const (
	withoutJobs     = "jobs, edges and outputs"
	withoutFailures = "jobs, edges, outputs, and all but the first failure and problem"
	bare            = "all but the id, the states and the times"
	timeless        = "all but the id and the states: a time is out of range"
)

// reduced returns the record with fewer details, and notes that in its status.
func reduced(r record) (record, error) {
	s := r.status
	switch s.Omitted {
	case "":
		s.Jobs, s.Edges, s.Outputs, s.Omitted = nil, nil, nil, withoutJobs
	case withoutJobs:
		s.Queued, s.Failures, s.Problems = nil, s.Failures[:min(len(s.Failures), 1)], s.Problems[:min(len(s.Problems), 1)]
		s.Omitted = withoutFailures
	case withoutFailures:
		s = contract.FlowStatus{
			Flow: s.Flow, Phase: s.Phase, Verdict: s.Verdict, Submitted: s.Submitted, Updated: s.Updated,
			Deadline: s.Deadline, Duration: s.Duration, Omitted: bare,
		}
	default:
		return r, fmt.Errorf("the status of flow %.80q does not fit into a message", s.Flow)
	}
	return newRecord(s)
}

// An opener reads segments. It may be used concurrently.
type opener struct{ zstd *zstd.Decoder }

func newOpener() opener {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(lineLimit+1)) // and a newline
	if err != nil {
		panic(err) // the options are constant
	}
	return opener{d}
}

// open checks the body of a segment against its headers and returns its lines.
func (o opener) open(h nats.Header, body []byte) ([][]byte, error) {
	s, err := parseSummary(h)
	if err != nil {
		return nil, err
	}
	if got := digest(body); got != h.Get(headerDigest) {
		return nil, fmt.Errorf("the digest of the body is %s, not %.60q", got, h.Get(headerDigest))
	}
	text, err := o.zstd.DecodeAll(body, nil)
	if err != nil {
		return nil, err
	}
	lines := bytes.SplitN(text, []byte("\n"), recordsLimit+2)
	if len(lines) != s.records+1 || len(lines[s.records]) != 0 {
		return nil, fmt.Errorf("the body has %d lines for %d records", len(lines)-1, s.records)
	}
	return lines[:s.records], nil
}

func decode(line []byte) (s contract.FlowStatus, err error) {
	return s, json.Unmarshal(line, &s)
}
