package executor

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
)

// ErrReaderClosed is what Send returns when the reader wants no more. It is no failure.
var ErrReaderClosed = stream.ErrReaderClosed

// ErrStopped is the cause of the context's end when the job's flow was stopped.
var ErrStopped = errors.New("the flow was stopped")

// ErrEnded is the cause of the context's end when a stream that is wired to the node's stop has stopped
// it. A program may finish what it has at hand; what it returns then is no failure.
var ErrEnded = fmt.Errorf("a stream has stopped the node: %w", stream.ErrFinishing)

// ErrDrained is the cause of the context's end when the executor has to go before the job is done.
var ErrDrained = errors.New("the executor was drained before the job was done")

// A PortError is a failure of one port; find it with errors.As. A program may return one of its own,
// so that the job's panic names port and record.
type PortError struct {
	Port string
	// Record is the number of the record, from 0; -1 where it is not about one record.
	Record int64
	Err    error

	kind contract.Kind
}

func (e *PortError) Error() string {
	if e.Record < 0 {
		return fmt.Sprintf("port %s: %v", e.Port, e.Err)
	}
	return fmt.Sprintf("port %s, record %d: %v", e.Port, e.Record, e.Err)
}

func (e *PortError) Unwrap() error { return e.Err }

func (e *PortError) failure() contract.Failure {
	f := contract.Failure{Kind: cmp.Or(e.kind, contract.KindError), Message: clip(e.Err.Error()), Port: e.Port}
	if e.Record >= 0 {
		f.Record = &e.Record
	}
	return f
}

// A DetailedError has more to say than its message: a program returns it to have Detail, at most its
// last 8 KiB, in the job's panic.
type DetailedError struct {
	Err    error
	Detail string
}

func (e *DetailedError) Error() string { return e.Err.Error() }

func (e *DetailedError) Unwrap() error { return e.Err }

// clip bounds a text that goes into an event, keeping its end: the last lines say most.
func clip(s string) string {
	if len(s) <= contract.DetailLimit {
		return s
	}
	const mark = "… "
	return mark + s[len(s)-contract.DetailLimit+len(mark):]
}
