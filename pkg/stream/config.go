package stream

import (
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// MetadataFlow is the key of the stream's metadata that holds the flow's id.
	MetadataFlow = "dagyo.flow"

	// spareFrames is what the broker stores of an edge beyond two windows: frames that were sent
	// again after their confirmation was lost.
	spareFrames = 16

	// duplicates is the shortest window that is of use to anybody: edges send no message ids.
	duplicates = time.Second
)

// StreamConfig is the stream of a flow whose edges have a window of at most maxFrames frames each.
// The broker enforces a bound of two windows on writers that do not keep to their credit: one would
// not do, because it deletes what was consumed later than it passes on the credit. It has one
// replica; the caller may change Replicas and Placement.
//
// MaxBytes is not set: a stream in memory would reserve as much at once.
func StreamConfig(
	flow string, storage jetstream.StorageType, maxFrames int64,
) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 contract.FlowStream(flow),
		Description:          "edges of flow " + flow,
		Subjects:             contract.FlowStreamSubjects(flow),
		Retention:            jetstream.LimitsPolicy,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    2*maxFrames + spareFrames,
		MaxMsgs:              -1,
		MaxBytes:             -1,
		Storage:              storage,
		Replicas:             1,
		Duplicates:           duplicates,
		AllowRollup:          true,
		AllowDirect:          true,
		Metadata:             map[string]string{MetadataFlow: flow},
	}
}
