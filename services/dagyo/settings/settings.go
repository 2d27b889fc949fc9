package settings

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/dagyo/dagyo/pkg/service"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/validator"
)

// Services is how the four services run.
type Services struct {
	// Common is for all of them; Resolve copies it into each.
	Common     service.Config
	Validator  validator.Config
	Planner    planner.Config
	Spawner    spawner.Config
	Aggregator aggregator.Config

	edgeStorage string
}

// Default returns the documented defaults.
func Default() *Services {
	return &Services{
		Common: service.DefaultConfig(), Validator: validator.DefaultConfig(),
		Planner: planner.DefaultConfig(), Spawner: spawner.DefaultConfig(),
		Aggregator: aggregator.DefaultConfig(), edgeStorage: storageMemory,
	}
}

// Resolve makes the four configurations complete. It reports every flag that makes no sense.
func (s *Services) Resolve(log zerolog.Logger) error {
	s.Common.Log = log
	s.Validator.Config, s.Planner.Config = s.Common, s.Common
	s.Spawner.Config, s.Aggregator.Config = s.Common, s.Common
	storage, err := storageType(s.edgeStorage)
	s.Planner.EdgeStorage = storage
	return errors.Join(err, s.positive(), s.Common.Validate())
}

// A Group is flags that belong together in the help.
type Group struct {
	Title string
	Flags *pflag.FlagSet
}

// All returns the flags of all services, which set s.
func (s *Services) All() []Group {
	return []Group{
		s.ValidatorFlags(), s.PlannerFlags(), s.SpawnerFlags(), s.AggregatorFlags(),
		s.CommonFlags(),
	}
}

// CommonFlags returns the flags that every service has.
func (s *Services) CommonFlags() Group {
	g := group("Flags of every service")
	c, f := &s.Common, g.Flags
	f.IntVar(&c.Workers, "workers", c.Workers, "effects that each service performs at the same time")
	f.IntVar(&c.MaxAttempts, "max-attempts", c.MaxAttempts,
		"how often an event is tried while handling it fails with a temporary error")
	f.IntVar(&c.Broker.Replicas, "replicas", c.Broker.Replicas,
		"replicas of the events, mailboxes and buckets: 1, 3 or 5 (NATS servers in a cluster)")
	f.DurationVar(&c.Broker.EventsMaxAge, "events-max-age", c.Broker.EventsMaxAge,
		"how long events that are no longer needed are kept")
	f.Int64Var(&c.Broker.EventsMaxCount, "events-max-count", c.Broker.EventsMaxCount,
		"how many such events are kept")
	f.Int64Var(&c.Broker.EventsMaxBytes, "events-max-bytes", c.Broker.EventsMaxBytes,
		"how many bytes of such events are kept; at four times that, publications are rejected")
	f.DurationVar(&c.History.MaxAge, "history-max-age", c.History.MaxAge,
		"how long ended flows are kept for ls and show, 0 for no limit")
	f.Int64Var(&c.History.MaxFlows, "history-max-flows", c.History.MaxFlows,
		"how many ended flows are kept, -1 for no limit")
	f.Int64Var(&c.History.MaxBytes, "history-max-bytes", c.History.MaxBytes,
		"size of the history of ended flows in bytes, -1 for no limit")
	return g
}

// ValidatorFlags returns the validator's flags: the bounds on documents.
func (s *Services) ValidatorFlags() Group {
	g := group("Limits on documents (validator)")
	l, f := &s.Validator.Limits, g.Flags
	f.IntVar(&l.Flow.Document.Bytes, "flow-bytes", l.Flow.Document.Bytes,
		"size of a flow document in bytes")
	f.IntVar(&l.Flow.Document.Depth, "flow-depth", l.Flow.Document.Depth,
		"nesting of a flow document")
	f.IntVar(&l.Flow.Nodes, "flow-nodes", l.Flow.Nodes, "nodes of a flow")
	f.IntVar(&l.Flow.Edges, "flow-edges", l.Flow.Edges, "edges of a flow")
	f.IntVar(&l.Flow.ConstValues, "const-values", l.Flow.ConstValues,
		"records in a flow document")
	f.IntVar(&l.Flow.RecordBytes, "const-bytes", l.Flow.RecordBytes,
		"size of each of these records in bytes")
	f.DurationVar(&l.Flow.MaxDeadline, "max-deadline", l.Flow.MaxDeadline,
		"the longest deadline that a flow may set")
	f.DurationVar(&l.Flow.DefaultDeadline, "default-deadline", l.Flow.DefaultDeadline,
		"the deadline of a flow that sets none")
	f.IntVar(&l.Progdef.Bytes, "progdef-bytes", l.Progdef.Bytes,
		"size of a progdef or type document in bytes")
	f.IntVar(&l.Progdef.Depth, "progdef-depth", l.Progdef.Depth,
		"nesting of a progdef or type document")
	f.IntVar(&l.Progdefs, "max-progdefs", l.Progdefs, "progdefs in the catalogue")
	f.IntVar(&l.Types, "max-types", l.Types, "types in the type catalogue")
	return g
}

// PlannerFlags returns the planner's flags: what flows may ask of the broker.
func (s *Services) PlannerFlags() Group {
	g := group("Limits on the broker (planner)")
	c, f := &s.Planner, g.Flags
	f.IntVar(&c.Limits.Flows, "max-flows", c.Limits.Flows, "flows that exist at the same time")
	f.IntVar(&c.Limits.Edges, "max-edges", c.Limits.Edges,
		"edges that exist at the same time, in all flows")
	f.Int64Var(&c.Limits.Window, "edge-window", c.Limits.Window,
		"maximum bytes sent over an edge and not yet read")
	f.Int64Var(&c.Limits.Frames, "edge-frames", c.Limits.Frames,
		"maximum frames sent over an edge and not yet read; NATS stores no more per edge, and none longer than 128 KiB")
	f.IntVar(&c.EdgeStreams, "edge-streams", c.EdgeStreams,
		"streams that store the edges of all flows; after a change, running flows keep their stream")
	f.DurationVar(&c.Limits.OutputRetention, "output-retention", c.Limits.OutputRetention,
		"how long a flow's outputs can be read after its verdict")
	f.StringVar(&s.edgeStorage, "edge-storage", s.edgeStorage,
		"where edges are stored, file or memory: file survives a restart of NATS")
	f.DurationVar(&c.SweepEvery, "sweep-every", c.SweepEvery,
		"interval between searches for leftovers of ended flows")
	return g
}

// SpawnerFlags returns the spawner's flags: capacity.
func (s *Services) SpawnerFlags() Group {
	g := group("Limits on executors (spawner)")
	c, f := &s.Spawner, g.Flags
	f.IntVar(&c.Limits.Executors, "max-executors", c.Limits.Executors,
		"executors running at the same time, of all progdefs")
	f.IntVar(&c.Limits.Queue, "max-queue", c.Limits.Queue, "flows waiting for capacity")
	f.DurationVar(&c.Limits.Linger, "linger", c.Limits.Linger,
		"how long a job may run after its flow has ended before its executor is given up")
	f.DurationVar(&c.ReconcileEvery, "reconcile-every", c.ReconcileEvery,
		"interval between comparisons of the events with the running executors")
	return g
}

// AggregatorFlags returns the panic-aggregator's flags: its times.
func (s *Services) AggregatorFlags() Group {
	g := group("Times of verdicts (panic-aggregator)")
	l, f := &s.Aggregator.Limits, g.Flags
	f.DurationVar(&l.Settle, "settle", l.Settle,
		"how long to wait for the last events of a stopped flow's jobs")
	f.DurationVar(&l.Report, "report-time", l.Report,
		"how long jobs that receive a connected panic may run after a flow's first failure")
	f.IntVar(&l.StartAttempts, "start-attempts", l.StartAttempts,
		"executors in a row that may exit before starting a job; then the job panics")
	f.DurationVar(&l.ClientSilence, "client-silence", l.ClientSilence,
		"how long a client that feeds or reads a flow may be silent before the flow is cancelled")
	f.DurationVar(&l.CancelMemory, "cancel-memory", l.CancelMemory,
		"how long a cancel of an unknown flow is kept")
	f.IntVar(&l.Cancels, "max-cancels", l.Cancels, "how many such cancels are kept")
	return g
}

func group(title string) Group {
	return Group{Title: title, Flags: pflag.NewFlagSet(title, pflag.ContinueOnError)}
}

const (
	storageFile   = "file"
	storageMemory = "memory"
)

func storageType(name string) (jetstream.StorageType, error) {
	switch name {
	case storageFile:
		return jetstream.FileStorage, nil
	case storageMemory:
		return jetstream.MemoryStorage, nil
	}
	return 0, fmt.Errorf("--edge-storage is %q: it must be %s or %s", name, storageFile, storageMemory)
}

// positive reports the limits that would let nothing through. Those of what is kept have bounds of their own.
func (s *Services) positive() error {
	var errs []error
	for _, g := range s.All() {
		g.Flags.VisitAll(func(f *pflag.Flag) {
			kept := strings.HasPrefix(f.Name, "events-max-") || strings.HasPrefix(f.Name, "history-max-")
			if !kept && notPositive(f.Value) {
				errs = append(errs, fmt.Errorf("--%s is %s: it must be more than 0", f.Name, f.Value))
			}
		})
	}
	return errors.Join(errs...)
}
