package aggregator

import (
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/trace"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// State holds every flow that is not cleaned up, and the ended flows that are not in history yet. Exported fields
// are stored.
type State struct {
	limits Limits
	runs   map[string]*run // without a verdict
	// shown is the status of each flow until it is cleaned up.
	shown     map[string]*shown
	past      past
	submitted submissions
	// cancels are cancels of flows that are not known yet.
	cancels cancels
	// unanswerable are messages without effect, with the reasons.
	unanswerable bySeq[unanswerable]
	executors    map[string]*executor
	// exits holds the last exited executors with their exits: a job's start may be stored after its executor's
	// exit.
	exits exits
	ears  ears
	early early
	hooks hooks
	indexes
}

// An unanswerable message is answered with a dead letter. What else the dead letter repeats of it is read again.
type unanswerable struct {
	Subject string `json:"subject"`
	// Code is problem.NotAnswerable if it is "".
	Code problem.Code `json:"code,omitempty"`
	Why  string       `json:"why"`
}

// An executor is an executor that was started and has not exited, or that runs a job.
type executor struct {
	// Known is set by executor.started, Proved once it has started a job or was told to drain: then its exit is
	// not a failed start.
	Known  bool `json:"known,omitempty"`
	Proved bool `json:"proved,omitempty"`
	// jobs are its running jobs.
	jobs []*job
	// heard is the time of its last beat for any job.
	heard time.Time
}

// exits holds a bounded number of exited executors with their exits.
type exits struct {
	known map[string]*contract.ExecutorExited
	order []string
}

const exitsRemembered = 2000

func (x *exits) add(d *contract.ExecutorExited) {
	if x.known[d.Executor] != nil {
		return
	}
	if len(x.order) == exitsRemembered {
		delete(x.known, x.order[0])
		x.order = x.order[1:]
	}
	x.known[d.Executor], x.order = d, append(x.order, d.Executor)
}

// Limits are the aggregator's timing limits.
type Limits struct {
	// Settle is the time to wait for the last events of a stopped flow's jobs.
	Settle time.Duration
	// Report is the time that reporting jobs may run after the flow's first failure.
	Report time.Duration
	// StartAttempts is how many executors in a row may die before starting a job until the jobs
	// that wait for them panic.
	StartAttempts int
	// ClientSilence is the time without a heartbeat from a client after which its flow is cancelled.
	ClientSilence time.Duration
	// CancelMemory is the retention of a cancel for an unknown flow, Cancels the maximum number of them.
	CancelMemory time.Duration
	Cancels      int
	// StallAfter is the time without a record on any edge of a flow after which the flow counts as stalled.
	StallAfter time.Duration
}

// DefaultLimits are the documented defaults.
func DefaultLimits() Limits {
	return Limits{
		Settle: 150 * time.Millisecond, Report: 10 * time.Second,
		StartAttempts: 3, ClientSilence: time.Minute, CancelMemory: 10 * time.Minute, Cancels: 10_000,
		StallAfter: time.Minute,
	}
}

// NewState returns the state before the first event.
func NewState(l Limits) *State {
	return &State{
		limits: l, runs: make(map[string]*run), shown: make(map[string]*shown),
		past: past{last: make(map[string]int)}, submitted: newSubmissions(), indexes: newIndexes(),
		cancels: newCancels(), unanswerable: newBySeq[unanswerable](), executors: make(map[string]*executor),
		exits: exits{known: make(map[string]*contract.ExecutorExited)},
		early: newEarly(), hooks: hooks{of: make(map[string]webhook.Entry)},
	}
}

// withHooks returns the state with stored webhooks.
func (s *State) withHooks(stored storedHooks) *State {
	s.hooks.restore(stored)
	return s
}

// A run is a flow without a verdict.
type run struct {
	Since    time.Time     `json:"since"`           // when it was validated
	Owner    string        `json:"owner,omitempty"` // the user who submitted it, "" if that is not proven
	Trace    trace.Context `json:"trace,omitzero"`  // its W3C trace context
	Deadline time.Time     `json:"deadline,omitzero"`
	Planned  bool          `json:"planned"`
	// PlannedAt is zero if an earlier version has stored that it is planned.
	PlannedAt time.Time `json:"plannedAt,omitzero"`
	Spawned   bool      `json:"spawned"`
	// Waiting is when the jobs were put on their mailboxes.
	Waiting time.Time       `json:"waiting,omitzero"`
	Jobs    map[string]*job `json:"jobs"`
	Open    int             `json:"open"` // jobs that have not ended
	Edges   []edge          `json:"edges"`
	room                    // of each edge
	// Stream stores the flow's edges and stops; "" where the plan is older than version 0.2.
	Stream string `json:"stream,omitempty"`
	// Panics is where the panics of jobs that have them wired are written, by job.
	Panics map[string]contract.Address `json:"panics,omitempty"`
	Cancel *cancel                     `json:"cancel,omitempty"`
	// CancelledFirst is true when the cancel came before the first failure.
	CancelledFirst bool                  `json:"cancelledFirst,omitempty"`
	Failures       []contract.JobFailure `json:"failures,omitempty"`
	// Clients are those that the run depends on, by the token of their heartbeats.
	Clients map[string]*client `json:"clients,omitempty"`
	// Ending is when the run began to end, zero while it goes on.
	Ending time.Time `json:"ending,omitzero"`
	// Stall is set while the flow is published as stalled.
	Stall *stall `json:"stall,omitempty"`

	flow    string
	traffic traffic
	// stopped and stoppedLast are when this process has sent the stops, zero before.
	stopped, stoppedLast time.Time
	// suspect is set when a job or a client seems silent, listened is when all heartbeats until then were heard.
	suspect  bool
	listened time.Time
}

// A room bounds what is sent over an edge and not consumed, as a contract.Address does.
type room struct {
	Window int64 `json:"window,omitempty"`
	Frames int64 `json:"frames,omitempty"`
	Slots  int64 `json:"slots,omitempty"`
	// Salt is not empty if the edges are sealed.
	Salt string `json:"salt,omitempty"`
}

// An edge is what is needed of a contract.PlannedEdge.
type edge struct {
	From  string          `json:"from"`
	To    string          `json:"to"`
	Const *contract.Count `json:"const,omitempty"`
}

type cancel struct {
	Seq  uint64 `json:"seq"`
	Flow string `json:"flow"`
	// By is who cancels, according to the NATS subject; Source is what the event says. The JSON name of Source is that of
	// the previous version.
	By       string    `json:"sender,omitempty"`
	Operator bool      `json:"operator,omitempty"`
	Source   string    `json:"by,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	At       time.Time `json:"at"`
}

type job struct {
	contract.JobSummary
	Progdef  string         `json:"progdef"`
	Revision string         `json:"revision"`
	Health   progdef.Health `json:"health"`
	// Began is when it was started, Over when it ended, zero before.
	Began time.Time `json:"began,omitzero"`
	Over  time.Time `json:"over,omitzero"`
	// Heard is when the job sent its last heartbeat: it was started, or beat.
	Heard time.Time           `json:"heard,omitzero"`
	Ports contract.PortCounts `json:"ports"`
	// Failure is why the job panicked, nil unless it has.
	Failure *contract.JobFailure `json:"failure,omitempty"`
	// Reporting is true of a job that a wired panic leads to: it may end by itself after a failure.
	Reporting bool `json:"reporting,omitempty"`

	run   *run
	name  string
	pulse pulse
	clock timer
	waits *waits // nil unless it waits in its mailbox
	// reported is set once its panic was written to where it is wired.
	reported bool
}

func (j *job) ended() bool { return j.State != contract.JobWaiting && j.State != contract.JobRunning }

func (j *job) mailbox() string { return contract.Mailbox(j.Progdef, j.Revision) }

// Facts: observations of the aggregator that are not events.
const (
	factBeat      contract.Type = "fact.beat"      // With a Beat
	factClient    contract.Type = "fact.client"    // With a ClientBeat
	factGone      contract.Type = "fact.gone"      // With a Gone
	factChecked   contract.Type = "fact.checked"   // With the number of unclaimed jobs that were checked
	factTraffic   contract.Type = "fact.traffic"   // With a []Traffic
	factListening contract.Type = "fact.listening" // heartbeats are received from now on
	factPulse     contract.Type = "fact.pulse"     // time to check for silent jobs
	factStored    contract.Type = "fact.stored"    // With the last event that history includes
)

// Listening returns the fact that this process receives heartbeats from now on.
func Listening() contract.Event { return contract.Event{Type: factListening} }

// Pulse returns the fact that it is time to check for silent jobs.
func Pulse(at time.Time) contract.Event { return contract.Event{Type: factPulse, Time: at} }

// Heard returns the fact that a job published a heartbeat.
func Heard(b Beat, at time.Time) contract.Event {
	return contract.Event{Type: factBeat, With: b, Time: at}
}

// Missing returns the fact that an unclaimed job is no longer in its mailbox.
func Missing(g Gone, at time.Time) contract.Event {
	return contract.Event{Type: factGone, With: g, Time: at}
}

// A Beat is a heartbeat.
type Beat struct {
	Flow, Job string
	// By is the executor that published it, or "" if that is not known.
	By string
	// For is the time that the job counts as alive after this beat; 0 for its health timeout.
	For time.Duration
}

// Gone is an unclaimed job that is no longer in its mailbox.
type Gone struct{ Flow, Job string }

// Effects that are performed, not published.
const (
	// actStop stops a flow's jobs except reporting ones. With is the subject.
	actStop contract.Type = "act.stop"
	// actStopLast stops the reporting jobs. With is the subject.
	actStopLast contract.Type = "act.stop-last"
	// actReport writes a job's panic to its wired edge. Data is a *Report, With the address.
	actReport contract.Type = "act.report"
	// actListen waits until all heartbeats until now are received.
	actListen contract.Type = "act.listen"
	// actLose gives up jobs that are silent: With is their names. actDoubt takes the silence of many jobs for one
	// of the network.
	actLose  contract.Type = "act.lose"
	actDoubt contract.Type = "act.doubt"
	// actAbandon cancels a flow with silent clients. With is their names.
	actAbandon contract.Type = "act.abandon"
	// actStore stores ended flows in history. With is a batch.
	actStore contract.Type = "act.store"
)

// A Report is written for one job: its failure, if any, and the end.
type Report struct {
	Job     string               `json:"job"`
	Failure *contract.JobFailure `json:"failure,omitempty"`
}
