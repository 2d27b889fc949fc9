package aggregator

import (
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// State is every flow that is not cleaned up, and those that have ended and are not in history yet. Fields in
// capitals are stored.
type State struct {
	limits Limits
	runs   map[string]*run // without a verdict
	// shown is what users are told of each flow until it is cleaned up.
	shown     map[string]*contract.FlowStatus
	past      past
	submitted submissions
	// cancels were asked for before their flows were known, the oldest first.
	cancels []cancel
	// unanswerable are messages that lead to nothing, and why.
	unanswerable map[uint64]unanswerable
	executors    map[string]*executor
	// failing are the mailboxes that runs count failed starts of.
	failing map[string]bool
	// exits remembers the last executors that have exited, and how: a job's start may be stored behind its
	// executor's end.
	exits exits
	ears  ears
	early early
}

// An unanswerable message is answered by a dead letter.
type unanswerable struct {
	Subject string `json:"subject"`
	Source  string `json:"source,omitempty"`
	ID      string `json:"id,omitempty"`
	Why     string `json:"why"`
}

// An executor is one that was started and has not exited, or one that runs a job.
type executor struct {
	// Known is set by executor.started, Proved once it has started a job or was told to drain: then its exit is
	// not a failed start.
	Known  bool `json:"known,omitempty"`
	Proved bool `json:"proved,omitempty"`
	// flows counts its running jobs by flow.
	flows map[string]int
	// heard is when it has beaten for any of its jobs.
	heard time.Time
}

// exits remembers a bounded number of executors that have exited, and how.
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

// Limits are the aggregator's times.
type Limits struct {
	// Settle is how long the last events of a stopped flow's jobs are awaited.
	Settle time.Duration
	// Report is how long reporting jobs may go on after the flow's first failure.
	Report time.Duration
	// StartAttempts is how many executors in a row may die before starting a job until the jobs
	// that wait for them panic.
	StartAttempts int
	// ClientSilence is how long a client that is to feed or read a flow may be silent until the flow is cancelled.
	ClientSilence time.Duration
	// CancelMemory is how long a cancel for an unknown flow is kept, and Cancels how many of them.
	CancelMemory time.Duration
	Cancels      int
}

// DefaultLimits are the documented defaults.
func DefaultLimits() Limits {
	return Limits{
		Settle: 150 * time.Millisecond, Report: 10 * time.Second,
		StartAttempts: 3, ClientSilence: time.Minute, CancelMemory: 10 * time.Minute, Cancels: 10_000,
	}
}

// NewState returns the state before the first event.
func NewState(l Limits) *State {
	return &State{
		limits: l, runs: make(map[string]*run), shown: make(map[string]*contract.FlowStatus),
		submitted: newSubmissions(), failing: make(map[string]bool),
		unanswerable: make(map[uint64]unanswerable), executors: make(map[string]*executor),
		exits: exits{known: make(map[string]*contract.ExecutorExited)},
		early: early{of: make(map[string]map[string]client)},
	}
}

// A run is one flow on its way to its verdict.
type run struct {
	Since    time.Time `json:"since"`           // when it was validated
	Trace    string    `json:"trace,omitempty"` // its W3C trace context
	Deadline time.Time `json:"deadline,omitzero"`
	Planned  bool      `json:"planned"`
	Spawned  bool      `json:"spawned"`
	// Waiting is when the jobs were put on their mailboxes.
	Waiting time.Time              `json:"waiting,omitzero"`
	Jobs    map[string]*job        `json:"jobs"`
	Open    int                    `json:"open"` // jobs that have not ended
	Edges   []contract.PlannedEdge `json:"edges"`
	// Stream stores the flow's edges and stops; "" where the plan is older than version 0.2.
	Stream string `json:"stream,omitempty"`
	// Panics is where the panics of jobs that have them wired are written, by job.
	Panics map[string]contract.Address `json:"panics,omitempty"`
	Cancel *cancel                     `json:"cancel,omitempty"`
	// CancelledFirst is true when the cancel came before the first failure.
	CancelledFirst bool                  `json:"cancelledFirst,omitempty"`
	Failures       []contract.JobFailure `json:"failures,omitempty"`
	// Clients are those that the run depends on, by the token of their signs of life.
	Clients map[string]client `json:"clients,omitempty"`
	// Ending is when the run began to end, zero while it goes on.
	Ending time.Time `json:"ending,omitzero"`
	// FailedStarts counts, by mailbox, the executors that died without starting a job.
	FailedStarts map[string]int `json:"failedStarts,omitempty"`

	// stopped and stoppedLast are when this process has sent the stops, zero before.
	stopped, stoppedLast time.Time
	// suspect is set when a job or a client seems silent, listened is when all signs of life until then were heard.
	suspect  bool
	listened time.Time
}

type cancel struct {
	Seq    uint64    `json:"seq"`
	ID     string    `json:"id,omitempty"`
	Flow   string    `json:"flow"`
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

type job struct {
	contract.JobSummary
	Progdef  string         `json:"progdef"`
	Revision string         `json:"revision"`
	Health   progdef.Health `json:"health"`
	// Heard is when the job gave its last sign of life: it was started, or beat.
	Heard time.Time           `json:"heard,omitzero"`
	Ports contract.PortCounts `json:"ports"`
	// Failure is why the job panicked, nil unless it has.
	Failure *contract.JobFailure `json:"failure,omitempty"`
	// Reporting is true of a job that a wired panic leads to: it may end by itself after a failure.
	Reporting bool `json:"reporting,omitempty"`

	pulse pulse
	// reported is set once its panic was written to where it is wired.
	reported bool
}

func (j *job) ended() bool { return j.State != contract.JobWaiting && j.State != contract.JobRunning }

func (j *job) mailbox() string { return contract.Mailbox(j.Progdef, j.Revision) }

// Facts that the aggregator learns outside of EVENTS.
const (
	factBeat      contract.Type = "fact.beat"      // With a Beat
	factClient    contract.Type = "fact.client"    // With a ClientBeat
	factGone      contract.Type = "fact.gone"      // With a Gone
	factListening contract.Type = "fact.listening" // signs of life are heard from now on
	factPulse     contract.Type = "fact.pulse"     // time to look for silent jobs
	factStored    contract.Type = "fact.stored"    // With the last event that history includes
)

// Listening is the fact that signs of life are heard from now on.
func Listening() contract.Event { return contract.Event{Type: factListening} }

// Pulse is the fact that it is time to look for silent jobs.
func Pulse(at time.Time) contract.Event { return contract.Event{Type: factPulse, Time: at} }

// Heard is the fact that a job gave a sign of life.
func Heard(b Beat, at time.Time) contract.Event {
	return contract.Event{Type: factBeat, With: b, Time: at}
}

// Missing is the fact that an unclaimed job is no longer in its mailbox.
func Missing(g Gone, at time.Time) contract.Event {
	return contract.Event{Type: factGone, With: g, Time: at}
}

// A Beat is a sign of life.
type Beat struct {
	Flow, Job string
	// For is how long the job is alive from now on unless it beats again; 0 for its health timeout.
	For time.Duration
}

// Gone says that an unclaimed job is no longer in its mailbox.
type Gone struct{ Flow, Job string }

// Effects that are performed, not published.
const (
	// actStop tells a flow's jobs to stop, all but the reporting ones. With is the subject.
	actStop contract.Type = "act.stop"
	// actStopLast tells the reporting ones. With is the subject.
	actStopLast contract.Type = "act.stop-last"
	// actReport writes a job's panic to where it is wired. Data is a *Report, With the address.
	actReport contract.Type = "act.report"
	// actListen makes sure that all signs of life until now are heard.
	actListen contract.Type = "act.listen"
	// actLose gives up jobs that are silent: With is their names. actDoubt takes the silence of many jobs for one
	// of the network.
	actLose  contract.Type = "act.lose"
	actDoubt contract.Type = "act.doubt"
	// actAbandon cancels a flow of which clients are silent. With is their names.
	actAbandon contract.Type = "act.abandon"
	// actStore puts flows that have ended into history. With is a batch.
	actStore contract.Type = "act.store"
)

// A Report is what is written of one job: its failure, and the end; without one the end alone.
type Report struct {
	Job     string               `json:"job"`
	Failure *contract.JobFailure `json:"failure,omitempty"`
}
