package executor

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
)

// ErrReaderClosed is returned by Send when the reader needs no more records. It is not a failure.
var ErrReaderClosed = stream.ErrReaderClosed

// ErrStopped is the context's cause when the job's flow was stopped.
var ErrStopped = errors.New("the flow was stopped")

// ErrEnded is the context's cause when the stream connected to the node's stop port stopped the node. The
// program may finish its current work; an error that it then returns is not a failure.
var ErrEnded = fmt.Errorf("the node was stopped by a stream: %w", stream.ErrFinishing)

// ErrDrained is the context's cause when the executor must exit before the job is done.
var ErrDrained = errors.New("the executor was drained before the job was done")

// A PortError is a failure at one port; find it with errors.As. A program may return its own, so that
// the job's panic names the port and the record.
type PortError struct {
	Port string
	// Record is the number of the record, from 0; -1 if the error is not about one record.
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
	f := contract.Failure{Kind: cmp.Or(e.kind, contract.KindError), Message: e.Err.Error(), Port: e.Port}
	if e.Record >= 0 {
		f.Record = &e.Record
	}
	return f
}

// A DetailedError is an error with details: the job's panic contains the last 8 KiB of Detail in addition
// to the message.
type DetailedError struct {
	Err    error
	Detail string
}

func (e *DetailedError) Error() string { return e.Err.Error() }

func (e *DetailedError) Unwrap() error { return e.Err }

// clip shortens a text for an event. It keeps the end: the last lines are the most useful.
func clip(s string) string {
	if len(s) <= contract.DetailLimit {
		return s
	}
	const mark = "… "
	return mark + s[len(s)-contract.DetailLimit+len(mark):]
}
