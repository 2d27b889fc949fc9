package spawner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// State is the capacity there is, and who holds or awaits it.
type State struct {
	limits    Limits
	revisions map[string]*revision // by mailbox
	executors map[string]*executor // by id, until they have exited
	runs      map[string]*run
	queue     []string // flows that wait, first come first
	// last is the highest number given to an executor of each mailbox. It outlives the revision, so
	// that no id is given twice.
	last map[string]int
	// gone holds the last executors that have exited, of which an older word may still be on its way.
	gone exits
	// over holds flows that ended before they were planned, until they are cleaned up: their plan may
	// be on its way.
	over map[string]bool
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
	name   string
	pinned progdef.Pinned
	// current is true while the catalogue names this revision.
	current bool
	// used counts the granted jobs that have not ended.
	used int
	// failures counts the executors in a row that died before they started a job; until is when the
	// next one may be started.
	failures int
	until    time.Time
	// refusals counts the executors in a row that can never run as the progdef asks. Each flow that needs
	// one hears it at once; for the minimum it is tried again only at spare.
	refusals int
	spare    time.Time
}

func (r *revision) mailbox() string { return contract.Mailbox(r.name, r.pinned.Revision) }

func (r *revision) perExecutor() int { return r.pinned.Document.Scaling.JobsPerExecutor }

// executorsFor returns how many executors hold that many jobs.
func (r *revision) executorsFor(jobs int) int {
	return (jobs + r.perExecutor() - 1) / r.perExecutor()
}

// An executor is a process that was started and has not exited.
type executor struct {
	mailbox  string
	draining bool
	jobs     int
	// since is when it was told to drain.
	since time.Time
	// said is set by executor.started, proved once it has started a job.
	said, proved bool
	// idle is since when it has had no job.
	idle time.Time
}

// A run is one flow, from flow.planned until it has ended and its last job has gone.
type run struct {
	trace   string // its W3C trace context
	granted bool
	ended   bool
	endedAt time.Time
	// jobs are the documents that go on the mailboxes; dropped once they are there.
	jobs  []contract.Job
	need  map[string]int // jobs by mailbox
	state map[string]*job
}

type job struct {
	mailbox  string
	executor string // while it runs
	// holds is true while the job holds a slot, over once it has ended.
	holds, over bool
}

// exits remembers a bounded number of executors.
type exits struct {
	known map[string]bool
	order []string
}

const exitsRemembered = 10_000

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
func NewState(l Limits, stored map[string]contract.CatalogEntry) State {
	s := State{
		limits: l, revisions: make(map[string]*revision),
		executors: make(map[string]*executor), runs: make(map[string]*run),
		gone: exits{known: make(map[string]bool)}, over: make(map[string]bool), last: make(map[string]int),
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
		s.revisions[mailbox] = &revision{name: name, pinned: p}
	}
	return s.revisions[mailbox]
}

func (s *State) makeCurrent(name string, p progdef.Pinned) {
	s.noLongerCurrent(name)
	r := s.revision(name, p)
	r.pinned, r.current = p, true // scaling may change within a revision
}

func (s *State) noLongerCurrent(name string) {
	for mailbox, r := range s.revisions {
		if r.name == name && r.current {
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
		if x.mailbox == mailbox {
			return true
		}
	}
	return s.wantedByQueue(mailbox)
}

func (s *State) wantedByQueue(mailbox string) bool {
	return slices.ContainsFunc(s.queue, func(id string) bool { return s.runs[id].need[mailbox] > 0 })
}

// executorID names the n-th executor of a mailbox: the same on every replica, never used twice.
func executorID(name, mailbox string, n int) string {
	const longest = 40
	sum := sha256.Sum256([]byte(mailbox))
	head := strings.TrimRight(name[:min(len(name), longest)], "-_")
	return fmt.Sprintf("%s-%s-%d", head, hex.EncodeToString(sum[:4]), n)
}

func executorNumber(id string) int {
	n, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
	if err != nil {
		return 0
	}
	return n
}
