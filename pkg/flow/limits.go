package flow

import (
	"time"

	"github.com/dagyo/dagyo/pkg/document"
)

// Limits bound one flow.
type Limits struct {
	Document document.Limits
	// Nodes counts const nodes too.
	Nodes int
	// Edges counts the streams of the normal form, including those of "with", "inputs" and
	// "outputs".
	Edges int
	// ConstValues is the maximum number of records in the document, RecordBytes the maximum size of
	// each, in bytes.
	ConstValues int
	RecordBytes int
	MaxDeadline time.Duration
	// DefaultDeadline applies to flows without a deadline.
	DefaultDeadline time.Duration
	// Priority is the highest priority that a flow may have.
	Priority int
}

// DefaultLimits returns the default limits: documents of 4 MiB, 10,000 nodes, 100,000 edges, 10,000 values of at most
// 64 KiB, deadlines of at most 144 hours (24 hours by default), and priorities of at most 100.
func DefaultLimits() Limits {
	size := document.DefaultLimits()
	size.Bytes = 4 << 20
	return Limits{
		Document:        size,
		Nodes:           10_000,
		Edges:           100_000,
		ConstValues:     10_000,
		RecordBytes:     64 << 10,
		MaxDeadline:     144 * time.Hour,
		DefaultDeadline: 24 * time.Hour,
		Priority:        100,
	}
}
