package trace

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// A Context is a W3C trace context: a trace, and the span in it that is the parent of what follows. The zero Context
// belongs to no trace.
type Context struct {
	// Parent is the traceparent in version 00, or "".
	Parent string
	// State is the tracestate, or "". There is none without Parent.
	State string
}

// StateLimit limits a tracestate, in bytes; a longer one is dropped. It is the length that W3C asks everyone to pass on.
const StateLimit = 512

const (
	form      = "00-00000000000000000000000000000000-0000000000000000-00"
	zeroTrace = "00000000000000000000000000000000"
	zeroSpan  = "0000000000000000"
	// Flags of version 00 that are passed on.
	flagSampled, flagRandom = 1, 2
)

// Parse returns the context of the two headers. As W3C demands, an invalid traceparent makes it the zero Context, and an
// invalid tracestate is dropped.
func Parse(traceparent, tracestate string) Context {
	if !validParent(traceparent) {
		return Context{}
	}
	return Context{Parent: normal(traceparent), State: parseState(tracestate)}
}

// normal returns a valid traceparent in version 00, without the flags that this version does not have. Nearly all are so
// already, and each event is parsed: these are not copied.
func normal(p string) string {
	const known = "00010203"
	i := strings.IndexByte("0123456789abcdef", p[len(form)-1]) % 4 * 2
	flags := known[i : i+2]
	if p[:2] == "00" && p[len(form)-2:] == flags {
		return p
	}
	return "00" + p[2:len(form)-2] + flags
}

// New begins a trace with the span of a flow. It is sampled.
func New(flow string) Context {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return begin(hex.EncodeToString(id[:]), flow, flagSampled|flagRandom)
}

// Derive begins a trace with the span of a flow. The same seed gives the same trace.
func Derive(flow, seed string) Context {
	sum := sha256.Sum256([]byte("trace\x00" + flow + "\x00" + seed))
	return begin(hex.EncodeToString(sum[:16]), flow, flagSampled)
}

func begin(id, flow string, flags byte) Context {
	c := Context{Parent: of(id, zeroSpan, flags)}
	return c.child(flow, spanFlow)
}

func of(trace, span string, flags byte) string {
	return "00-" + trace + "-" + span + "-" + hex.EncodeToString([]byte{flags})
}

// IsZero reports whether the context belongs to no trace.
func (c Context) IsZero() bool { return len(c.Parent) != len(form) }

// TraceID returns the id of the trace in hexadecimal, or "".
func (c Context) TraceID() string {
	if c.IsZero() {
		return ""
	}
	return c.Parent[3:35]
}

// SpanID returns the id of the span in hexadecimal, or "".
func (c Context) SpanID() string {
	if c.IsZero() {
		return ""
	}
	return c.Parent[36:52]
}

// Sampled reports whether spans of the trace are recorded.
func (c Context) Sampled() bool {
	return !c.IsZero() && strings.IndexByte("13579bdf", c.Parent[len(form)-1]) >= 0
}

// Job returns the context of the span of a job, for the context with which its flow was submitted.
func (c Context) Job(flow, job string) Context { return c.child(flow, spanJob+job) }

// child returns the context of a span about a flow.
func (c Context) child(flow, what string) Context {
	if c.IsZero() {
		return c
	}
	sum := sha256.Sum256([]byte(c.TraceID() + "\x00" + flow + "\x00" + what))
	c.Parent = c.Parent[:36] + hex.EncodeToString(sum[:8]) + c.Parent[52:]
	return c
}

// MarshalText encodes the context as the traceparent, and the tracestate after a space.
func (c Context) MarshalText() ([]byte, error) {
	return []byte(strings.TrimSuffix(c.Parent+" "+c.State, " ")), nil
}

// UnmarshalText decodes what MarshalText and the previous version, which had no tracestate, have written.
func (c *Context) UnmarshalText(text []byte) error {
	parent, state, _ := strings.Cut(string(text), " ")
	*c = Parse(parent, state)
	return nil
}

// validParent reports whether p is a traceparent. One of a version that is not known yet may be longer than version 00.
func validParent(p string) bool {
	switch {
	case len(p) < len(form), len(p) > StateLimit, p[:2] == "ff":
		return false
	case len(p) > len(form) && (p[:2] == "00" || p[len(form)] != '-'):
		return false
	}
	for i := range len(form) {
		c := p[i]
		hex := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
		if form[i] == '-' && c != '-' || form[i] != '-' && !hex {
			return false
		}
	}
	return p[3:35] != zeroTrace && p[36:52] != zeroSpan
}
