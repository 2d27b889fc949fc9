package simulation

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// command publishes a user's command with a message id; the broker drops repeats.
func (w *world) command(by contract.Sender, t contract.Type, subject string, data any, id string) {
	if id != "" && w.repeated(id, w.now) {
		return
	}
	w.publish(contract.Event{Type: t, Subject: subject, Data: data, By: by.Name, Operator: by.Operator})
}

func (w *world) document(by contract.Sender, t contract.Type, subject, text, id string) {
	raw := json.RawMessage(text)
	w.command(by, t, subject, &raw, id)
}

func (w *world) cancel(by contract.Sender, flow string) {
	w.command(by, contract.TypeFlowCancel, flow, &contract.FlowCancel{Flow: flow}, "")
}

// nobody sends commands on plain subjects. Most flows have the same owner.
var (
	nobody  = contract.Sender{}
	users   = []contract.Sender{{Name: "ada"}, {Name: "ada"}, nobody, {Name: "ada"}, {Name: "bob"}}
	cancels = []contract.Sender{{Name: "ada"}, {Name: "bob"}, nobody, {Name: "carol", Operator: true}}
)

// sender returns how an executor publishes: those of the previous version do so on plain subjects.
func (w *world) sender(executor, progdef string) string {
	if progdef == "b" {
		return ""
	}
	return executor
}

// startOf is the subject on which an executor reports the start of a job.
func startOf(j contract.Job, executor string) string {
	return contract.StartedBy(j.Started, contract.MailboxConsumer(j.Progdef, j.Revision), executor)
}

// slots is jobsPerExecutor of the simulated progdefs.
var slots = map[string]int{"a": 1, "b": 2, "reporter": 1}

// applied is the document of a progdef, which depends on the version. One of the policies refuses the last version.
func applied(name string, version int) string {
	command, inputs := "x", `{}`
	if version == 2 {
		command = "y"
	}
	if name == "reporter" {
		inputs = `{"in": "json"}`
	}
	return fmt.Sprintf(`{"name": %q, "inputs": %s, "outputs": {}, "command": [%q, "%d"],
		"scaling": {"jobsPerExecutor": %d, "maxExecutors": 2, "idleTimeout": "3s"}}`, name, inputs, command, version, slots[name])
}

var documents = []string{
	`{"nodes": {"x": {"progdef": "a"}}, "deadline": "40s"}`,
	`{"nodes": {"x": {"progdef": "a"}, "y": {"progdef": "b"}, "z": {"progdef": "b"}}, "deadline": "40s"}`,
	`{"nodes": {"x": {"progdef": "a"}}, "deadline": "1s"}`,
	`{"nodes": {"x": {"progdef": "a"}, "r": {"progdef": "reporter"}, "y": {"progdef": "b"}},
		"edges": [{"from": "x.panic", "to": "r.in"}, {"from": "r.panic", "to": "y.stop"}], "deadline": "40s"}`,
	`{"nodes": {"x": {"progdef": "b"}, "y": {"progdef": "b"}}, "deadline": "5s"}`,
	`{"nodes": {"x": {"progdef": "a"}, "y": {"progdef": "a"}}, "deadline": "2s"}`,
	`{"nodes": {"x": {"progdef": "a"}, "y": {"progdef": "a"}, "z": {"progdef": "a"}}}`, // never fits
	`{"nodes": {"x": {"progdef": "unknown"}}}`,
	`{"nodes": {}, "deadline": "1s"}`,
	`{"nodes": [1]}`,
	`"garbage"`,
	`{}`,
}

// claimOne lets an executor with a free slot claim a job: its job.started is stored first, and then it takes the job
// off the mailbox. If dies is set, the executor exits in between; if lost is set, its exit overtakes its job.started.
func (w *world) claimOne(pick int, dies, lost bool) bool {
	type option struct {
		job      int
		executor string
	}
	var options []option
	for i, j := range w.mailbox {
		for _, id := range slices.Sorted(maps.Keys(w.executors)) {
			x := w.executors[id]
			if x.mailbox() == contract.Mailbox(j.Progdef, j.Revision) && !x.draining && !x.frozen && w.busy(id) < slots[j.Progdef] {
				options = append(options, option{i, id})
			}
		}
	}
	if len(options) == 0 {
		return false
	}
	o := options[pick%len(options)]
	j := w.mailbox[o.job]
	started := contract.Event{
		Type: contract.TypeJobStarted, Subject: j.Flow, Source: "/executor/" + o.executor, By: w.sender(o.executor, j.Progdef),
		Data: &contract.JobStarted{Job: j.Job, Executor: o.executor},
	}
	if started.By != "" {
		started.Mailbox = contract.MailboxConsumer(j.Progdef, j.Revision)
	}
	if lost {
		w.late = append(w.late, started)
		w.kill(o.executor, 3)
		return true
	}
	first := w.publishFirst(started)
	if dies {
		w.kill(o.executor, 3)
		return true
	}
	w.mailbox = slices.Delete(w.mailbox, o.job, o.job+1)
	if first {
		c := claim{j, o.executor}
		w.running[c.key()] = c
	}
	return true
}

// arrive stores the events in flight.
func (w *world) arrive() bool {
	for _, e := range w.late {
		w.publishFirst(e)
	}
	any := len(w.late) > 0
	w.late = nil
	return any
}

func (w *world) busy(executor string) int {
	n := 0
	for _, c := range w.running {
		if c.executor == executor {
			n++
		}
	}
	return n
}

// finishOne ends a running job: stopped if its flow is stopped, otherwise with success or a panic.
func (w *world) finishOne(pick int, fails, twice bool) bool {
	all := slices.DeleteFunc(w.sortedRunning(), func(c claim) bool { return w.executors[c.executor].frozen })
	if len(all) == 0 {
		return false
	}
	c := all[pick%len(all)]
	delete(w.running, c.key())
	stopped := w.stopped[c.job.Flow] || !w.streams[c.job.Flow]
	e := contract.Event{
		Type: contract.TypeJobDone, Subject: c.job.Flow, Source: "/executor/" + c.executor,
		By:   w.sender(c.executor, c.job.Progdef),
		Data: &contract.JobDone{Job: c.job.Job, Executor: c.executor, Stopped: stopped},
	}
	if fails && !stopped {
		e.Type, e.Data = contract.TypeJobPanic, &contract.JobPanic{
			Job: c.job.Job, Executor: c.executor, Failure: contract.Failure{Kind: contract.KindError, Message: "boom"},
		}
	}
	w.publish(e)
	if twice {
		w.publish(e)
	}
	return true
}

// exitOne lets an executor exit: a draining one without jobs normally, any other by a crash.
func (w *world) exitOne(pick int, crash bool) bool {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(w.executors)) {
		if x := w.executors[id]; crash || x.draining && !x.frozen && w.busy(id) == 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return false
	}
	code := 0
	if crash {
		code = 3
	}
	w.kill(ids[pick%len(ids)], code)
	return true
}

// freeze stops an executor: it sends no more heartbeats.
func (w *world) freeze(pick int) {
	if ids := slices.Sorted(maps.Keys(w.executors)); len(ids) > 0 {
		id := ids[pick%len(ids)]
		w.say("executor %s freezes", id)
		w.fallSilent(id)
		w.executors[id].frozen = true
	}
}

// garble publishes a message that is not an event.
func (w *world) garble(entry contract.Entry, flow string, how int) {
	m := nats.NewMsg(string(entry.Type))
	switch entry.Type {
	case contract.TypeFlowValidated, // of which validator and spawner read only the subject
		contract.TypeFlowRejected, // after which the id of an ended flow may be reused
		contract.TypeJobStarted:   // which replaces the only one that may be stored
		w.tainted[flow] = true
	}
	switch {
	case entry.Command || entry.Of == contract.OfMessage:
	case entry.Of == contract.OfJob:
		m.Subject += "." + flow + ".x"
	case entry.Of == contract.OfExecutor:
		m.Subject += ".a." + flow
	default:
		m.Subject += "." + flow
	}
	switch how % 3 {
	case 0:
		m.Data = []byte("\x00garbage")
	case 1:
		m.Header.Set("content-type", "application/cloudevents+json")
		m.Data = fmt.Appendf(nil, `{"specversion": "1.0", "id": "1", "source": "/x", "type": %q, "subject": %q, "data": 7`, entry.Type, flow)
	case 2:
		m.Header.Set("content-type", "application/cloudevents+json")
		m.Data = fmt.Appendf(nil, `{"specversion": "1.0", "id": "1", "source": "/x", "type": "no.such", "subject": %q, "data": {}}`, flow)
	}
	w.say("  stored %s", describe(w.store(m, w.now)))
}
