package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/service/core"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/spawner"
)

// A site is one service: its two replicas, their lease, and its snapshots, newest first.
type site struct {
	name      string
	replicas  [2]*replica
	holder    *replica
	until     time.Time // when the lease expires
	snapshots []image
}

// A replica is one process of a service.
type replica struct {
	process
	site *site
	n    int
	// epoch counts its processes, term its terms as leader.
	epoch, term int
	// paused is set while the process is stopped.
	paused bool
	// current is set once it has caught up after its start.
	current bool
	// alive is when the process was last running.
	alive time.Time
	// reports are the exits that this spawner is about to publish, missing the jobs that its last comparison did not
	// find.
	reports map[string]func() (bool, error)
	missing map[string]bool
}

func (r *replica) String() string { return fmt.Sprintf("%s/%d", r.site.name, r.n+1) }

// leaseTime is the duration of a lease after its renewal; gapLimit is that of the shell.
const (
	leaseTime = 3 * time.Second
	gapLimit  = time.Second
)

func (w *world) held(r *replica) bool { return r.site.holder == r && w.now.Before(r.site.until) }

// wake does what a process does whenever it is scheduled: it detects how long it could not receive, renews its lease or
// detects that it has lost it, and receives beats.
func (w *world) wake(r *replica) {
	if gap := w.now.Sub(r.alive); gap > gapLimit {
		r.Observe(contract.Event{Type: core.FactMissed, Time: w.now, With: gap})
	}
	r.alive = w.now
	switch {
	case w.held(r):
		r.site.until = w.now.Add(leaseTime)
	case r.Leading():
		w.say("%v detects that its lease is lost", r)
		r.term++
		r.Lead(false)
	}
	w.beat(r)
	w.measure(r)
	w.followReports(r)
	w.checkAlarms(r)
}

// beat lets an aggregator receive the beats of running jobs.
func (w *world) beat(r *replica) {
	if r.site.name != aggregator.Name || !r.current {
		return
	}
	for _, c := range w.sortedRunning() {
		if x := w.executors[c.executor]; x != nil && !x.frozen {
			r.Observe(aggregator.Heard(aggregator.Beat{
				Flow: c.job.Flow, Job: c.job.Job, By: w.sender(c.executor, c.job.Progdef),
			}, w.now))
		}
	}
}

// measure has a leading aggregator learn what was read in the flows: one record in five seconds.
func (w *world) measure(r *replica) {
	if r.site.name != aggregator.Name || !r.current || !r.Leading() {
		return
	}
	var all []aggregator.Traffic
	for _, flow := range slices.Sorted(maps.Keys(w.streams)) {
		all = append(all, aggregator.Traffic{Flow: flow, Records: w.now.Unix() / 5})
	}
	r.Observe(aggregator.Measured(all, w.now))
}

func (w *world) checkAlarms(r *replica) {
	for _, alarm := range r.Alarms() {
		if !strings.Contains(alarm, "cannot fold") && !strings.Contains(alarm, "cannot decide") {
			continue
		}
		what, _, _ := strings.Cut(alarm, "\n")
		w.say("%v complains: %s", r, what)
		if w.happened["a service contains a panic"]++; !w.inconsistent {
			w.fatalf("%v panics on consistent events: %s", r, alarm)
		}
		if strings.Contains(alarm, "cannot decide admit") || strings.Contains(alarm, "cannot decide tend") {
			w.fatalf("%v decides nothing for any flow: %s", r, alarm)
		}
	}
}

// fold lets a replica fold up to n messages, and reports whether there was one.
func (w *world) fold(r *replica, n int) (any bool) {
	for ; n > 0 && r.Last() < w.end(); n-- {
		m := w.read(r.Last() + 1)
		if m == nil {
			w.happened["a service was away while EVENTS was trimmed"]++
			w.say("%v finds that EVENTS begins at %d", r, w.first)
			w.crash(r, 0)
			return true
		}
		r.Fold(m)
		any = true
	}
	w.listen(r)
	return any
}

// listen lets an aggregator that has caught up listen for heartbeats.
func (w *world) listen(r *replica) {
	if !r.current && r.Last() == w.end() {
		r.current = true
		if r.site.name == aggregator.Name {
			r.Observe(aggregator.Listening())
		}
	}
}

// lead lets a replica acquire the lease if it is free, catch up, and lead.
func (w *world) lead(r *replica, pause func()) {
	s := r.site
	if r.Leading() || s.holder != nil && w.now.Before(s.until) {
		return
	}
	s.holder, s.until = r, w.now.Add(leaseTime)
	w.say("%v takes the lease", r)
	w.tick(r)
	epoch := r.epoch
	w.fold(r, len(w.log))
	pause()
	if r.epoch == epoch && !r.Leading() {
		r.term++
		r.Lead(true)
		w.countTerm(s)
	}
}

// countTerm notes when the spawner's second term begins.
func (w *world) countTerm(s *site) {
	if s.name != spawner.Name {
		return
	}
	if w.terms++; w.terms == 2 {
		w.replaced = w.end()
	}
}

func (w *world) stepDown(r *replica) {
	if r.Leading() {
		w.say("%v steps down", r)
		r.term++
		r.Lead(false)
	}
	if r.site.holder == r {
		r.site.holder = nil
	}
}

func (w *world) tick(r *replica) {
	w.publish(contract.Event{
		Type: contract.TypeTick, Source: contract.Source(r.site.name), Subject: r.site.name,
		Data: &contract.Tick{Service: r.site.name},
	})
}

// snapshot lets a leader store its state. pause is called while that is encoded.
func (w *world) snapshot(r *replica, pause func()) {
	if !r.Leading() || !w.held(r) || r.Last() == 0 {
		return
	}
	epoch := r.epoch
	image, err := r.Snapshot(pause)
	if err != nil {
		w.fatalf("%v cannot encode its state: %v", r, err)
	}
	if r.epoch != epoch {
		return
	}
	r.site.snapshots = remaining(r.site.snapshots, image, w.end())
	w.say("%v stores a snapshot at %d, which needs %d", r, image.Seq, image.Needs)
}

// crash restarts a replica from one of its service's snapshots, or from the first event if none was trimmed.
func (w *world) crash(r *replica, which int) {
	var from *image
	kept := r.site.snapshots
	if which %= len(kept) + 1; which < len(kept) {
		from = &kept[which]
	} else if w.first > 1 {
		from = &kept[0]
	}
	r.epoch++
	r.term++
	r.reports, r.missing, r.alive, r.current = map[string]func() (bool, error){}, nil, w.now, false
	if err := r.Restart(from); err != nil {
		w.fatalf("%v cannot start from its snapshot: %v", r, err)
	}
	if from == nil {
		w.happened["a service starts from the beginning"]++
		w.say("%v crashes and starts from the beginning", r)
	} else {
		w.happened["a service starts from a snapshot"]++
		w.say("%v crashes and starts from its snapshot at %d", r, from.Seq)
	}
}

// A fault is a fault in the execution of a task.
type fault int

const (
	noFault fault = iota
	crashBeforePerform
	crashBeforeAppend
	crashAfterAppend
	crashBeforeFinish
	answerLost
	appendFails
	performFails
	brokerRefuses
	pauseBeforePerform
	pauseBeforeAppend
	pauseBeforeFinish
	runOutBeforePerform
	runOutBeforeAppend
	faults
)

var faultNames = [...]string{
	"", ", and crashes before it performs", ", and crashes before it appends", ", and crashes after that",
	", and crashes before it reports that", ", and the answer is lost", ", and the broker fails", ", and it fails",
	", and the broker refuses it", ", and pauses before it performs", ", and pauses before it appends",
	", and pauses before it reports that", ", and its lease expires before it performs",
	", and its lease expires before it appends",
}

// An execution is the execution of a task, with a fault at one of its effects.
type execution struct {
	w           *world
	r           *replica
	epoch, term int
	fault       fault
	at          int // the effect at which it occurs
	effect      int
	appending   bool
	may         bool // Held was called and returned true
	pause       func()
	which       int // snapshot to start from after a crash
}

var errGone = errors.New("the process has exited")

// carryOut lets a replica carry out a task.
func (w *world) carryOut(r *replica, i int, x fault, at, which int, pause func()) {
	f := &execution{w: w, r: r, epoch: r.epoch, term: r.term, fault: x, at: at, effect: -1, pause: pause, which: which}
	w.say("%v carries out a task%s", r, faultNames[x])
	finish := r.CarryOut(i, f, f.perform, f.held)
	if f.gone() {
		return
	}
	switch f.fault {
	case crashBeforeFinish:
		w.crash(r, which)
		return
	case pauseBeforeFinish:
		pause()
	}
	if r.epoch == f.epoch {
		finish()
	}
	w.checkAlarms(r)
}

func (f *execution) gone() bool { return f.r.epoch != f.epoch }

// now reports whether a fault is to occur now; it occurs once.
func (f *execution) now(x fault) bool {
	if f.fault != x || f.effect < f.at {
		return false
	}
	f.fault = noFault
	f.w.happened["a service carries out a task"+faultNames[x]]++
	return true
}

// held is called before each effect is performed, and again before it is appended.
func (f *execution) held() bool {
	if f.may = false; !f.appending {
		f.effect++
	}
	crash, pause, out := crashBeforePerform, pauseBeforePerform, runOutBeforePerform
	if f.appending {
		crash, pause, out = crashBeforeAppend, pauseBeforeAppend, runOutBeforeAppend
	}
	f.appending = !f.appending
	if f.gone() || f.r.term != f.term {
		return false
	}
	if f.now(out) {
		f.pause()
	}
	held := !f.gone() && f.r.term == f.term && f.w.held(f.r)
	switch {
	case f.now(crash):
		f.w.crash(f.r, f.which)
		return false
	case held && f.now(pause): // the race right after the check
		f.pause()
	}
	f.may = held && !f.gone()
	return f.may
}

// must checks that Held was called right before.
func (f *execution) must(what string) {
	if !f.may && !f.gone() {
		f.w.fatalf("%v %s without the lease", f.r, what)
	}
	f.may = false
}

func (f *execution) perform(_ context.Context, e contract.Event) (contract.Event, error) {
	if f.gone() {
		return e, errGone
	}
	f.must("performs " + string(e.Type))
	if f.now(performFails) && f.w.mayFail(e) {
		return e, errors.New("it cannot be done now")
	}
	if e.Type == contract.TypeFlowPlanned && f.now(brokerRefuses) {
		return e, &problem.Permanent{Problem: problem.Problem{Code: problem.BrokerRefused, Message: "no"}}
	}
	e = f.w.perform(f.r, e)
	if e.IsAct() {
		f.appending = false
		f.w.say("  performed %s of %s", e.Type, e.Subject)
	}
	return e, nil
}

func (f *execution) Append(_ context.Context, e contract.Event, last uint64) (uint64, bool, error) {
	f.appending = false
	if f.gone() {
		return 0, false, errGone
	}
	f.must("appends " + string(e.Type))
	if f.now(appendFails) && f.w.mayFail(e) {
		return 0, false, errors.New("the broker does not answer")
	}
	if a := e.Aggregate(); a != "" && f.w.lastKept(a) != last {
		f.appending = true // it is tried again
		return 0, false, nil
	}
	e.Source, e.ID = contract.Source(f.r.site.name), fmt.Sprintf("%s.%d", e.NATSSubject(), f.w.end())
	e.Time = f.w.now.Add(skew[int(f.w.end())%len(skew)])
	m, err := event.Encode(e)
	if err != nil {
		f.w.fatalf("%v published an event that cannot be encoded: %v", f.r, err)
	}
	stored := f.w.store(m, f.w.now)
	f.w.say("  stored %s", describe(stored))
	switch {
	case f.now(crashAfterAppend):
		f.w.crash(f.r, f.which)
		return 0, false, errGone
	case f.now(answerLost) && f.w.mayFail(e):
		return 0, false, errors.New("the broker does not answer")
	}
	return stored.Seq, true, nil
}

func (f *execution) Last(_ context.Context, aggregate string) (uint64, contract.Type, error) {
	seq := f.w.lastKept(aggregate)
	if seq == 0 {
		return 0, "", nil
	}
	return seq, f.w.log[seq-1].Type, nil
}

// mayFail limits the failures of an aggregate, because a service gives up after too many.
func (w *world) mayFail(e contract.Event) bool {
	key := e.Aggregate() + e.Subject
	w.failures[key]++
	return w.failures[key] < service.DefaultConfig().MaxAttempts/2
}
