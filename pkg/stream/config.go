package stream

import (
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxFrame is the longest frame, in bytes, that a shard stores.
const MaxFrame = 128 << 10

const (
	// maxHeaders is the maximum size of the headers of a stored frame.
	maxHeaders = 1 << 10
	// duplicates is the shortest window that JetStream accepts: edges use no message ids.
	duplicates = 100 * time.Millisecond
)

// ShardConfig configures a stream that stores the edges of many flows: the last message on each subject. Each edge
// has a fixed number of subjects for frames, its slots, which the writer reuses in turn. So the broker stores at most
// slots times MaxFrame bytes per edge, whatever its writer does, and a frame that is stored twice takes no more
// space than once. Only the planner deletes frames, when the flow has ended. The stream has one replica; the caller
// may change Replicas and Placement.
//
// MaxBytes is not set: a stream in memory would reserve that much at once.
func ShardConfig(shard string, storage jetstream.StorageType) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              contract.EdgeStream(shard),
		Description:       "edges of flows, shard " + shard,
		Subjects:          []string{contract.EdgeStreamSubjects(shard)},
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld,
		MaxMsgsPerSubject: 1,
		MaxMsgs:           -1,
		MaxBytes:          -1,
		MaxMsgSize:        MaxFrame + maxHeaders,
		Storage:           storage,
		Replicas:          1,
		Duplicates:        duplicates,
		AllowDirect:       true,
	}
}
