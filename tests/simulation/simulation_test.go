package simulation

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
)

// A step is one step of a history: an action and its target.
type step struct {
	Do action
	// Who selects a replica or another target of the action, How its parameters.
	Who, How uint8
}

type action string

// The actions of a history.
const (
	actFold     action = "fold"
	actWork     action = "work"
	actCarryOut action = "carry out"
	actFault    action = "fault"
	actLead     action = "lead"
	actPass     action = "pass"
	actTick     action = "tick"
	actStepDown action = "step down"
	actCrash    action = "crash"
	actSnapshot action = "snapshot"
	actTrim     action = "trim"
	actSubmit   action = "submit"
	actCancel   action = "cancel"
	actCatalog  action = "catalog"
	actClaim    action = "claim"
	actFinish   action = "finish"
	actExit     action = "exit"
	actFreeze   action = "freeze"
	actSpawner  action = "exits and strays"
	actSweep    action = "sweep"
	actPulse    action = "pulse"
	actGarble   action = "garble"
	actHostile  action = "hostile"
)

// shares is the relative frequency of each action.
var shares = map[action]int{
	actFold: 30, actCarryOut: 44, actFault: 36, actWork: 20, actLead: 20, actPass: 26, actTick: 12, actStepDown: 2, actCrash: 5,
	actSnapshot: 16, actTrim: 6, actSubmit: 18, actCancel: 2, actCatalog: 2, actClaim: 22, actFinish: 20, actExit: 8,
	actFreeze: 2, actSpawner: 12, actSweep: 2, actPulse: 8, actGarble: 3, actHostile: 6,
}

// deck contains each action as often as its share, spread evenly, since the first elements are drawn more often than
// the last.
var deck = func() (out []action) {
	total, credit := 0, map[action]int{}
	for _, n := range shares {
		total += n
	}
	for len(out) < total {
		var best action
		for _, a := range slices.Sorted(maps.Keys(shares)) {
			if credit[a] += shares[a]; best == "" || credit[a] > credit[best] {
				best = a
			}
		}
		credit[best] -= total
		out = append(out, best)
	}
	return out
}()

var steps = rapid.Custom(func(t *rapid.T) step {
	return step{rapid.SampledFrom(deck).Draw(t, "do"), rapid.Byte().Draw(t, "who"), rapid.Byte().Draw(t, "how")}
})

// history draws lists of steps. Lists of lists are long enough and shrink well.
var history = rapid.SliceOf(rapid.SliceOf(rapid.SliceOf(rapid.SliceOf(steps))))

// TestEveryFlowEndsOnce prints with -v how often each situation occurred.
func TestEveryFlowEndsOnce(t *testing.T) {
	reached := map[string]int{}
	defer func() {
		for _, what := range slices.Sorted(maps.Keys(reached)) {
			t.Logf("%8d %s", reached[what], what)
		}
	}()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.Bool().Draw(t, "limited"))
		run := &run{w: w, steps: slices.Concat(slices.Concat(slices.Concat(history.Draw(t, "history")...)...)...)}
		for _, name := range []string{"a", "b", "reporter"} {
			w.document(nobody, contract.TypeProgdefApply, name, applied(name, 0), "")
		}
		for run.one() {
		}
		w.settle()
		w.check()
		w.count(reached)
	})
}

// count counts the situations in a history.
func (w *world) count(reached map[string]int) {
	reached["histories"]++
	for _, e := range w.log {
		what := "stored " + string(e.Type)
		switch d := e.Event.Data.(type) {
		case *contract.FlowPanic:
			what += " " + string(d.Cause.Kind)
		case *contract.FlowRejected:
			what += " " + string(d.Problems[0].Code)
		case *contract.FlowQueued:
			if len(d.Shortage) > 0 {
				what += " " + d.Shortage[0].What
			}
		}
		if !e.readable {
			what = "stored unreadable"
		}
		reached[what]++
	}
	if w.first > 1 {
		reached["histories in which EVENTS was trimmed"]++
	}
	if w.inconsistent {
		reached["histories with forged events"]++
	}
	for what, n := range w.happened {
		reached[what] += n
	}
}

// A run executes the steps of a history.
type run struct {
	w     *world
	steps []step
	// depth is the number of nested pauses, since the beginning of the outermost.
	depth int
	since time.Time
}

// longest limits the steps in a pause, pauseTime roughly its duration.
const (
	longest   = 40
	pauseTime = 10 * time.Second
)

// pause executes other steps while a process, or one of its tasks, is stopped.
func (r *run) pause(x *replica, how uint8) func() {
	return func() {
		if r.depth == 0 {
			r.since = r.w.now
		}
		if r.depth == 3 {
			return
		}
		r.depth++
		stopped := how%4 > 0
		was := x.paused
		x.paused = was || stopped
		if stopped {
			r.w.say("%v is stopped", x)
		}
		for n := int(how/4)%longest + 1; n > 0 && r.w.now.Sub(r.since) < pauseTime && r.one(); n-- {
		}
		x.paused = was
		r.depth--
		r.w.say("%v goes on", x)
	}
}

// one executes the next step, and reports whether there was one.
func (r *run) one() bool {
	if len(r.steps) == 0 {
		return false
	}
	s := r.steps[0]
	r.steps = r.steps[1:]
	r.do(s)
	return true
}

// replica selects a replica that is not stopped, or nil if both are.
func (r *run) replica(who uint8) *replica {
	s := r.w.sites[int(who)%len(r.w.sites)]
	x := s.replicas[int(who)/len(r.w.sites)%2]
	if x.paused {
		x = s.replicas[1-x.n]
	}
	if x.paused {
		return nil
	}
	r.w.wake(x)
	return x
}

// leader selects a replica that leads, if any.
func (r *run) leader(who uint8) *replica {
	for n := range r.w.sites {
		s := r.w.sites[(int(who)+n)%len(r.w.sites)]
		if x := s.leader(); x != nil && !x.paused {
			r.w.wake(x)
			return x
		}
	}
	return nil
}

// leads returns the leader of a service if it is running.
func (r *run) leads(name string) *replica {
	x := r.w.site(name).leader()
	if x == nil || x.paused {
		return nil
	}
	r.w.wake(x)
	return x
}

var passes = []time.Duration{
	10 * time.Millisecond, 100 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond,
	time.Second, 200 * time.Millisecond, 4 * time.Second, time.Millisecond, 8 * time.Second,
}

func (r *run) do(s step) {
	w, who, how := r.w, int(s.Who), int(s.How)
	flow := fmt.Sprintf("f%d", who%5)
	switch s.Do {
	case actPass:
		d := passes[how%len(passes)]
		w.now = w.now.Add(d)
		w.say("%v pass", d)
	case actSubmit:
		by := users[how/len(documents)%len(users)]
		w.document(by, contract.TypeFlowSubmit, flow, documents[how%len(documents)], fmt.Sprintf("submit.%s.%s.%d", by.Name, flow, how%len(documents)))
	case actCancel:
		w.cancel(cancels[how%len(cancels)], flow)
	case actCatalog:
		r.catalog(who, how)
	case actClaim:
		w.claimOne(who, how%16 == 7, how%16 == 8)
		w.claimOne(who, false, false)
	case actFinish:
		w.finishOne(who, how%5 == 4, how%7 == 6)
	case actExit:
		w.exitOne(who, how%4 == 3)
	case actFreeze:
		w.freeze(who)
	case actGarble:
		w.garble(contract.Table[how%len(contract.Table)], flow, who)
	case actHostile:
		if who%3 > 0 {
			flow = fmt.Sprintf("h%d", who%2)
		}
		w.hostile(how, flow)
	default:
		r.doService(s)
	}
}

// doService executes the steps of services.
func (r *run) doService(s step) {
	var x *replica
	switch s.Do {
	case actSpawner:
		x = r.leads(spawner.Name)
	case actSweep, actTrim:
		x = r.leads(planner.Name)
	case actPulse:
		x = r.leads(aggregator.Name)
	case actCarryOut, actFault, actSnapshot, actTick, actStepDown:
		x = r.leader(s.Who)
	default:
		x = r.replica(s.Who)
	}
	if x == nil {
		return
	}
	w, how := r.w, int(s.How)
	switch s.Do {
	case actFold:
		w.fold(x, how%12+1)
	case actCarryOut:
		w.fold(x, how%4*3)
		if n := x.Tasks(); n > 0 {
			w.carryOut(x, how%n, noFault, 0, 0, nil)
		}
	case actFault:
		if n := x.Tasks(); n > 0 {
			w.carryOut(x, how%n, fault(how)%(faults-1)+1, how/16%2, int(s.Who)/8, r.pause(x, s.Who))
		}
	case actWork:
		w.work(x, how%16)
	case actLead:
		w.lead(x, func() {})
		w.lead(x.site.replicas[1-x.n], r.pause(x.site.replicas[1-x.n], s.How))
	case actTick:
		if at, due := x.Due(); due && !at.After(w.now) {
			w.tick(x)
		}
	case actStepDown:
		w.stepDown(x)
	case actCrash:
		w.crash(x, how)
	case actSnapshot:
		if how%8 == 7 {
			w.snapshot(x, sync.OnceFunc(r.pause(x, s.Who)))
			return
		}
		for _, site := range w.sites {
			if x := r.leads(site.name); x != nil {
				w.fold(x, how)
				w.snapshot(x, func() { w.fold(x, 1) })
			}
		}
	case actTrim:
		w.trim(x, float64(how%4+1)/4)
	case actSpawner:
		w.reportExits(x)
		w.reconcile(x)
	case actSweep:
		w.sweep(x)
	case actPulse:
		r.pulse(x)
	}
}

// pulse lets a leading aggregator look for jobs that have left their mailbox, and for silent ones.
func (r *run) pulse(x *replica) {
	r.w.missing(x)
	x.Observe(aggregator.Pulse(r.w.now))
}

// missing informs an aggregator which jobs of spawned flows are in no mailbox.
func (w *world) missing(x *replica) {
	spawned := map[string][]contract.Job{}
	planned := map[string][]contract.Job{}
	for _, e := range w.log {
		switch d := e.Event.Data.(type) {
		case *contract.FlowPlanned:
			planned[e.Event.Subject] = d.Jobs
		case *contract.FlowSpawned:
			spawned[e.Event.Subject] = planned[e.Event.Subject]
		case *contract.FlowCleaned:
			delete(spawned, e.Event.Subject)
		}
	}
	for _, flow := range slices.Sorted(maps.Keys(spawned)) {
		for _, j := range spawned[flow] {
			waits := slices.ContainsFunc(w.mailbox, func(o contract.Job) bool { return o.Flow == flow && o.Job == j.Job })
			if !waits {
				x.Observe(aggregator.Missing(aggregator.Gone{Flow: flow, Job: j.Job}, w.now))
			}
		}
	}
}

// work lets a replica catch up, and work for a while.
func (w *world) work(r *replica, tasks int) {
	w.lead(r, func() {})
	for w.fold(r, len(w.log)); r.Tasks() > 0 && tasks > 0; tasks-- {
		w.carryOut(r, 0, noFault, 0, 0, nil)
		w.fold(r, len(w.log))
	}
}

func (r *run) catalog(who, how int) {
	names := []string{"a", "b", "reporter", "other"}
	name := names[who%len(names)]
	switch how % 6 {
	case 0:
		r.w.document(nobody, contract.TypeProgdefApply, name, applied(name, how/6%3), "")
	case 1:
		r.w.command(nobody, contract.TypeProgdefRemove, "other", &contract.ProgdefRemove{Name: "other"}, "")
	case 2:
		r.w.document(nobody, contract.TypeProgdefApply, "other", `{"name": "other", "scaling": 7}`, "")
	case 3:
		r.w.document(nobody, contract.TypeTypeApply, "x", `{"name": "picture", "summary": "A picture."}`, "")
	case 4:
		r.w.document(nobody, contract.TypeWebhookApply, name, fmt.Sprintf(`{"name": %q, "url": "https://%d.example.com/"}`, name, how%7), "")
	case 5:
		if how%5 < 3 {
			r.w.command(nobody, contract.TypeWebhookRotate, name, &contract.WebhookRotate{Name: name}, "")
		} else {
			r.w.command(nobody, contract.TypeWebhookRemove, name, &contract.WebhookRemove{Name: name}, "")
		}
	}
}

// settle lets everything settle: all events are folded and decided, jobs end, idle executors exit.
func (w *world) settle() {
	w.say("everything settles")
	const rounds = 500
	for range rounds {
		moved := w.arrive()
		for _, s := range w.sites {
			moved = w.settleSite(s) || moved
		}
		for w.claimOne(0, false, false) || w.finishOne(0, false, false) || w.exitOne(0, false) {
			moved = true
		}
		if moved || w.behind() {
			continue
		}
		next, due := w.nextDue()
		if !due && w.rests() {
			return
		}
		if x := w.site(planner.Name).leader(); !due && x != nil {
			w.sweep(x)
		}
		wait := time.Second
		if due && len(w.running) == 0 {
			wait = max(wait, next.Sub(w.now))
		}
		w.elapse(wait)
	}
	w.fatalf("it does not settle: %s", w.left())
}

// elapse lets time pass while every process is running.
func (w *world) elapse(d time.Duration) {
	w.now = w.now.Add(d)
	for _, s := range w.sites {
		if x := s.leader(); x != nil {
			s.until = w.now.Add(leaseTime)
			if at, due := x.Due(); due && !at.After(w.now) {
				w.tick(x)
			}
		}
		for _, x := range s.replicas {
			x.alive = w.now
		}
	}
}

func (w *world) settleSite(s *site) (moved bool) {
	for _, x := range s.replicas {
		w.wake(x)
		moved = w.fold(x, len(w.log)) || moved
	}
	if s.leader() == nil {
		if s.holder != nil && !w.now.Before(s.until) || s.holder != nil && !s.holder.Leading() {
			s.holder = nil
		}
		w.lead(s.replicas[0], func() {})
		moved = true
	}
	x := s.leader()
	if x == nil {
		return true
	}
	switch s.name {
	case spawner.Name:
		w.reportExits(x)
		w.reconcile(x)
	case aggregator.Name:
		w.missing(x)
		x.Observe(aggregator.Pulse(w.now))
	}
	for x.Tasks() > 0 {
		w.carryOut(x, 0, noFault, 0, 0, nil)
		w.fold(x, len(w.log))
		moved = true
		if len(w.log) > 3000 {
			w.fatalf("it publishes without end")
		}
	}
	return moved
}

func (w *world) behind() bool {
	for _, s := range w.sites {
		for _, x := range s.replicas {
			if x.Last() < w.end() {
				return true
			}
		}
	}
	return false
}

// nextDue is when a leader must decide again.
func (w *world) nextDue() (next time.Time, any bool) {
	for _, s := range w.sites {
		if x := s.leader(); x != nil {
			if at, due := x.Due(); due && (!any || at.Before(next)) {
				next, any = at, true
			}
		}
	}
	return next, any
}

func (w *world) rests() bool {
	return len(w.mailbox)+len(w.running)+len(w.executors)+len(w.exits)+len(w.streams) == 0
}

func (w *world) left() string {
	return fmt.Sprintf("left over: jobs %v, running %v, executors %v, exits %v, streams %v",
		w.mailbox, w.running, slices.Sorted(maps.Keys(w.executors)), w.exits, slices.Sorted(maps.Keys(w.streams)))
}

// sameStates compares the replicas of each service.
func (w *world) sameStates() {
	for _, s := range w.sites {
		a, err := s.replicas[0].Snapshot(func() {})
		if err != nil {
			w.fatalf("%v cannot encode its state: %v", s.replicas[0], err)
		}
		b, err := s.replicas[1].Snapshot(func() {})
		if err != nil {
			w.fatalf("%v cannot encode its state: %v", s.replicas[1], err)
		}
		if !bytes.Equal(a.body, b.body) {
			w.fatalf("the replicas of the %s differ:\n%s\n%s", s.name, a.body, b.body)
		}
	}
}
