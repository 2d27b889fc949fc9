package simulation

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/validator"
)

// world is the log, and everything that reads and writes it.
type world struct {
	now      time.Time
	log      []contract.Event
	ids      map[string]bool // message ids ever stored
	subjects map[string]bool // NATS subjects that hold an event
	services []*replica

	mailbox   []contract.Job
	posted    map[string]bool
	running   map[string]claim // by flow.job
	lost      map[string]claim // said to have started by executors that are dead
	executors map[string]instance
	streams   map[string]bool // planned and not cleaned
}

type instance struct {
	mailbox  string
	draining bool
}

type claim struct {
	job      contract.Job
	executor string
}

// replica is one service: what it has folded, and which causes it has not answered.
type replica struct {
	name   string
	causes map[contract.Type]bool
	reset  func()
	evolve func(contract.Event)
	decide func(contract.Event, time.Time) ([]contract.Event, error)
	folded int
	open   []int // places of unanswered causes
	taken  int   // how far causes have been taken from the log
}

func newReplica[S any](name string, causes []contract.Type, fresh func() S, evolve func(S, contract.Event) S,
	decide func(S, contract.Event, time.Time) ([]contract.Event, error),
) *replica {
	state := fresh()
	r := &replica{name: name, causes: make(map[contract.Type]bool)}
	for _, t := range causes {
		r.causes[t] = true
	}
	r.reset = func() { state = fresh(); r.folded = 0 }
	r.evolve = func(e contract.Event) { state = evolve(state, e) }
	r.decide = func(e contract.Event, now time.Time) ([]contract.Event, error) { return decide(state, e, now) }
	return r
}

func newWorld() *world {
	l := spawner.DefaultLimits()
	l.Executors = 3
	return &world{
		now: time.Unix(1_000_000, 0), ids: map[string]bool{}, subjects: map[string]bool{},
		posted: map[string]bool{}, running: map[string]claim{}, lost: map[string]claim{}, executors: map[string]instance{},
		streams: map[string]bool{},
		services: []*replica{
			newReplica("validator",
				[]contract.Type{contract.TypeFlowSubmit, contract.TypeProgdefApply},
				func() validator.State { return validator.NewState(validator.DefaultLimits(), nil) },
				validator.Evolve, validator.Decide),
			newReplica("planner",
				[]contract.Type{
					contract.TypeFlowValidated, contract.TypeFlowRejected, contract.TypeFlowCompleted,
					contract.TypeFlowPanic, contract.TypeFlowCancelled,
				},
				func() planner.State { return planner.NewState(planner.DefaultLimits()) },
				planner.Evolve, planner.Decide),
			newReplica("spawner",
				[]contract.Type{
					contract.TypeFlowPlanned, contract.TypeFlowRejected, contract.TypeFlowCompleted,
					contract.TypeFlowPanic, contract.TypeFlowCancelled, contract.TypeExecutorExited,
				},
				func() spawner.State { return spawner.NewState(l, nil) },
				spawner.Evolve, spawner.Decide),
			newReplica("panic-aggregator",
				[]contract.Type{
					contract.TypeFlowValidated, contract.TypeFlowSpawned, contract.TypeFlowCancel,
					contract.TypeJobDone, contract.TypeJobPanic, contract.TypeExecutorExited,
				},
				func() aggregator.State { return aggregator.NewState(aggregator.DefaultLimits()) },
				aggregator.Evolve, aggregator.Decide),
		},
	}
}

// publish stores an event unless its message id, or for a Once event its subject, is taken.
func (w *world) publish(e contract.Event) bool {
	id, subject := e.DedupID(), e.NATSSubject()
	if w.ids[id] || e.Once && w.subjects[subject] {
		return false
	}
	w.ids[id], w.subjects[subject] = true, true
	e.Seq, e.Time, e.MsgID, e.With, e.Once = uint64(len(w.log)+1), w.now, "", nil, false
	if raw, ok := e.Data.(json.RawMessage); ok {
		e.Raw = raw
	}
	w.log = append(w.log, e)
	return true
}

// perform is what the services do to the world outside of EVENTS.
func (w *world) perform(e contract.Event) {
	switch d := e.Data.(type) {
	case *contract.FlowPlanned:
		w.streams[e.Subject] = true
	case *contract.FlowCleaned:
		delete(w.streams, e.Subject)
		var keep []contract.Job
		for _, j := range w.mailbox {
			if j.Flow != e.Subject {
				keep = append(keep, j)
			}
		}
		w.mailbox = keep
	case *contract.FlowSpawned:
		for _, j := range e.With.([]contract.Job) {
			if key := j.Flow + "." + j.Job; !w.posted[key] {
				w.posted[key] = true
				w.mailbox = append(w.mailbox, j)
			}
		}
	case *contract.ExecutorStarted:
		if !w.subjects["executor.exited."+d.Progdef+"."+d.Executor] {
			w.executors[d.Executor] = instance{mailbox: contract.Mailbox(d.Progdef, d.Revision)}
		}
	case *contract.ExecutorDraining:
		if x, ok := w.executors[d.Executor]; ok {
			x.draining = true
			w.executors[d.Executor] = x
		}
	}
}

// fold has a service fold its next event. It reports whether there was one.
func (w *world) fold(r *replica) bool {
	if r.folded == len(w.log) {
		return false
	}
	r.evolve(w.log[r.folded])
	r.folded++
	for ; r.taken < r.folded; r.taken++ {
		if r.causes[w.log[r.taken].Type] {
			r.open = append(r.open, r.taken)
		}
	}
	return true
}

// answer has a service answer its i-th open cause. It carries out at most limit effects; with fewer than
// there are it has crashed in between, and the cause stays open.
func (w *world) answer(r *replica, i, limit int) error {
	place := r.open[i]
	effects, err := r.decide(w.log[place], w.now)
	if err != nil {
		return fmt.Errorf("%s on %s: %w", r.name, w.log[place].Type, err)
	}
	for i := range effects {
		effects[i].Source = contract.Source(r.name)
	}
	if w.carryOut(effects, limit) {
		r.open = append(r.open[:i:i], r.open[i+1:]...)
		for w.fold(r) { // the shell waits until its own effects are folded
		}
		return nil
	}
	w.crash(r)
	return nil
}

func (w *world) carryOut(effects []contract.Event, limit int) (all bool) {
	for i, e := range effects {
		if i == limit {
			return false
		}
		w.perform(e)
		if _, said := contract.Lookup(e.Type); said {
			w.publish(e)
		}
	}
	return true
}

// crash has a service lose its state; it replays the whole log before it answers anything.
func (w *world) crash(r *replica) {
	r.reset()
	for w.fold(r) {
	}
}

// tick advances the clock for one service.
func (w *world) tick(r *replica) error {
	if r.name == "validator" {
		return nil // it has no use for time
	}
	e := contract.Event{Type: service.Tick, Time: w.now}
	r.evolve(e)
	effects, err := r.decide(e, w.now)
	if err != nil {
		return err
	}
	w.carryOut(effects, len(effects))
	return nil
}
