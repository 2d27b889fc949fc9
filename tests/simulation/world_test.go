package simulation

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/service/core"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/admission"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/validator"
)

// world is EVENTS, the services, and everything around them.
type world struct {
	t failer
	// now is the broker's time.
	now time.Time
	events
	sites  []*site
	script []string

	// starts counts those of the validator: each has another version of the policy.
	starts int
	// catalog and types are the buckets, mailbox is the stream of jobs, streams are those of the flows.
	catalog map[string]contract.CatalogEntry
	types   map[string]contract.TypeEntry
	mailbox []contract.Job
	streams map[string]bool
	stopped map[string]bool // flows with a stop in their stream

	executors map[string]*instance
	exits     map[string]backend.Exit // to be reported and removed
	running   map[string]claim        // by flow.job
	// late are events that are still in flight to the broker.
	late []contract.Event

	// quotas are those of each tenant and user. replaced is the place of EVENTS at which the spawner's second term began,
	// 0 if there is only one.
	ofTenant, ofUser admission.Quota
	terms            int
	replaced         uint64

	failures map[string]int
	// silent is when executors stopped sending heartbeats, because they were frozen or exited.
	silent map[string]time.Time
	// inconsistent is set after a forged event was published; tainted are the flows of such events, ghosts counts the
	// executors that were falsely reported as started.
	inconsistent bool
	tainted      map[string]bool
	ghosts       int
	// happened counts the faults that occurred.
	happened map[string]int
}

type failer interface {
	Fatalf(format string, args ...any)
}

var _ failer = (*testing.T)(nil)

// An instance is a running executor.
type instance struct {
	backend.Instance
	draining, frozen bool
}

func (x *instance) mailbox() string { return contract.Mailbox(x.Progdef, x.Revision) }

// A claim is a job on its executor.
type claim struct {
	job      contract.Job
	executor string
}

func (c claim) key() string { return c.job.Flow + "." + c.job.Job }

// Shorter times than the defaults, so that histories reach them.
const (
	cancelMemory    = 30 * time.Second
	outputRetention = 5 * time.Second
	executorsLimit  = 3
	stallAfter      = 500 * time.Millisecond
	workers         = 3
)

// policies are the versions of the installation's policy: none, and one that refuses the command y.
var policies = []*policy.Policy{nil, {Commands: policy.Commands{Allow: []string{"x"}}}}

// newWorld returns a world, with small limits for each tenant and user if it is limited.
func newWorld(t failer, limited bool) *world {
	w := &world{
		t: t, now: time.Unix(1_000_000, 0).UTC(), events: newEvents(),
		catalog: map[string]contract.CatalogEntry{}, types: map[string]contract.TypeEntry{},
		streams: map[string]bool{}, stopped: map[string]bool{}, executors: map[string]*instance{},
		exits: map[string]backend.Exit{}, running: map[string]claim{}, failures: map[string]int{},
		silent: map[string]time.Time{}, tainted: map[string]bool{}, happened: map[string]int{},
	}
	spawning, ending, planning := spawner.DefaultLimits(), aggregator.DefaultLimits(), planner.DefaultLimits()
	spawning.Executors, ending.CancelMemory, planning.OutputRetention = executorsLimit, cancelMemory, outputRetention
	ending.StallAfter = stallAfter
	validating := validator.DefaultLimits()
	if limited {
		w.ofTenant = admission.Quota{Flows: 2, Waiting: 3}
		w.ofUser = admission.Quota{Flows: 1, Waiting: 2, Slots: 3, Executors: 2}
		spawning.Tenant, spawning.User = w.ofTenant, w.ofUser
		validating.Submissions = validator.Rates{Tenant: 4, User: 2, Burst: 2 * time.Second}
	}
	w.sites = []*site{
		newSite(w, validator.Logic(), judge, func() *validator.State {
			w.starts++
			return validator.NewState(validating, maps.Clone(w.catalog)).WithTypes(w.types).
				WithPolicy(policies[w.starts%len(policies)])
		}),
		newSite(w, planner.Logic(), nil, func() *planner.State { return planner.NewState(planning, "0") }),
		newSite(w, spawner.Logic(), nil, func() *spawner.State {
			return spawner.NewState(spawning, maps.Clone(w.catalog))
		}),
		newSite(w, aggregator.Logic(), nil, func() *aggregator.State { return aggregator.NewState(ending) }),
	}
	return w
}

func judge(ctx context.Context, d *driver[*validator.State], e contract.Event) (contract.Event, error) {
	return validator.Judge(ctx, d, e)
}

func newSite[S any](
	w *world, logic core.Logic[S], judge func(context.Context, *driver[S], contract.Event) (contract.Event, error),
	fresh func() S,
) *site {
	if flows := logic.Snapshot.Flows; flows != nil { // the same history is simulated alike
		logic.Snapshot.Flows = func(s S) []string { return slices.Sorted(slices.Values(flows(s))) }
	}
	out := &site{name: logic.Name}
	for n := range out.replicas {
		d := &driver[S]{logic: logic, judge: judge, fresh: fresh, read: w.read}
		if err := d.Restart(nil); err != nil {
			w.fatalf("%s cannot start: %v", logic.Name, err)
		}
		r := &replica{process: d, site: out, n: n, alive: w.now, reports: map[string]func() (bool, error){}}
		w.listen(r)
		out.replicas[n] = r
	}
	return out
}

func (w *world) site(name string) *site {
	return w.sites[slices.IndexFunc(w.sites, func(s *site) bool { return s.name == name })]
}

// leader returns the replica that considers itself the leader, or nil if there is none.
func (s *site) leader() *replica {
	for _, r := range s.replicas {
		if r.Leading() && s.holder == r {
			return r
		}
	}
	return nil
}

func (w *world) say(format string, args ...any) {
	w.script = append(w.script, fmt.Sprintf("%8.3fs ", w.now.Sub(time.Unix(1_000_000, 0)).Seconds())+fmt.Sprintf(format, args...))
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Fatalf("%s\nThe history:\n%s", fmt.Sprintf(format, args...), strings.Join(w.script, "\n"))
}

// perform performs the effects of services outside of EVENTS.
func (w *world) perform(r *replica, e contract.Event) contract.Event {
	switch string(e.Type) {
	case "act.listen":
		w.tick(r)
		w.fold(r, len(w.log))
		w.beat(r)
		e.Time = w.now
	case "act.stop", "act.stop-last":
		w.stopped[e.Subject] = w.stopped[e.Subject] || w.streams[e.Subject]
	case "act.give-up":
		w.kill(e.Subject, -1)
	case "act.store":
		w.putProgdef(e.Subject, e.With.(contract.CatalogEntry))
	}
	switch d := e.Data.(type) {
	case *contract.FlowPlanned:
		w.streams[e.Subject] = d.Stream != ""
	case *contract.FlowCleaned:
		w.release(e.Subject, len(d.Mailboxes) > 0)
	case *contract.FlowSpawned:
		w.post(e.With.([]contract.Job))
	case *contract.ExecutorStarted:
		w.start(e, d)
	case *contract.ExecutorDraining:
		w.drain(d.Executor, e.With != nil)
	case *contract.TypeApplied:
		if e.Cause > w.types[d.Name].Seq {
			w.types[d.Name] = contract.TypeEntry{Seq: e.Cause, Document: d.Document}
		}
	}
	return e
}

func (w *world) putProgdef(name string, e contract.CatalogEntry) {
	if e.Seq > w.catalog[name].Seq {
		w.catalog[name] = e
	}
}

func (w *world) release(flow string, purge bool) {
	delete(w.streams, flow)
	delete(w.stopped, flow)
	if purge {
		w.purge(flow)
	}
}

func (w *world) purge(flow string) {
	w.mailbox = slices.DeleteFunc(w.mailbox, func(j contract.Job) bool { return j.Flow == flow })
}

// post puts jobs on their mailboxes, each once.
func (w *world) post(jobs []contract.Job) {
	for _, j := range jobs {
		if !slices.ContainsFunc(w.mailbox, func(x contract.Job) bool { return x.Flow == j.Flow && x.Job == j.Job }) {
			w.mailbox = append(w.mailbox, j)
		}
	}
}

// start starts an executor. An id that is running, or whose exit is not yet removed, is not started again.
func (w *world) start(e contract.Event, d *contract.ExecutorStarted) {
	if _, asked := e.With.(progdef.Pinned); !asked || w.executors[d.Executor] != nil {
		return
	}
	if _, ended := w.exits[d.Executor]; !ended {
		w.executors[d.Executor] = &instance{Instance: backend.Instance{
			Executor: d.Executor, Progdef: d.Progdef, Revision: d.Revision,
		}}
	}
}

func (w *world) drain(executor string, giveUp bool) {
	if x := w.executors[executor]; x != nil && giveUp {
		w.kill(executor, -1)
	} else if x != nil {
		x.draining = true
	}
}

// kill ends an executor, with its jobs.
func (w *world) kill(executor string, code int) {
	x := w.executors[executor]
	if x == nil {
		return
	}
	w.say("executor %s exits with code %d", executor, code)
	w.fallSilent(executor)
	delete(w.executors, executor)
	maps.DeleteFunc(w.running, func(_ string, c claim) bool { return c.executor == executor })
	w.exits[executor] = backend.Exit{Instance: x.Instance, Code: code, Reason: contract.PlainEnding(code, "")}
}

// fallSilent lets an executor send its last heartbeats.
func (w *world) fallSilent(executor string) {
	if _, silent := w.silent[executor]; silent {
		return
	}
	w.silent[executor] = w.now
	for _, r := range w.site(aggregator.Name).replicas {
		if !r.paused {
			w.beat(r)
		}
	}
}

func (w *world) sortedRunning() []claim {
	return slices.SortedFunc(maps.Values(w.running), func(a, b claim) int { return cmp.Compare(a.key(), b.key()) })
}

// reportExits lets the leading spawner publish the exits of executors.
func (w *world) reportExits(r *replica) {
	if !r.Leading() {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(w.exits)) {
		if r.reports[id] == nil {
			w.say("%v reports the exit of %s", r, id)
			r.reports[id] = publish(r, spawner.Exited(w.exits[id]))
		}
	}
	w.followReports(r)
}

// followReports removes the executors whose exits are published. Failed reports are retried.
func (w *world) followReports(r *replica) {
	for _, id := range slices.Sorted(maps.Keys(r.reports)) {
		if ended, err := r.reports[id](); ended {
			delete(r.reports, id)
			if err == nil {
				delete(w.exits, id)
			}
		}
	}
}

// reconcile lets the leading spawner compare its state with the running executors.
func (w *world) reconcile(r *replica) {
	if !r.Leading() {
		return
	}
	var running []backend.Status
	for _, id := range slices.Sorted(maps.Keys(w.executors)) {
		running = append(running, backend.Status{Instance: w.executors[id].Instance})
	}
	var lost, strays []backend.Instance
	readState(r, func(s *spawner.State) { lost, strays = s.Differences(running) })
	missing := map[string]bool{}
	for _, x := range lost {
		if r.reports[x.Executor] != nil {
			continue
		}
		if missing[x.Executor] = true; r.missing[x.Executor] {
			w.say("%v misses %s", r, x.Executor)
			publish(r, spawner.Exited(backend.Exit{Instance: x, Code: -1, Reason: "it is lost"}))
		}
	}
	r.missing = missing
	for _, x := range strays {
		w.takeIn(r, x)
	}
}

// takeIn adopts a stray executor, or ends one whose exit was published.
func (w *world) takeIn(r *replica, x backend.Instance) {
	gone := false
	readState(r, func(s *spawner.State) { gone = s.Gone(x.Executor) })
	if gone {
		w.kill(x.Executor, -1)
		return
	}
	w.say("%v finds %s", r, x.Executor)
	publish(r, spawner.Stray(x))
}

// sweep lets the leading planner remove what belongs to no live flow.
func (w *world) sweep(r *replica) {
	if !r.Leading() || !w.held(r) {
		return
	}
	have := slices.Sorted(maps.Keys(w.streams))
	for _, j := range w.mailbox {
		have = append(have, j.Flow)
	}
	w.tick(r)
	w.fold(r, len(w.log))
	for _, flow := range have {
		live := false
		readState(r, func(s *planner.State) { live = s.Has(flow) })
		if !live {
			w.release(flow, true)
		}
	}
}

// trimAge is the minimum age of trimmed events. A stopped process resumes its actions before that.
const trimAge = 20 * time.Second

// redeliver delivers the jobs again that were started but not taken off the mailbox; executors drop them. This must
// precede the trimming of job.started, or a job would be started twice.
func (w *world) redeliver() {
	w.mailbox = slices.DeleteFunc(w.mailbox, func(j contract.Job) bool {
		return w.lastKept(j.Started) > 0 || w.lastKept(startOf(j, "*")) > 0
	})
}

// trim lets the leading planner trim events that no service needs, at most the given share of them.
func (w *world) trim(r *replica, share float64) {
	if !r.Leading() || !w.held(r) {
		return
	}
	w.arrive()
	w.redeliver()
	w.sweep(r)
	cut := w.first + uint64(share*float64(w.end()-w.first+1))
	cut = min(cut, needed(w.sites))
	for cut > w.first && w.log[cut-2].At.After(w.now.Add(-trimAge)) {
		cut--
	}
	if cut > w.first {
		w.first = cut
		w.say("EVENTS is trimmed to %d", cut)
	}
}
