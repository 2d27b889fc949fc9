package settings

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/pkg/trace"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/admission"
	"github.com/dagyo/dagyo/services/validator"
)

// Services is the configuration of the four services.
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

// Resolve completes the four configurations. It reports every invalid flag.
func (s *Services) Resolve(log zerolog.Logger) error {
	s.Common.Log = log
	s.Validator.Config, s.Planner.Config = s.Common, s.Common
	s.Spawner.Config, s.Aggregator.Config = s.Common, s.Common
	storage, err := storageType(s.edgeStorage)
	s.Planner.EdgeStorage = storage
	return errors.Join(err, s.positive(), s.Common.Validate())
}

// For returns the configuration of a tenant's services.
func (s *Services) For(t tenancy.Tenant) Services {
	c := *s
	log := s.Common.Log
	if t.Name != "" { // else the services serve no tenants
		log = log.With().Str("tenant", t.Name).Logger()
	}
	for _, common := range c.common() {
		common.Log, common.Metrics, common.Traces = log, common.Metrics.OfTenant(t.Name), common.Traces.OfTenant(t.Name)
		within(t.Limits.Storage, common)
	}
	l := t.Limits
	if l.Executors > 0 {
		c.Spawner.Limits.Executors = min(l.Executors, c.Spawner.Limits.Executors)
	}
	quota := &c.Spawner.Limits.Tenant
	quota.Flows, quota.Waiting, quota.Slots = cmp.Or(l.Flows, quota.Flows), cmp.Or(l.Queued, quota.Waiting), cmp.Or(l.Slots, quota.Slots)
	c.Validator.Limits.Submissions.Tenant = cmp.Or(l.Submissions, c.Validator.Limits.Submissions.Tenant)
	return c
}

// within limits EVENTS, history and logs such that nearly half of a tenant's storage is left for all else: NATS sets aside
// four times the first, and the others.
func within(storage int64, c *service.Config) {
	if storage == 0 {
		return
	}
	c.Broker.EventsMaxBytes = min(c.Broker.EventsMaxBytes, storage/16)
	if c.History.MaxBytes == -1 {
		c.History.MaxBytes = storage / 4
	}
	c.History.MaxBytes = min(c.History.MaxBytes, storage/4)
	c.Logs.MaxBytes = min(c.Logs.MaxBytes, storage/16)
}

// SetPolicy sets the installation's admission policy.
func (s *Services) SetPolicy(p *policy.Current) {
	s.Validator.Policy, s.Spawner.Policy, s.Aggregator.Policy = p, p, p
}

// Loopback returns the addresses of the loopback interface.
func Loopback() []string { return []string{"127.0.0.0/8", "::1", "localhost"} }

// SetMetrics sets where values go.
func (s *Services) SetMetrics(m metrics.Meter) {
	for _, common := range s.common() {
		common.Metrics = m
	}
}

// SetTraces sets where spans go.
func (s *Services) SetTraces(t trace.Tracer) {
	for _, common := range s.common() {
		common.Traces = t
	}
}

// common returns the configurations of all services.
func (s *Services) common() []*service.Config {
	return []*service.Config{&s.Common, &s.Validator.Config, &s.Planner.Config, &s.Spawner.Config, &s.Aggregator.Config}
}

// A Group is a group of flags in the help.
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

// CommonFlags returns the flags of every service.
func (s *Services) CommonFlags() Group {
	g := NewGroup("Flags of every service")
	c, f := &s.Common, g.Flags
	f.IntVar(&c.Workers, "workers", c.Workers, "effects that each service runs concurrently")
	f.IntVar(&c.MaxAttempts, "max-attempts", c.MaxAttempts,
		"attempts to handle an event while its handling fails with a temporary error")
	f.IntVar(&c.Broker.Replicas, "replicas", c.Broker.Replicas,
		"replicas of events, mailboxes and buckets: 1, 3 or 5 (needs as many NATS servers in the cluster)")
	f.DurationVar(&c.Broker.EventsMaxAge, "events-max-age", c.Broker.EventsMaxAge,
		"retention of events that no running flow needs")
	f.Int64Var(&c.Broker.EventsMaxCount, "events-max-count", c.Broker.EventsMaxCount,
		"maximum number of such events")
	f.Int64Var(&c.Broker.EventsMaxBytes, "events-max-bytes", c.Broker.EventsMaxBytes,
		"maximum size of such events in bytes; at four times this size, publishing fails")
	f.DurationVar(&c.History.MaxAge, "history-max-age", c.History.MaxAge,
		"retention of ended flows in ls and show; 0 for no limit")
	f.Int64Var(&c.History.MaxFlows, "history-max-flows", c.History.MaxFlows,
		"maximum number of ended flows in ls and show; -1 for no limit")
	f.Int64Var(&c.History.MaxBytes, "history-max-bytes", c.History.MaxBytes,
		"maximum size of the history of ended flows in bytes; -1 for no limit")
	f.DurationVar(&c.Logs.MaxAge, "logs-max-age", c.Logs.MaxAge, "retention of what jobs log")
	f.Int64Var(&c.Logs.MaxBytes, "logs-max-bytes", c.Logs.MaxBytes, "maximum size of what all jobs log in bytes")
	f.Int64Var(&c.Logs.PerJob, "logs-per-job", c.Logs.PerJob,
		"maximum number of messages with what a job logs, each with one line or more and about 16 KiB at most")
	return g
}

// ValidatorFlags returns the validator's flags: the bounds on documents.
func (s *Services) ValidatorFlags() Group {
	g := NewGroup("Limits on documents (validator)")
	l, f := &s.Validator.Limits, g.Flags
	f.IntVar(&l.Flow.Document.Bytes, "flow-bytes", l.Flow.Document.Bytes,
		"maximum size of a flow document in bytes")
	f.IntVar(&l.Flow.Document.Depth, "flow-depth", l.Flow.Document.Depth,
		"maximum nesting depth of a flow document")
	f.IntVar(&l.Flow.Nodes, "flow-nodes", l.Flow.Nodes, "maximum number of nodes in a flow")
	f.IntVar(&l.Flow.Edges, "flow-edges", l.Flow.Edges, "maximum number of edges in a flow")
	f.IntVar(&l.Flow.ConstValues, "const-values", l.Flow.ConstValues,
		"maximum number of constant records in a flow document")
	f.IntVar(&l.Flow.RecordBytes, "const-bytes", l.Flow.RecordBytes,
		"maximum size of a constant record in bytes")
	f.DurationVar(&l.Flow.MaxDeadline, "max-deadline", l.Flow.MaxDeadline,
		"longest deadline that a flow may set")
	f.DurationVar(&l.Flow.DefaultDeadline, "default-deadline", l.Flow.DefaultDeadline,
		"deadline of a flow that sets none")
	f.IntVar(&l.Flow.Priority, "max-priority", l.Flow.Priority, "highest priority that a flow may set")
	f.IntVar(&l.Progdef.Bytes, "progdef-bytes", l.Progdef.Bytes,
		"maximum size of a progdef or type document in bytes")
	f.IntVar(&l.Progdef.Depth, "progdef-depth", l.Progdef.Depth,
		"maximum nesting depth of a progdef or type document")
	f.IntVar(&l.Progdefs, "max-progdefs", l.Progdefs, "maximum number of progdefs in the catalogue")
	f.IntVar(&l.Types, "max-types", l.Types, "maximum number of types in the type catalogue")
	f.IntVar(&l.Submissions.Tenant, "tenant-submissions", l.Submissions.Tenant,
		"maximum number of flows that each tenant may submit in a second; 0 for no limit")
	f.IntVar(&l.Submissions.User, "user-submissions", l.Submissions.User,
		"maximum number of flows that each user may submit in a second; 0 for no limit")
	f.DurationVar(&l.Submissions.Burst, "submission-burst", l.Submissions.Burst,
		"time for which the submissions of a tenant or user may come at once")
	return g
}

// PlannerFlags returns the planner's flags: limits on the use of the broker.
func (s *Services) PlannerFlags() Group {
	g := NewGroup("Limits on the broker (planner)")
	c, f := &s.Planner, g.Flags
	f.IntVar(&c.Limits.Flows, "max-flows", c.Limits.Flows, "maximum number of flows that exist at the same time")
	f.IntVar(&c.Limits.Edges, "max-edges", c.Limits.Edges,
		"maximum number of edges of all flows that exist at the same time")
	f.Int64Var(&c.Limits.Window, "edge-window", c.Limits.Window,
		"maximum number of bytes sent over an edge and not yet read")
	f.Int64Var(&c.Limits.Frames, "edge-frames", c.Limits.Frames,
		"maximum number of frames sent over an edge and not yet read; NATS stores no more per edge, and no frame longer than 128 KiB")
	f.IntVar(&c.EdgeStreams, "edge-streams", c.EdgeStreams,
		"number of streams that store the edges of all flows; running flows keep their streams when it changes")
	f.DurationVar(&c.Limits.OutputRetention, "output-retention", c.Limits.OutputRetention,
		"time that a flow's outputs can be read after its verdict")
	f.IntVar(&c.Limits.LogRate, "log-rate", c.Limits.LogRate,
		"maximum number of lines of 256 bytes that a job of a new flow may log in a second; 0 to keep no logs")
	f.BoolVar(&c.Limits.Seal, "seal-edges", c.Limits.Seal,
		"encrypt and authenticate what the edges of new flows carry, with keys that only the flow's jobs and owner get")
	f.StringVar(&s.edgeStorage, "edge-storage", s.edgeStorage,
		"storage of edges: file survives a restart of NATS, memory does not")
	f.DurationVar(&c.SweepEvery, "sweep-every", c.SweepEvery,
		"interval between two cleanups of resources that no flow needs")
	return g
}

// SpawnerFlags returns the spawner's flags: capacity.
func (s *Services) SpawnerFlags() Group {
	g := NewGroup("Limits on executors (spawner)")
	c, f := &s.Spawner, g.Flags
	f.IntVar(&c.Limits.Executors, "max-executors", c.Limits.Executors,
		"maximum number of running executors of all progdefs")
	f.IntVar(&c.Limits.Queue, "max-queue", c.Limits.Queue, "maximum number of flows waiting for capacity")
	f.DurationVar(&c.Limits.QueueTime, "max-queue-time", c.Limits.QueueTime,
		"time that a flow may wait for capacity before it is rejected")
	f.DurationVar(&c.Limits.ReserveAfter, "reserve-after", c.Limits.ReserveAfter,
		"time that later flows may go ahead of a waiting flow; then what it needs is kept for it")
	f.DurationVar(&c.Limits.Linger, "linger", c.Limits.Linger,
		"time that a job has to stop after its flow has ended; then its executor is stopped")
	f.DurationVar(&c.ReconcileEvery, "reconcile-every", c.ReconcileEvery,
		"interval between two comparisons of the wanted and the running executors")
	quotaFlags(f, &c.Limits.Tenant, "tenant")
	quotaFlags(f, &c.Limits.User, "user")
	return g
}

// quotaFlags defines the flags of the limits of each tenant or user.
func quotaFlags(f *pflag.FlagSet, q *admission.Quota, of string) {
	each := " of each " + of + "; 0 for no limit"
	f.IntVar(&q.Flows, of+"-flows", q.Flows, "maximum number of running flows"+each)
	f.IntVar(&q.Waiting, of+"-queued", q.Waiting, "maximum number of flows waiting for capacity"+each)
	f.IntVar(&q.Slots, of+"-slots", q.Slots, "maximum number of slots that the flows hold"+each)
	f.IntVar(&q.Executors, of+"-executors", q.Executors, "maximum number of executors that these slots fill"+each)
}

// AggregatorFlags returns the panic-aggregator's flags: timing.
func (s *Services) AggregatorFlags() Group {
	g := NewGroup("Timing of verdicts (panic-aggregator)")
	l, f := &s.Aggregator.Limits, g.Flags
	f.DurationVar(&l.Settle, "settle", l.Settle,
		"time to wait for the last events of the jobs of a stopped flow")
	f.DurationVar(&l.Report, "report-time", l.Report,
		"time that jobs downstream of a wired panic port may run after a flow's first failure")
	f.IntVar(&l.StartAttempts, "start-attempts", l.StartAttempts,
		"number of executors in a row that may exit before they start a job; then the job panics")
	f.DurationVar(&l.ClientSilence, "client-silence", l.ClientSilence,
		"time without a heartbeat from a client that feeds or reads a flow; then the flow is cancelled")
	f.DurationVar(&l.StallAfter, "stall-after", l.StallAfter,
		"time without a record on any edge of a flow with running jobs; then flow.stalled is published")
	f.DurationVar(&l.CancelMemory, "cancel-memory", l.CancelMemory,
		"retention of a cancel for a flow that was not submitted yet")
	f.IntVar(&l.Cancels, "max-cancels", l.Cancels, "maximum number of such cancels")
	return g
}

// NewGroup returns a group without flags. The help shows flags in the order of their definition.
func NewGroup(title string) Group {
	f := pflag.NewFlagSet(title, pflag.ContinueOnError)
	f.SortFlags = false
	return Group{Title: title, Flags: f}
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

// meaningOfZero returns what 0 means for a flag, "" if it may not be 0.
func meaningOfZero(flag string) string {
	switch {
	case strings.HasPrefix(flag, "tenant-"), strings.HasPrefix(flag, "user-"):
		return "no limit"
	case flag == "log-rate":
		return "no logs"
	}
	return ""
}

// positive reports limits that are not positive. The limits on retention are checked elsewhere.
func (s *Services) positive() error {
	var errs []error
	for _, g := range s.All() {
		g.Flags.VisitAll(func(f *pflag.Flag) {
			kept := strings.HasPrefix(f.Name, "events-max-") || strings.HasPrefix(f.Name, "history-max-") || strings.HasPrefix(f.Name, "logs-")
			zero := meaningOfZero(f.Name)
			switch {
			case kept:
			case zero != "" && strings.HasPrefix(f.Value.String(), "-"):
				errs = append(errs, fmt.Errorf("--%s is %s: it must be 0 (%s) or more", f.Name, f.Value, zero))
			case zero == "" && notPositive(f.Value):
				errs = append(errs, fmt.Errorf("--%s is %s: it must be more than 0", f.Name, f.Value))
			}
		})
	}
	return errors.Join(errs...)
}
