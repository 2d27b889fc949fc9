package spawner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// State is the capacity there is, and who holds or awaits it. Fields in capitals are stored.
type State struct {
	limits    Limits
	revisions map[string]*revision // by mailbox
	executors map[string]*executor // by id, until they have exited
	runs      map[string]*run
	queue     []string // flows that wait, first come first
	// valid are the flows that were found valid and are not planned yet: only these may be planned.
	valid map[string]struct{}
	// ended are the flows that have a verdict, and jobs that run on.
	ended map[string]*run
	// gone holds the last executors that have exited, of which an older event may still be on its way.
	gone exits
	// seq is the last event that was folded: the source of numbers for executors.
	seq uint64
	// waiting says by mailbox why executors that were started cannot run yet.
	waiting map[string]string
}

// Limits bound what the spawner grants.
type Limits struct {
	// Executors bounds the processes of all revisions together.
	Executors int
	// Queue bounds the flows that wait for capacity.
	Queue int
	// Linger is how long a job may go on after its flow has ended, and an executor without living
	// jobs after it was told to drain. Then the spawner gives them up.
	Linger time.Duration
}

// DefaultLimits are the documented defaults.
func DefaultLimits() Limits { return Limits{Executors: 64, Queue: 10_000, Linger: 20 * time.Second} }

// A revision is one mailbox and what serves it.
type revision struct {
	Name   string         `json:"name"`
	Pinned progdef.Pinned `json:"pinned"`
	// current is true while the catalogue names this revision.
	current bool
	// used counts the granted jobs that have not ended.
	used int
	// Failures counts the executors in a row that died before they started a job; Until is when the
	// next one may be started.
	Failures int       `json:"failures,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	// Refusals counts the executors in a row that can never run as the progdef asks. Each flow that needs
	// one is told at once; for the minimum it is tried again only at Spare.
	Refusals int       `json:"refusals,omitempty"`
	Spare    time.Time `json:"spare,omitzero"`
	// Last is how the last of these executors ended.
	Last *contract.ExecutorExited `json:"last,omitempty"`
}

func (r *revision) mailbox() string { return contract.Mailbox(r.Name, r.Pinned.Revision) }

func (r *revision) scaling() progdef.Scaling { return r.Pinned.Document.Scaling }

func (r *revision) perExecutor() int { return max(r.scaling().JobsPerExecutor, 1) }

// executorsFor returns how many executors hold that many jobs.
func (r *revision) executorsFor(jobs int) int {
	return (jobs + r.perExecutor() - 1) / r.perExecutor()
}

// An executor is a process that was started and has not exited.
type executor struct {
	Mailbox  string `json:"mailbox"`
	Draining bool   `json:"draining,omitempty"`
	// jobs counts its running jobs, flows those of each flow.
	jobs  int
	flows map[string]int
	// Since is when it was told to drain.
	Since time.Time `json:"since,omitzero"`
	// Proved is set once it has started a job.
	Proved bool `json:"proved,omitempty"`
	// Idle is since when it has had no job.
	Idle time.Time `json:"idle"`
	// givenUp is set once the backend was told to give it up.
	givenUp bool
}

// A run is one flow, from flow.planned until it has ended and its last job has gone.
type run struct {
	Trace   string    `json:"trace,omitempty"` // its W3C trace context
	Granted bool      `json:"granted"`
	Ended   time.Time `json:"ended,omitzero"`
	// Jobs are the documents that go on the mailboxes; dropped once they are there.
	Jobs  []contract.Job  `json:"jobs,omitempty"`
	State map[string]*job `json:"state"`
	need  map[string]int  // jobs by mailbox
	// Told is what the flow's last flow.queued said.
	Told told `json:"told,omitzero"`
}

type job struct {
	Mailbox  string `json:"mailbox"`
	Executor string `json:"executor,omitempty"` // while it runs
	// Holds is true while the job holds a slot, Started once it was started, Over once it has ended.
	Holds   bool `json:"holds,omitempty"`
	Started bool `json:"started,omitempty"`
	Over    bool `json:"over,omitempty"`
}

// exits remembers a bounded number of executors.
type exits struct {
	known map[string]bool
	order []string
}

const exitsRemembered = 2000

func (x *exits) add(id string) {
	if x.known[id] {
		return
	}
	if len(x.order) == exitsRemembered {
		delete(x.known, x.order[0])
		x.order = x.order[1:]
	}
	x.known[id], x.order = true, append(x.order, id)
}

// NewState returns the state that the stored catalogue begins with.
func NewState(l Limits, stored map[string]contract.CatalogEntry) *State {
	s := &State{
		limits: l, revisions: make(map[string]*revision), executors: make(map[string]*executor),
		runs: make(map[string]*run), valid: make(map[string]struct{}), ended: make(map[string]*run),
		gone: exits{known: make(map[string]bool)}, waiting: make(map[string]string),
	}
	for name, e := range stored {
		if !e.Removed {
			s.makeCurrent(name, e.Pinned)
		}
	}
	return s
}

func (s *State) revision(name string, p progdef.Pinned) *revision {
	mailbox := contract.Mailbox(name, p.Revision)
	if s.revisions[mailbox] == nil {
		s.revisions[mailbox] = &revision{Name: name, Pinned: p}
	}
	return s.revisions[mailbox]
}

func (s *State) makeCurrent(name string, p progdef.Pinned) {
	s.noLongerCurrent(name)
	r := s.revision(name, p)
	r.Pinned, r.current = p, true // scaling may change within a revision
}

func (s *State) noLongerCurrent(name string) {
	for mailbox, r := range s.revisions {
		if r.Name == name && r.current {
			r.current = false
			s.forget(mailbox)
		}
	}
}

// forget drops a revision that nothing refers to any more.
func (s *State) forget(mailbox string) {
	r := s.revisions[mailbox]
	if r == nil || r.current || r.used > 0 || s.wanted(mailbox) {
		return
	}
	delete(s.revisions, mailbox)
}

func (s *State) wanted(mailbox string) bool {
	for _, x := range s.executors {
		if x.Mailbox == mailbox {
			return true
		}
	}
	return s.wantedByQueue(mailbox)
}

func (s *State) wantedByQueue(mailbox string) bool {
	return slices.ContainsFunc(s.queue, func(id string) bool { return s.runs[id].need[mailbox] > 0 })
}

// executorID names an executor of a mailbox. The number is above that of every event that was folded when an
// executor was named before, so that no id is given twice.
func executorID(name, mailbox string, number uint64) string {
	const longest = 34
	sum := sha256.Sum256([]byte(mailbox))
	head := strings.TrimRight(name[:min(len(name), longest)], "-_")
	return fmt.Sprintf("%s-%s-%d", head, hex.EncodeToString(sum[:4]), number)
}
