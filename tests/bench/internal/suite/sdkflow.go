package suite

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// A stub is a flow without services: its stream, and jobs that the bench puts on mailboxes. Its executors are real
// ones, each a process with its own mailbox.
type stub struct {
	*Run
	broker *Broker
	id     string
	count  int
	pause  time.Duration // between lone records
}

// flow creates a flow with the given number of edges.
func (r *Run) flow(storage jetstream.StorageType, edges int) (*stub, error) {
	b, err := r.edgeBroker()
	if err != nil {
		return nil, err
	}
	return r.flowOn(b, storage, edges)
}

func (r *Run) flowOn(b *Broker, storage jetstream.StorageType, edges int) (*stub, error) {
	f := &stub{Run: r, broker: b, id: r.nextID(), count: edges}
	_, err := b.Link.JS.CreateStream(r, stream.ShardConfig(f.id, storage))
	if err == nil {
		_, err = b.Link.JS.Publish(r, contract.StopSubject(f.id, f.id), []byte(contract.Running))
	}
	return f, err
}

func (f *stub) end() {
	_ = f.broker.Link.JS.DeleteStream(f, contract.EdgeStream(f.id)) // the server exits soon
}

func (f *stub) address(n int) contract.Address {
	return contract.EdgeAddress(f.id, f.id, n, window, frames, "octets")
}

// job returns a job of an executor that has one mailbox per flow.
func (f *stub) job(progdef string, n int) contract.Job {
	name := progdef + "-" + strconv.Itoa(n)
	subject := func(t contract.Type) string { return string(t) + "." + f.id + "." + name }
	return contract.Job{
		Flow: f.id, Job: name, Node: name, Progdef: progdef, Revision: f.id,
		Inputs: map[string]contract.Address{}, Outputs: map[string]contract.Address{},
		Started: subject(contract.TypeJobStarted), Done: subject(contract.TypeJobDone),
		Panic: subject(contract.TypeJobPanic), Health: contract.HealthSubject(f.id, name),
		Stop: contract.StopSubject(f.id, f.id), Stream: contract.EdgeStream(f.id), HealthInterval: document.Duration(2 * time.Second),
		HealthTimeout: document.Duration(10 * time.Second),
	}
}

// edges runs a source and a sink for each edge, and returns their counts.
func (f *stub) edges(size int, batch bool) (received, sent worker.Result, err error) {
	l := f.load(f.broker, size)
	l.Slots, l.Gap, l.Batch = f.count, f.pause, batch
	in, out := l, l
	for progdef, load := range map[string]*worker.Load{"sink": &in, "source": &out} {
		if load.Mailbox, err = f.mailbox(progdef); err != nil {
			return received, sent, err
		}
	}
	return f.pair(f.broker, "sink", "source", in, out, func() error {
		for n := range f.count {
			if err := f.submit(f.between("sink", n, n, -1), f.between("source", n, -1, n)); err != nil {
				return err
			}
		}
		return nil
	})
}

// between returns a job that reads edge from and writes edge to; a negative number means none.
func (f *stub) between(progdef string, n, from, to int) contract.Job {
	j := f.job(progdef, n)
	if from >= 0 {
		j.Inputs["in"] = f.address(from)
	}
	if to >= 0 {
		j.Outputs["out"] = f.address(to)
	}
	return j
}

func (f *stub) mailbox(progdef string) (string, error) {
	_, err := broker.EnsureMailbox(f, f.broker.Link.JS, progdef, f.id)
	return contract.Mailbox(progdef, f.id), err
}

// submit puts jobs on their mailboxes.
func (f *stub) submit(jobs ...contract.Job) error {
	for _, j := range jobs {
		body, err := json.Marshal(j)
		if err != nil {
			return err
		}
		subject := contract.JobSubject(j.Progdef, j.Revision, j.Flow, j.Job)
		if _, err := f.broker.Link.JS.Publish(f, subject, body); err != nil {
			return fmt.Errorf("submit %s: %w", j.Job, err)
		}
	}
	return nil
}

// pipeline runs source → map → sink in three executors.
func (f *stub) pipeline(size int) (received, sent worker.Result, err error) {
	p := &Parts{run: f.Run}
	defer p.end()
	all := make(map[string]*role.Process)
	for _, name := range []string{"sink", "map", "source"} {
		l := f.load(f.broker, size)
		l.Slots = 1
		if l.Mailbox, err = f.mailbox(name); err != nil {
			return received, sent, err
		}
		if all[name], err = p.start(name, l); err != nil {
			return received, sent, err
		}
		if err := all[name].Tell(role.Go, nil); err != nil {
			return received, sent, err
		}
	}
	profiled, err := f.profileBroker(f.broker)
	if err != nil {
		return received, sent, err
	}
	err = f.submit(f.between("sink", 0, 1, -1), f.between("map", 0, 0, 1),
		f.between("source", 0, -1, 0))
	if err == nil {
		err = all["source"].Hear(f, &sent)
	}
	if err == nil {
		err = all["sink"].Hear(f, &received)
	}
	if err == nil {
		err = sameTotals(sent, received)
	}
	if ended := profiled(); err == nil {
		err = ended
	}
	return received, sent, err
}
