package contract

import (
	"encoding/base64"
	"strconv"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/trace"
)

// A Job is one node of one flow, ready to run (schemas/job.json). It is the message in a mailbox, and
// contains everything that an executor needs to know.
type Job struct {
	Flow     string `json:"flow"`
	Job      string `json:"job"`
	Node     string `json:"node"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	// Inputs and Outputs are the addresses of the edges to read and to write, by port.
	Inputs  map[string]Address `json:"inputs"`
	Outputs map[string]Address `json:"outputs"`
	// Started, Done and Panic are the subjects of the job's events.
	Started string `json:"started"`
	Done    string `json:"done"`
	Panic   string `json:"panic"`
	// Health is the plain NATS subject for heartbeats; Stop is the subject that stops the job.
	Health string `json:"health"`
	Stop   string `json:"stop"`
	// Stream is the JetStream stream that stores the stop; "" if the planner is older than version 0.2.
	Stream string `json:"stream,omitempty"`
	// HealthInterval is the longest time between two heartbeats; each one is good for HealthTimeout.
	HealthInterval document.Duration `json:"healthInterval"`
	HealthTimeout  document.Duration `json:"healthTimeout"`
	// Log is where the job may log, nil if nothing is kept.
	Log *Log `json:"log,omitempty"`
	// TraceParent and TraceState are the W3C trace context of the job's span, if the flow has a trace. TraceState is in
	// mailboxes only: the previous version does not read a flow.planned with it.
	TraceParent string `json:"traceparent,omitempty"`
	TraceState  string `json:"tracestate,omitempty"`
}

// Trace returns the trace context of the job's span.
func (j *Job) Trace() trace.Context { return trace.Parse(j.TraceParent, j.TraceState) }

// A Log is where a job logs.
type Log struct {
	// Subject is the plain subject: the executor publishes on that which ends in its name.
	Subject string `json:"subject"`
	// Rate is how many lines the job may log in a second. A line counts once for each 256 bytes that it begins.
	Rate int `json:"rate"`
}

// An Address is one end of an edge: where its frames are stored, and how far the writer may run ahead.
type Address struct {
	// Stream is the JetStream stream that stores frames and the last credit.
	Stream string `json:"stream"`
	// Subject, with a slot appended, stores a frame.
	Subject string `json:"subject"`
	// Credit carries what the reader has consumed.
	Credit string `json:"credit"`
	// Direct is the plain NATS subject, without the token, on which the reader receives frames directly.
	Direct string `json:"direct"`
	// Window limits the bytes, Frames the number of frames, that are sent and not yet consumed.
	Window int64 `json:"window"`
	Frames int64 `json:"frames"`
	// Slots is the number of subjects that store frames: frame N is stored on Subject, a dot, and N modulo Slots. It is 0
	// if the planner is older than version 0.2: then all frames are stored on Subject.
	Slots int64 `json:"slots,omitempty"`
	// Type is the edge's typename, for messages.
	Type string `json:"type"`
	// Salt is not empty if the edge is sealed: its ends need the key. It is unique to the flow, and no secret.
	Salt string `json:"salt,omitempty"`
	// Writer and Reader are the ends of a sealed edge.
	Writer *End `json:"writer,omitempty"`
	Reader *End `json:"reader,omitempty"`
	// Sealed is for the ends of a sealed edge only. No event has it.
	Sealed *Sealed `json:"sealed,omitempty"`
}

// An End is who writes or reads a sealed edge: a user or a service by its name, or the executor that runs a job. It
// stores on subjects that end in its name.
type End struct {
	Name string `json:"name,omitempty"`
	Job  string `json:"job,omitempty"`
}

// Sealed is the secret part of the address of a sealed edge. Its limits replace those of the address, which are 0: an
// executor that does not know sealed edges must not use the edge.
type Sealed struct {
	Key    Key   `json:"key"`
	Window int64 `json:"window"`
	Frames int64 `json:"frames"`
}

// A Key seals the messages of one edge. It is never printed.
type Key []byte

func (Key) String() string { return "(key)" }

// MarshalText encodes the key in base64.
func (k Key) MarshalText() ([]byte, error) { return base64.StdEncoding.AppendEncode(nil, k), nil }

// UnmarshalText decodes a key.
func (k *Key) UnmarshalText(text []byte) (err error) {
	*k, err = base64.StdEncoding.AppendDecode(nil, text)
	return err
}

// GoString hides the key from %#v.
func (Key) GoString() string { return "(key)" }

// WithKey returns the address of a sealed edge for its ends.
func (a Address) WithKey(k Key) Address {
	a.Sealed = &Sealed{Key: k, Window: a.Window, Frames: a.Frames}
	a.Window, a.Frames = 0, 0
	return a
}

// Limits returns the address with the limits that count, without the key.
func (a Address) Limits() Address {
	if a.Sealed != nil {
		a.Window, a.Frames, a.Sealed = a.Sealed.Window, a.Sealed.Frames, nil
	}
	return a
}

// Nobody is the name with which services, and users that have none, store on a sealed edge. No credential has it.
const Nobody = "-"

// From returns the subject on which a sender of that name stores what has the given subject of the edge. The broker lets
// nobody publish under the name of another; on an edge that is not sealed, the subject is plain.
func (a Address) From(name, subject string) string {
	if a.Salt == "" {
		return subject
	}
	if name == "" {
		name = Nobody
	}
	return Sender{Name: name}.On(subject)
}

// A Count is a number of records and the sum of their lengths in bytes.
type Count struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// Add returns the sum of two counts.
func (c Count) Add(o Count) Count {
	return Count{Records: c.Records + o.Records, Bytes: c.Bytes + o.Bytes}
}

// EdgeAddress is the address of a flow's n-th edge. It has as many slots as frames may be unconsumed.
func EdgeAddress(shard, flow string, n int, window, frames int64, typename string) Address {
	return Address{
		Stream: EdgeStream(shard), Subject: EdgeSubject(shard, flow, n),
		Credit: CreditSubject(shard, flow, n), Direct: DirectSubject(flow, n),
		Window: window, Frames: frames, Slots: frames, Type: typename,
	}
}

// Slot is the subject that stores a frame.
func (a Address) Slot(frame uint64) string {
	if a.Slots == 0 {
		return a.Subject
	}
	return a.Subject + "." + strconv.FormatUint(frame%uint64(a.Slots), 10)
}

// StopStream is the stream that stores the job's stop.
func (j *Job) StopStream() string {
	if j.Stream == "" {
		return OldFlowStream(j.Flow)
	}
	return j.Stream
}
