package spawner

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/trace"
	"github.com/dagyo/dagyo/services/spawner/admission"
)

// State is the capacity there is, and who holds or awaits it. Fields in capitals are stored.
type State struct {
	limits    Limits
	revisions map[string]*revision // by mailbox
	current   map[string]*revision // by progdef: those that the catalogue names
	executors map[string]*executor // by id, until they have exited
	serving   map[string]*crew     // the same by mailbox
	runs      map[string]*run
	queue     *admission.Queue
	// short are the revisions that have fewer executors than they should.
	short map[*revision]struct{}
	// valid are the flows that were found valid and are not planned yet: only these may be planned.
	// Their values are the users who submitted them.
	valid map[string]string
	// gone holds the last executors that have exited, of which an older event may still be on its way.
	gone exits
	// seq is the last event that was folded: the source of numbers for executors.
	seq uint64
	// waiting says by mailbox why executors that were started cannot run yet; stalled are the flows that were told.
	waiting map[string]string
	stalled map[string]*run
	// checked is when the queue was last searched for flows that must be told something new, check how far. changes
	// counts the changes of which flows may have to be told.
	checked time.Time
	check   check
	changes uint64
	// starting are the executors whose start is in flight.
	starting map[string]*revision
	// sharing is nil if the tenant has all places.
	sharing *sharing
	// secret is the installation's, for the ids of executors. It is not stored.
	secret []byte
}

// Limits bound what the spawner grants.
type Limits struct {
	// Executors bounds the processes of all revisions together.
	Executors int
	// Queue bounds the flows that wait for capacity, QueueTime how long each of them may.
	Queue     int
	QueueTime time.Duration
	// ReserveAfter is how long flows that arrived later may go ahead of a waiting flow before what it needs is kept
	// for it.
	ReserveAfter time.Duration
	// Linger is how long a job may go on after its flow has ended, and an executor without living
	// jobs after it was told to drain. Then the spawner gives them up.
	Linger time.Duration
	// Tenant is the quota of each tenant, User that of each user.
	Tenant, User admission.Quota
}

// DefaultLimits are the documented defaults.
func DefaultLimits() Limits {
	return Limits{
		Executors: 64, Queue: 10_000, QueueTime: 144 * time.Hour, ReserveAfter: 30 * time.Second,
		Linger: 20 * time.Second,
	}
}

// A revision is one mailbox and what serves it.
type revision struct {
	Name   string         `json:"name"`
	Pinned progdef.Pinned `json:"pinned"`
	pool   admission.Pool
	// current is true while the catalogue names this revision.
	current bool
	// used counts the granted jobs that have not ended, on draining executors too.
	used int
	// awaiting counts the granted jobs that no executor has claimed, by flow.
	awaiting map[string]int
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

func (r *revision) mailbox() string { return r.pool.Name }

func (r *revision) scaling() progdef.Scaling { return r.Pinned.Document.Scaling }

// pin sets the document; the scaling may change within a revision.
func (r *revision) pin(p progdef.Pinned) {
	r.Pinned = p
	r.pool.Name = contract.Mailbox(r.Name, p.Revision)
	r.pool.Slots, r.pool.Max = max(r.scaling().JobsPerExecutor, 1), r.scaling().MaxExecutors
}

// executorsFor returns how many executors hold that many jobs.
func (r *revision) executorsFor(jobs int) int { return (jobs + r.pool.Slots - 1) / r.pool.Slots }

// missing returns how many executors the granted jobs lack.
func (r *revision) missing() int { return r.executorsFor(r.pool.Used) - r.pool.Live }

// belowMinimum returns how many executors the minimum lacks.
func (r *revision) belowMinimum() int {
	if !r.current {
		return 0
	}
	return min(r.scaling().MinExecutors, r.pool.Max-r.pool.Draining) - r.pool.Live
}

// An executor is a process that was started and has not exited.
type executor struct {
	Mailbox  string `json:"mailbox"`
	Draining bool   `json:"draining,omitempty"`
	// drains is true while the executor is draining, or is about to.
	drains bool
	// jobs counts its running jobs, flows those of each flow, left those of flows that have ended.
	jobs, left int
	flows      map[string]int
	// LeftSince is when the last of these flows ended.
	LeftSince time.Time `json:"leftSince,omitzero"`
	// Since is when it was told to drain.
	Since time.Time `json:"since,omitzero"`
	// Proved is set once it has started a job.
	Proved bool `json:"proved,omitempty"`
	// Idle is since when it has had no job.
	Idle time.Time `json:"idle"`
	// givenUp is set once the backend was told to give it up.
	givenUp bool
}

// A crew is the executors of one mailbox. Tended are those that may have to be drained or given up: the idle ones, the
// draining ones and those that run jobs of flows that have ended.
type crew struct {
	all, tended map[string]*executor
}

// A run is one flow, from flow.planned until it has ended and its last job has gone.
type run struct {
	Trace   trace.Context `json:"trace,omitzero"` // its W3C trace context
	Granted bool          `json:"granted"`
	Ended   time.Time     `json:"ended,omitzero"`
	// Jobs are the documents that go on the mailboxes; dropped once they are there.
	Jobs  []contract.Job  `json:"jobs,omitempty"`
	State map[string]*job `json:"state"`
	// Told is what the flow's last flow.queued said.
	Told told `json:"told,omitzero"`
	// Owner is on whose behalf the flow runs. There is one tenant; the user is who submitted it.
	Owner    admission.Owner `json:"owner,omitzero"`
	Priority int             `json:"priority,omitempty"`
	// Arrived is the place of flow.planned in EVENTS, Since the time of that.
	Arrived uint64    `json:"arrived,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// Got is when the flow got its slots; the zero time if it waits, or if an earlier version granted it.
	Got time.Time `json:"got,omitzero"`
}

// live reports whether the flow has its capacity and has not ended.
func (r *run) live() bool { return (r.Granted || !r.Got.IsZero()) && r.Ended.IsZero() }

// startedEarly reports whether a job of the flow was started before flow.spawned: by a leader that was replaced, or while
// it is in flight.
func (r *run) startedEarly() bool { return !r.Got.IsZero() && !r.Granted && r.Ended.IsZero() }

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
		limits: l, revisions: make(map[string]*revision), current: make(map[string]*revision),
		executors: make(map[string]*executor), serving: make(map[string]*crew),
		runs: make(map[string]*run), queue: admission.NewQueue(l.ReserveAfter), short: make(map[*revision]struct{}),
		valid: make(map[string]string), gone: exits{known: make(map[string]bool)},
		waiting: make(map[string]string), stalled: make(map[string]*run), starting: make(map[string]*revision),
	}
	s.queue.Quotas = func(admission.Owner) (tenant, user admission.Quota) { return s.limits.Tenant, s.limits.User }
	for name, e := range stored {
		if !e.Removed && e.Document.Flow == nil {
			s.makeCurrent(name, e.Pinned)
		}
	}
	return s
}

// WithSecret sets the secret from which the ids of executors are derived. It must be the same for all replicas.
func (s *State) WithSecret(secret []byte) *State {
	s.secret = secret
	return s
}

// revision returns the revision of a mailbox, and makes it if there is none.
func (s *State) revision(name string, p progdef.Pinned) *revision {
	mailbox := contract.Mailbox(name, p.Revision)
	if s.revisions[mailbox] == nil {
		r := &revision{Name: name}
		r.pin(p)
		s.addRevision(r)
	}
	return s.revisions[mailbox]
}

// addRevision adds a revision, which executors of an unknown one may serve already.
func (s *State) addRevision(r *revision) {
	r.awaiting = make(map[string]int)
	s.revisions[r.mailbox()] = r
	if c := s.serving[r.mailbox()]; c != nil {
		for _, x := range c.all {
			r.count(x, 1)
		}
	}
	s.settle(r)
}

func (s *State) makeCurrent(name string, p progdef.Pinned) *revision {
	s.noLongerCurrent(name)
	r := s.revision(name, p)
	r.pin(p)
	r.current, s.current[name] = true, r
	s.settle(r)
	return r
}

func (s *State) noLongerCurrent(name string) {
	if r := s.current[name]; r != nil {
		r.current = false
		delete(s.current, name)
		s.settle(r)
		s.forget(r.mailbox())
	}
}

// forget drops a revision that nothing refers to any more.
func (s *State) forget(mailbox string) {
	r := s.revisions[mailbox]
	if r == nil || r.current || r.used > 0 || s.serving[mailbox] != nil || s.queue.Wanted(&r.pool) {
		return
	}
	delete(s.revisions, mailbox)
	delete(s.short, r)
}

// forgive forgets the failures of a revision's executors.
func (r *revision) forgive() {
	r.Failures, r.Until, r.Last = 0, time.Time{}, nil
	r.Refusals, r.Spare = 0, time.Time{}
}

// settle notes whether a revision whose counts have changed has enough executors.
func (s *State) settle(r *revision) {
	if r.missing() > 0 || r.belowMinimum() > 0 {
		s.short[r] = struct{}{}
	} else {
		delete(s.short, r)
	}
}

// count adds an executor with its jobs to the pool, or with a sign of -1 takes it out. A job that runs on a draining
// executor does not use the pool.
func (r *revision) count(x *executor, sign int) {
	if x.drains {
		r.pool.Draining += sign
		r.pool.Used -= sign * x.jobs
	} else {
		r.pool.Live += sign
	}
}

// add adds an executor.
func (s *State) add(id string, x *executor) {
	s.started(id)
	s.executors[id] = x
	if s.serving[x.Mailbox] == nil {
		s.serving[x.Mailbox] = &crew{all: make(map[string]*executor), tended: make(map[string]*executor)}
	}
	s.serving[x.Mailbox].all[id] = x
	s.recount(x, 1)
	s.watch(id, x)
}

// watch notes whether an executor must be looked at when its mailbox is tended.
func (s *State) watch(id string, x *executor) {
	if x.jobs == 0 || x.drains || x.left > 0 {
		s.serving[x.Mailbox].tended[id] = x
	} else {
		delete(s.serving[x.Mailbox].tended, id)
	}
}

// remove removes an executor that runs no more.
func (s *State) remove(id string) {
	x := s.executors[id]
	s.recount(x, -1)
	delete(s.executors, id)
	c := s.serving[x.Mailbox]
	delete(c.tended, id)
	if delete(c.all, id); len(c.all) == 0 {
		delete(s.serving, x.Mailbox)
	}
}

func (s *State) recount(x *executor, sign int) {
	if r := s.revisions[x.Mailbox]; r != nil {
		r.count(x, sign)
		s.settle(r)
	}
}

// setDrains notes that an executor is draining or is about to, or that it is not.
func (s *State) setDrains(id string, x *executor, drains bool) {
	if x.drains != drains {
		s.recount(x, -1)
		x.drains = drains
		s.recount(x, 1)
		s.watch(id, x)
	}
}

// inFlight notes that an effect is in flight, or no longer: what it takes is not free for another decision. If that is
// free again, because the effect failed, the decisions that passed over it are due again.
func inFlight(s *State, e contract.Event, begins bool) (keys []string) {
	switch d := e.Data.(type) {
	case *contract.FlowSpawned:
		s.queue.Claim(e.Subject, begins)
		f := s.queue.Flow(e.Subject)
		s.settleAll(f)
		if !begins && f != nil {
			keys = []string{keyAdmit, keyFlow + e.Subject, keyTell}
		}
	case *contract.ExecutorStarted:
		mailbox := contract.Mailbox(d.Progdef, d.Revision)
		r := s.revisions[mailbox]
		if begins && r != nil && s.executors[d.Executor] == nil && !s.gone.known[d.Executor] {
			s.starting[d.Executor] = r
			r.pool.Live++
			s.settle(r)
		} else if s.started(d.Executor) && !begins {
			keys = changed(mailbox)
		}
	case *contract.ExecutorDraining:
		x := s.executors[d.Executor]
		if x == nil {
			break
		}
		s.setDrains(d.Executor, x, begins || x.Draining)
		if !begins && !x.Draining {
			keys = changed(x.Mailbox)
		}
	}
	return keys
}

// started notes that the start of an executor is no longer in flight, and reports whether it was.
func (s *State) started(id string) bool {
	r := s.starting[id]
	if r == nil {
		return false
	}
	delete(s.starting, id)
	r.pool.Live--
	s.settle(r)
	return true
}

// settleAll settles the revisions that a flow of the queue needs, if there is one.
func (s *State) settleAll(f *admission.Flow) {
	if f == nil {
		return
	}
	for _, n := range f.Needs {
		if r := s.revisions[n.Pool.Name]; r != nil {
			s.settle(r)
		}
	}
}

// executorID names an executor of a mailbox. The number is above that of every event that was folded when an
// executor was named before, so that no id is given twice. Every replica gives the same id to the executor that a
// decision starts, so that its start can be repeated. Nobody else can predict it, and take the name before the executor
// does.
func (s *State) executorID(name, mailbox string, number uint64) string {
	const longest, code = 24, 16
	mac := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(mac, "%s %d", mailbox, number)
	head := strings.TrimRight(name[:min(len(name), longest)], "-_")
	return fmt.Sprintf("%s-%d-%s", head, number, strings.ToLower(base32.StdEncoding.EncodeToString(mac.Sum(nil))[:code]))
}
