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
	// Edges counts the streams of the normal form: also those that "with", "inputs" and "outputs"
	// make.
	Edges int
	// ConstValues is how many records the document may hold in all, RecordBytes how long each may
	// be, in octets.
	ConstValues int
	RecordBytes int
	MaxDeadline time.Duration
	// DefaultDeadline is for flows that name none.
	DefaultDeadline time.Duration
}

// DefaultLimits returns documents of 4 MiB, 10,000 nodes, 100,000 edges, 10,000 values of at most 64 KiB, and deadlines
// of at most 144 hours, 24 hours by default.
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
	}
}
