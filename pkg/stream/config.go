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

	// ackWait is when the broker would deliver a frame again. A lost frame is recovered by making
	// the consumer anew, and one that comes again is dropped, so it never needs to.
	ackWait = 24 * time.Hour

	// duplicates is the shortest window that is of use to anybody: edges send no message ids.
	duplicates = time.Second
)

// StreamConfig is the stream of a flow with so many edges, each with a window of at most maxFrames
// frames. The broker enforces a bound of two windows on writers that do not keep to their credit:
// one would not do, because it deletes what was acknowledged later than it passes on the credit.
// It has one replica; the caller may change Replicas and Placement.
//
// MaxBytes is not set: a stream in memory would reserve as much at once. MaxConsumers is positive,
// for the broker would else refuse more than 1,000.
func StreamConfig(
	flow string, edges int, storage jetstream.StorageType, maxFrames int64,
) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 contract.FlowStream(flow),
		Description:          "edges of flow " + flow,
		Subjects:             contract.FlowStreamSubjects(flow),
		Retention:            jetstream.WorkQueuePolicy,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    2*maxFrames + spareFrames,
		MaxMsgs:              -1,
		MaxBytes:             -1,
		MaxConsumers:         edges + 1,
		Storage:              storage,
		Replicas:             1,
		Duplicates:           duplicates,
		AllowRollup:          true,
		AllowDirect:          true,
		Metadata:             map[string]string{MetadataFlow: flow},
	}
}

// ConsumerConfig is the consumer of one edge. Its state is kept in memory: when a restart of the
// broker loses it, the reader makes it anew, and it begins at the first frame that is not
// acknowledged.
func ConsumerConfig(addr contract.Address) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       addr.Consumer,
		FilterSubject: addr.Subject,
		DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1,
		MaxAckPending: -1,
		MemoryStorage: true,
	}
}
