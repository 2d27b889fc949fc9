package aggregator

import (
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// State is every flow that has no verdict yet.
type State struct {
	limits Limits
	// now is the time of the last tick: the only clock that Evolve has.
	now     time.Time
	runs    map[string]*run
	cancels map[string]cancel // asked for before the flow was known
	// proved holds the executors that have started a job or were told to drain: their exit is no
	// failed start.
	proved map[string]bool
	exits  exits
	// failing holds the mailboxes for which some run counts failed starts.
	failing map[string]bool
}

// exits remembers a bounded number of executors that have exited, and how: the word of a job's start
// may come after that of its executor's end.
type exits struct {
	known map[string]*contract.ExecutorExited
	order []string
}

const exitsRemembered = 10_000

func (x *exits) add(d *contract.ExecutorExited) {
	if len(x.order) == exitsRemembered {
		delete(x.known, x.order[0])
		x.order = x.order[1:]
	}
	x.known[d.Executor], x.order = d, append(x.order, d.Executor)
}

// Limits are the aggregator's times.
type Limits struct {
	// Settle is how long the last words of a stopped flow's jobs are awaited.
	Settle time.Duration
	// Report is how long reporting jobs may go on after the flow's first failure.
	Report time.Duration
	// Tick is the time between two ticks; a longer gap is time in which we were deaf.
	Tick time.Duration
	// StartAttempts is how many executors in a row may die before starting a job until the jobs
	// that wait for them panic.
	StartAttempts int
	// CancelMemory is how long a cancel for an unknown flow is kept.
	CancelMemory time.Duration
}

// DefaultLimits are the documented defaults.
func DefaultLimits() Limits {
	return Limits{
		Settle: 150 * time.Millisecond, Report: 10 * time.Second, Tick: 50 * time.Millisecond,
		StartAttempts: 3, CancelMemory: 10 * time.Minute,
	}
}

// NewState returns the state before the first event.
func NewState(l Limits) State {
	return State{
		limits: l, runs: make(map[string]*run), cancels: make(map[string]cancel),
		proved: make(map[string]bool), failing: make(map[string]bool), exits: exits{known: make(map[string]*contract.ExecutorExited)},
	}
}

// A run is one flow on its way to its verdict.
type run struct {
	since    time.Time // when it was validated
	trace    string    // its W3C trace context
	deadline time.Time // zero until planned
	spawned  bool
	// waiting is the tick at which the jobs were put on their mailboxes.
	waiting time.Time
	jobs    map[string]*job
	open    int // jobs that have not ended
	edges   []contract.PlannedEdge
	// panics is where the panics of jobs that have them wired are written, by job.
	panics map[string]contract.Address
	cancel *cancel
	// cancelledFirst is true when the cancel came before the first failure.
	cancelledFirst bool
	failures       []contract.JobFailure
	// ending is the tick at which the run began to end, zero while it goes on.
	ending time.Time
	// failedStarts counts, by mailbox, the executors that died without starting a job.
	failedStarts map[string]int
}

type cancel struct {
	by, reason string
	at         time.Time
}

type job struct {
	contract.JobSummary
	progdef, revision string
	health            progdef.Health
	// dead is when the job counts as dead unless it beats again; zero until the first tick.
	dead time.Time
	// gone is when the unclaimed job was found to be no longer in its mailbox.
	gone  time.Time
	ports contract.PortCounts
	// failure is why the job panicked, nil unless it has.
	failure *contract.JobFailure
	// reporting is true of a job that a wired panic leads to: it may end by itself after a failure.
	reporting bool
	// spared is set once its silence has been put down to the link.
	spared bool
}

func (j *job) ended() bool { return j.State != contract.JobWaiting && j.State != contract.JobRunning }

// Facts that the aggregator learns outside of EVENTS.
const (
	factBeat contract.Type = "fact.beat" // Data *Beat
	factGone contract.Type = "fact.gone" // Data *Gone
)

// A Beat is a sign of life.
type Beat struct {
	Flow, Job string
	// Until is when the job is dead unless it beats again.
	Until time.Time
}

// Gone says that an unclaimed job is no longer in its mailbox.
type Gone struct{ Flow, Job string }

// Effects that are performed, not published.
const (
	// actStop tells a flow's jobs to stop, all but the reporting ones.
	actStop contract.Type = "act.stop"
	// actStopLast tells the reporting ones.
	actStopLast contract.Type = "act.stop-last"
	// actReport writes a job's panic to where it is wired. Data is a *Report, With the address.
	actReport contract.Type = "act.report"
)

// A Report is what is written of one job: its failure, and the end; without one the end alone.
type Report struct {
	Job     string               `json:"job"`
	Failure *contract.JobFailure `json:"failure,omitempty"`
}
