package simulation

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/service/core"
	"github.com/dagyo/dagyo/pkg/snapshot"
)

// A process is one replica of any service: the core that runs in production, with the same conditions of publication.
// The world schedules it: a process that is not called is paused, one that is restarted has crashed.
type process interface {
	// Last is the last folded event.
	Last() uint64
	// Fold folds the next message.
	Fold(m *entry)
	// Observe folds a fact at its own time.
	Observe(fact contract.Event)
	// Lead begins or ends the replica's term. At its end, tasks in flight are dropped.
	Lead(leading bool)
	Leading() bool
	// Tasks is the number of tasks to carry out.
	Tasks() int
	// CarryOut carries out the i-th task, and returns a function that reports the result to the core. If it is never
	// called, the process has crashed in between, or is paused.
	CarryOut(i int, log core.Log, perform performer, held func() bool) (finish func())
	// Due is the broker's time at which a decision is due.
	Due() (at time.Time, ok bool)
	// Snapshot returns the encoded state. It calls between while that is encoded.
	Snapshot(between func()) (image, error)
	// Restart starts again with an empty state, or that of a snapshot.
	Restart(from *image) error
	// Alarms are the core's alarms since the last call.
	Alarms() []string
}

// An image is a snapshot.
type image struct {
	snapshot.Description
	body []byte
}

// remaining returns the snapshots of a service that are kept after another one is stored. EVENTS ends at end.
func remaining(kept []image, more image, end uint64) (out []image) {
	bySeq := map[uint64]image{more.Seq: more}
	all := []snapshot.Description{more.Description}
	for _, i := range kept {
		if i.Seq != more.Seq {
			bySeq[i.Seq] = i
			all = append(all, i.Description)
		}
	}
	slices.SortFunc(all, snapshot.Newer)
	for _, d := range snapshot.Remaining(all, end) {
		out = append(out, bySeq[d.Seq])
	}
	return out
}

// needed returns the first event that a service may need to start from these snapshots: earlier events may be trimmed.
// It is 0 if none may.
func needed(sites []*site) uint64 {
	all := make(map[string][]snapshot.Description)
	for _, s := range sites {
		for _, i := range s.snapshots {
			all[s.name] = append(all[s.name], i.Description)
		}
	}
	return snapshot.Needed(all, false)
}

// A performer replaces the I/O of all services.
type performer func(context.Context, contract.Event) (contract.Event, error)

// A driver is a process of a service with the state S.
type driver[S any] struct {
	logic  core.Logic[S]
	fresh  func() S
	read   func(seq uint64) *entry
	judge  func(context.Context, *driver[S], contract.Event) (contract.Event, error)
	core   *core.Core[S]
	tasks  []*core.Task
	alarms []string
}

// publish lets a leader publish an observation. ended reports whether Runtime.Publish would have returned, and its
// error.
func publish[S any](r *replica, decide func(S) []contract.Event) (ended func() (bool, error)) {
	d := r.process.(*driver[S])
	var done bool
	var result error
	d.core.Publish(&core.Observation[S]{Decide: decide, Done: func(err error) { done, result = true, err }})
	d.step()
	return func() (bool, error) { return done, result }
}

// readState calls f with a replica's state; f must neither change nor retain it.
func readState[S any](r *replica, f func(S)) { f(r.process.(*driver[S]).core.State) }

func (d *driver[S]) step() { d.tasks = append(d.tasks, d.core.Tasks()...) }

func (d *driver[S]) Last() uint64             { return d.core.Last.Seq }
func (d *driver[S]) Leading() bool            { return d.core.Leading }
func (d *driver[S]) Tasks() int               { return len(d.tasks) }
func (d *driver[S]) Due() (time.Time, bool)   { return d.core.Due() }
func (d *driver[S]) Observe(e contract.Event) { d.core.Observe(e); d.step() }

func (d *driver[S]) Fold(m *entry) {
	received := event.NewStored(m.Place, m.Subject)
	if d.core.Reads(m.Type) {
		*received = *m.Stored
	}
	d.core.Fold(received)
	d.step()
}

func (d *driver[S]) Lead(leading bool) {
	d.tasks = nil
	d.core.Lead(leading)
	d.step()
}

func (d *driver[S]) CarryOut(i int, log core.Log, perform performer, held func() bool) func() {
	t, c := d.tasks[i], d.core
	d.tasks = slices.Delete(d.tasks, i, i+1)
	r := core.Worker{
		Service: d.logic.Name, Log: log, Held: held,
		LastOf: func(aggregate string) uint64 { return d.core.LastOf(aggregate) },
		Read: func(_ context.Context, seq uint64) (*event.Stored, []byte, error) {
			if m := d.read(seq); m != nil {
				return m.Stored, m.data, nil
			}
			return nil, nil, nil
		},
		Perform: func(ctx context.Context, e contract.Event) (contract.Event, error) {
			if d.judge != nil {
				var err error
				if e, err = d.judge(ctx, d, e); err != nil {
					return e, err
				}
			}
			return perform(ctx, e)
		},
	}.Do(context.Background(), t)
	return func() {
		if d.core == c && !errors.Is(r.Err, core.ErrFenced) { // otherwise it has restarted meanwhile
			c.Finish(r)
			d.step()
		}
	}
}

func (d *driver[S]) Snapshot(between func()) (image, error) {
	c := d.core // it may crash and start again in between
	i := c.Capture()
	whole, err := d.logic.Snapshot.Encode(c.State)
	if err != nil {
		return image{}, err
	}
	for complete := false; !complete; {
		complete = c.Encode(1)
		between()
	}
	body, err := i.Bytes()
	if err != nil {
		return image{}, err
	}
	_, state, _ := bytes.Cut(body, []byte("\n"))
	about := snapshot.Description{Service: d.logic.Name, Place: i.Place, Needs: i.Needs}
	return image{about, body}, sameState(whole, state)
}

// sameState compares two encoded states, except for what was observed outside of EVENTS.
func sameState(whole, inSteps []byte) error {
	var a, b any
	if err := errors.Join(json.Unmarshal(whole, &a), json.Unmarshal(inSteps, &b)); err != nil {
		return err
	}
	if withoutFacts(a); !reflect.DeepEqual(a, withoutFacts(b)) {
		return fmt.Errorf("what was encoded in steps differs from what was encoded at once:\n%s\n%s", inSteps, whole)
	}
	return nil
}

// withoutFacts removes what facts change from an encoded state.
func withoutFacts(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range []string{"heard", "clients"} {
			delete(v, name)
		}
		for _, member := range v {
			withoutFacts(member)
		}
	case []any:
		slices.SortFunc(v, func(a, b any) int { return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		for _, member := range v {
			withoutFacts(member)
		}
	}
	return v
}

func (d *driver[S]) Restart(from *image) error {
	limits := core.Limits{Workers: workers, MaxAttempts: service.DefaultConfig().MaxAttempts}
	d.core = core.New(d.logic, limits, d.fresh(), func(_ contract.Event, text string) { d.alarms = append(d.alarms, text) })
	d.tasks = nil
	if from == nil {
		return nil
	}
	return d.core.Decode(from.Place, from.body)
}

func (d *driver[S]) Alarms() []string {
	out := d.alarms
	d.alarms = nil
	return out
}

// Read and Message are for validator.Judge.
func (d *driver[S]) Read(f func(S)) { f(d.core.State) }

func (d *driver[S]) Message(_ context.Context, seq uint64) (*event.Stored, error) {
	if m := d.read(seq); m != nil {
		return m.Stored, nil
	}
	return nil, nil
}
