package broken

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

// A decider decides on messages; each executor has one.
type decider = func(*tap.Message) tap.Decision

// always returns a wire for a decider without state.
func always(d decider) func() func(*tap.Message) tap.Decision {
	return func() func(*tap.Message) tap.Decision { return d }
}

var stored = []byte(`{"stream":"EVENTS","seq":1}`)

func publishes(m *tap.Message, head string) bool {
	return m.Op == tap.Pub && strings.HasPrefix(m.Plain(), head)
}

// getStart begins a request for a stored job.started.
const getStart = access.BridgedAPI + "DIRECT.GET.EVENTS.job.started."

// asksForStart reports whether m requests the job.started of any executor.
func asksForStart(m *tap.Message) bool {
	return publishes(m, getStart) && strings.HasSuffix(m.Subject, ".*")
}

// answered answers the executor before the broker does.
func answered(m *tap.Message, data []byte) tap.Decision {
	return tap.Decision{ToClient: []tap.Message{{Subject: m.Reply, Data: data}}}
}

// edited changes the data of an event.
func edited(m *tap.Message, change func(data map[string]any)) tap.Decision {
	var envelope map[string]any
	if json.Unmarshal(m.Data, &envelope) != nil {
		return tap.Pass
	}
	change(envelope["data"].(map[string]any))
	m.Data, _ = json.Marshal(envelope)
	return tap.Pass
}

// retyped turns an event into one of another type, with other data.
func retyped(m *tap.Message, from, to contract.Type, change func(data map[string]any)) tap.Decision {
	m.Data = []byte(strings.ReplaceAll(string(m.Data), string(from), string(to)))
	m.Subject = strings.Replace(m.Subject, string(from), string(to), 1)
	return edited(m, change)
}

// onEvent changes the data of events of one type.
func onEvent(t contract.Type, change func(data map[string]any)) func() func(*tap.Message) tap.Decision {
	return always(func(m *tap.Message) tap.Decision {
		if publishes(m, string(t)+".") {
			return edited(m, change)
		}
		return tap.Pass
	})
}

// onJob changes jobs before the executor receives them.
func onJob(change func(j *contract.Job)) func() func(*tap.Message) tap.Decision {
	return always(func(m *tap.Message) tap.Decision {
		var j contract.Job
		if audit.IsDelivery(*m) && json.Unmarshal(m.Data, &j) == nil {
			change(&j)
			m.Data, _ = json.Marshal(j)
		}
		return tap.Pass
	})
}

// unsealed takes the keys away from a job, so that the executor sends and expects plain messages.
func unsealed(j *contract.Job) {
	for _, ends := range []map[string]contract.Address{j.Inputs, j.Outputs} {
		for port, a := range ends {
			a = a.Limits()
			a.Salt = ""
			ends[port] = a
		}
	}
}

// outputs changes the addresses of a job's outputs.
func outputs(change func(a *contract.Address)) func() func(*tap.Message) tap.Decision {
	return onJob(func(j *contract.Job) {
		for port, a := range j.Outputs {
			change(&a)
			j.Outputs[port] = a
		}
	})
}

// acknowledgesFirst acknowledges a job as soon as it arrives.
func acknowledgesFirst(m *tap.Message) tap.Decision {
	if !audit.IsDelivery(*m) {
		return tap.Pass
	}
	return tap.Decision{ToServer: []tap.Message{{Subject: m.Reply, Data: []byte("+ACK")}}}
}

// acknowledgesOnce does not wait for the broker's confirmation.
func acknowledgesOnce(m *tap.Message) tap.Decision {
	if publishes(m, "$JS.ACK.") && m.Reply != "" {
		return answered(m, nil)
	}
	return tap.Pass
}

// asksForNone acknowledges without requesting a confirmation.
func asksForNone(m *tap.Message) tap.Decision {
	d := acknowledgesOnce(m)
	if publishes(m, "$JS.ACK.") {
		m.Reply = ""
	}
	return d
}

// mistakesItself takes its own job.started for that of another executor.
func mistakesItself(m *tap.Message) tap.Decision {
	if !asksForStart(m) {
		return tap.Pass
	}
	d := answered(m, []byte("{}"))
	d.Drop = true
	return d
}

// keepsDropped does not acknowledge jobs that other executors have started.
func keepsDropped() func(*tap.Message) tap.Decision {
	var mu sync.Mutex
	refused := false
	return func(m *tap.Message) tap.Decision {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case publishes(m, "job.started."):
			refused = false
		case asksForStart(m):
			refused = true
		case publishes(m, "$JS.ACK.") && refused:
			d := answered(m, nil)
			d.Drop = true
			return d
		}
		return tap.Pass
	}
}

// startsUnstored does not wait until job.started is stored.
func startsUnstored(m *tap.Message) tap.Decision {
	if publishes(m, "job.started.") {
		return answered(m, stored)
	}
	return tap.Pass
}

// unconditional publishes job.started even if there already is one.
func unconditional(m *tap.Message) tap.Decision {
	if publishes(m, "job.started.") {
		m.SetHeader("Nats-Expected-Last-Subject-Sequence", "")
		m.SetHeader("Nats-Expected-Last-Subject-Sequence-Subject", "")
	}
	return tap.Pass
}

// withoutSender publishes events and heartbeats on plain subjects.
func withoutSender(m *tap.Message) tap.Decision {
	if m.Op == tap.Pub && m.Subject != m.Plain() {
		m.Subject = m.Plain()
	}
	return tap.Pass
}

// missesPlainStarts does not see a job.started on the plain subject.
func missesPlainStarts(m *tap.Message) tap.Decision {
	if publishes(m, getStart) && !asksForStart(m) {
		m.Subject = strings.Replace(m.Subject, "job.started.", "job.started.no-", 1)
	}
	return tap.Pass
}

// ownStart demands only that job.started is the first one of this executor.
func ownStart(m *tap.Message) tap.Decision {
	if publishes(m, "job.started.") {
		m.SetHeader("Nats-Expected-Last-Subject-Sequence-Subject", m.Subject)
	}
	return tap.Pass
}

// ignoresRefusal runs jobs that other executors have started.
func ignoresRefusal() func(*tap.Message) tap.Decision {
	var mu sync.Mutex
	replies := map[string]bool{}
	return func(m *tap.Message) tap.Decision {
		mu.Lock()
		defer mu.Unlock()
		if publishes(m, "job.started.") {
			replies[m.Reply] = true
		}
		if m.Op == tap.Msg && replies[m.Subject] {
			m.Data = stored
		}
		return tap.Pass
	}
}

// pull begins a request for jobs.
const pull = access.BridgedAPI + "CONSUMER.MSG.NEXT.JOBS."

// createsMailbox creates its mailbox before the first request for jobs.
func createsMailbox() func(*tap.Message) tap.Decision {
	var once sync.Once
	return func(m *tap.Message) (d tap.Decision) {
		if !publishes(m, pull) {
			return tap.Pass
		}
		once.Do(func() {
			create := access.BridgedAPI + "CONSUMER.DURABLE.CREATE.JOBS." + strings.TrimPrefix(m.Subject, pull)
			d.ToServer = []tap.Message{{Op: tap.Pub, Subject: create, Data: []byte("{}")}}
		})
		return d
	}
}

// asksWithoutPause repeats each request for jobs.
func asksWithoutPause(m *tap.Message) (d tap.Decision) {
	if publishes(m, pull) {
		for range 20 {
			d.ToServer = append(d.ToServer, *m)
		}
	}
	return d
}

// onBeat changes heartbeats.
func onBeat(change func(m *tap.Message) tap.Decision) func() func(*tap.Message) tap.Decision {
	return always(func(m *tap.Message) tap.Decision {
		if publishes(m, "health.") {
			return change(m)
		}
		return tap.Pass
	})
}

func dropped(*tap.Message) tap.Decision { return tap.Decision{Drop: true} }

func says(text string) func(m *tap.Message) tap.Decision {
	return func(m *tap.Message) tap.Decision { m.Data = []byte(text); return tap.Pass }
}

// everySecond drops every second beat.
func everySecond() func(*tap.Message) tap.Decision {
	var mu sync.Mutex
	n := 0
	return onBeat(func(*tap.Message) tap.Decision {
		mu.Lock()
		defer mu.Unlock()
		n++
		return tap.Decision{Drop: n%2 == 0}
	})()
}

// beatsWhenIdle sends no beats after it has written something.
func beatsWhenIdle() func(*tap.Message) tap.Decision {
	var mu sync.Mutex
	busy := false
	return func(m *tap.Message) tap.Decision {
		mu.Lock()
		defer mu.Unlock()
		busy = busy || publishes(m, "direct.") || publishes(m, "edges.")
		return tap.Decision{Drop: busy && publishes(m, "health.")}
	}
}

// hidesPanics reports a failed job as done.
func hidesPanics(m *tap.Message) tap.Decision {
	if !publishes(m, "job.panic.") {
		return tap.Pass
	}
	return retyped(m, contract.TypeJobPanic, contract.TypeJobDone, func(data map[string]any) {
		for _, field := range []string{"kind", "message", "port", "record", "detail"} {
			delete(data, field)
		}
	})
}

// endsAtPanic ends the output of a failed job.
func endsAtPanic(m *tap.Message) tap.Decision {
	if !publishes(m, "job.panic.") {
		return tap.Pass
	}
	end, _ := wire.NewEncoder(1<<10, 2<<10).Finish()
	end[9] = 200 // after everything that was written
	flow := strings.Split(m.Plain(), ".")[2]
	slot := contract.EdgeAddress(flow, flow, 1, 0, 128, "").Slot(200)
	return tap.Decision{ToServer: []tap.Message{{Subject: slot, Data: end}}}
}

// onCredit changes the credits for a job's input.
func onCredit(change func(c *wire.Credit)) func() func(*tap.Message) tap.Decision {
	return func() func(*tap.Message) tap.Decision {
		var mu sync.Mutex
		replies := map[string]bool{}
		return func(m *tap.Message) tap.Decision {
			mu.Lock()
			defer mu.Unlock()
			if m.Op == tap.Msg && strings.HasPrefix(m.Subject, "direct.") {
				replies[m.Reply] = true
			}
			if c, err := wire.ParseCredit(m.Data); err == nil && (replies[m.Subject] || publishes(m, "edges.")) {
				change(&c)
				m.Data = c.Append(nil)
			}
			return tap.Pass
		}
	}
}

// callsDirectly calls JetStream in its own account, which has none.
func callsDirectly(m *tap.Message) tap.Decision {
	if publishes(m, access.BridgedAPI) {
		m.Subject = access.API + strings.TrimPrefix(m.Subject, access.BridgedAPI)
	}
	return tap.Pass
}

// asksElsewhere wants its answers where it does not hear them.
func asksElsewhere(m *tap.Message) tap.Decision {
	if m.Op == tap.Pub {
		m.Reply = strings.Replace(m.Reply, "_INBOX.executor.", "_INBOX.", 1)
	}
	return tap.Pass
}

// takesNoCredits gives readers a reply subject on which they have no right to publish.
func takesNoCredits(m *tap.Message) tap.Decision {
	if publishes(m, "direct.") {
		m.Reply += "s"
	}
	return tap.Pass
}

// exitsWhenRejected ends when its login is rejected.
func exitsWhenRejected(m *tap.Message) tap.Decision {
	if m.Op == tap.Err && strings.HasPrefix(string(m.Data), "Authorization Violation") {
		os.Exit(executor.ExitFailed)
	}
	return tap.Pass
}

// forgetsUnread does not store unread frames, but treats them as stored.
func forgetsUnread(m *tap.Message) tap.Decision {
	if !publishes(m, "edges.") || !strings.Contains(m.Subject, ".frame.") {
		return tap.Pass
	}
	shard := strings.Split(m.Subject, ".")[1]
	d := answered(m, []byte(`{"stream":"`+contract.EdgeStream(shard)+`","seq":1}`))
	d.Drop = true
	return d
}

// deafToStops listens on a subject that receives no messages.
func deafToStops() func(*tap.Message) tap.Decision {
	elsewhere := onJob(func(j *contract.Job) { j.Stop = contract.LastStopSubject(j.Flow, j.Flow) })()
	return func(m *tap.Message) tap.Decision {
		if asksFor(m, ".last-stop") {
			return runs(m)
		}
		return elsewhere(m)
	}
}

// asksFor reports whether the message requests the last message of a subject with that suffix.
func asksFor(m *tap.Message, end string) bool {
	return publishes(m, access.BridgedAPI+"DIRECT.GET.EDGES-") && strings.HasSuffix(m.Subject, end)
}

// runs answers that the flow is running.
func runs(m *tap.Message) tap.Decision {
	d := answered(m, []byte(contract.Running))
	d.Drop = true
	return d
}

// endsWithStop treats the end of a stream without records as a record.
func endsWithStop(m *tap.Message) tap.Decision {
	empty, _ := wire.NewEncoder(1<<10, 2<<10).Finish()
	if m.Op == tap.Msg && bytes.Equal(m.Data, empty) {
		e := wire.NewEncoder(1<<10, 2<<10)
		e.Append([]byte("the end"))
		m.Data, _ = e.Finish()
	}
	return tap.Pass
}

// looksForNoStop receives stops, but does not check for a stored one.
func looksForNoStop(m *tap.Message) tap.Decision {
	if asksFor(m, ".stop") {
		return runs(m)
	}
	return tap.Pass
}

// panicsWhenStopped reports a stop as a failure.
func panicsWhenStopped(m *tap.Message) tap.Decision {
	if !publishes(m, "job.done.") || !strings.Contains(string(m.Data), `"stopped":true`) {
		return tap.Pass
	}
	return retyped(m, contract.TypeJobDone, contract.TypeJobPanic, func(data map[string]any) {
		delete(data, "stopped")
		data["kind"], data["message"] = "error", "interrupted"
	})
}

// drainsSilently does not publish executor.draining.
func drainsSilently(m *tap.Message) tap.Decision {
	if !publishes(m, "executor.draining.") {
		return tap.Pass
	}
	d := answered(m, stored)
	d.Drop = true
	return d
}

// saysAgain publishes executor.draining even if there already is one.
func saysAgain(m *tap.Message) tap.Decision {
	if publishes(m, "executor.draining.") {
		m.SetHeader("Nats-Expected-Last-Subject-Sequence", "")
		m.SetHeader("Nats-Expected-Last-Subject-Sequence-Subject", "")
	}
	return tap.Pass
}

// saysOnce does not wait until its last event is stored.
func saysOnce(m *tap.Message) tap.Decision {
	if publishes(m, "job.done.") {
		return answered(m, stored)
	}
	return tap.Pass
}

// withMessageID publishes its last events with a message id.
func withMessageID(m *tap.Message) tap.Decision {
	if publishes(m, "job.done.") {
		m.SetHeader("Nats-Msg-Id", m.Subject)
	}
	return tap.Pass
}

// doubled counts one record too many.
func doubled(data map[string]any) {
	in := data["inputs"].(map[string]any)["in"].(map[string]any)
	in["records"] = in["records"].(float64) + 1
}

func removes(field string) func(map[string]any) {
	return func(data map[string]any) { delete(data, field) }
}

func sets(field string, value any) func(map[string]any) {
	return func(data map[string]any) { data[field] = value }
}

// A long duration, for settings.
const never = 24 * time.Hour
