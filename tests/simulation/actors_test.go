package simulation

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
)

// command publishes what a user sends.
func (w *world) command(t contract.Type, subject string, data any) {
	id := fmt.Sprintf("%s.%s.%d", t, subject, len(w.log))
	w.publish(contract.Event{Type: t, Subject: subject, Source: "/user", Data: data, MsgID: id})
}

func (w *world) submit(flow string, document string) {
	w.command(contract.TypeFlowSubmit, flow, json.RawMessage(document))
}

func (w *world) cancel(flow string) {
	w.command(contract.TypeFlowCancel, flow, &contract.FlowCancel{Flow: flow})
}

// claimOne has a live executor with a free slot claim a job. It reports whether one could.
func (w *world) claimOne(pick func(n int) int) bool {
	j, executor, ok := w.take(pick)
	if ok && w.sayStarted(j, executor) {
		w.running[j.Flow+"."+j.Job] = claim{j, executor}
	}
	return ok
}

// dieClaiming has an executor die right behind its job.started; the news of its end is faster.
func (w *world) dieClaiming(pick func(n int) int) {
	if j, executor, ok := w.take(pick); ok {
		w.exit(executor, 3)
		w.sayStarted(j, executor)
		w.lost[j.Flow+"."+j.Job] = claim{j, executor}
	}
}

func (w *world) sayStarted(j contract.Job, executor string) bool {
	return w.publish(contract.Event{
		Type: contract.TypeJobStarted, Subject: j.Flow, Once: true,
		Data: &contract.JobStarted{Job: j.Job, Executor: executor},
	})
}

// take takes a job off the mailbox for a live executor with a free slot.
func (w *world) take(pick func(n int) int) (j contract.Job, executor string, ok bool) {
	type option struct {
		job      int
		executor string
	}
	var options []option
	for i, j := range w.mailbox {
		for _, id := range slices.Sorted(maps.Keys(w.executors)) {
			x := w.executors[id]
			if x.mailbox == contract.Mailbox(j.Progdef, j.Revision) && !x.draining && w.busy(id) < slotsOf(j.Progdef) {
				options = append(options, option{i, id})
			}
		}
	}
	if len(options) == 0 {
		return j, "", false
	}
	o := options[pick(len(options))]
	j = w.mailbox[o.job]
	w.mailbox = slices.Delete(w.mailbox, o.job, o.job+1)
	return j, o.executor, true
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

// finishOne has a running job end: stopped when its flow is over, else as fail says.
func (w *world) finishOne(pick func(n int) int, fail bool) bool {
	keys := slices.Sorted(maps.Keys(w.running))
	if len(keys) == 0 {
		return false
	}
	key := keys[pick(len(keys))]
	c := w.running[key]
	delete(w.running, key)
	stopped := w.over(c.job.Flow)
	if fail && !stopped {
		w.publish(contract.Event{Type: contract.TypeJobPanic, Subject: c.job.Flow, Data: &contract.JobPanic{
			Job: c.job.Job, Executor: c.executor, Failure: contract.Failure{Kind: contract.KindError, Message: "boom"},
		}})
		return true
	}
	w.publish(contract.Event{Type: contract.TypeJobDone, Subject: c.job.Flow, Data: &contract.JobDone{
		Job: c.job.Job, Executor: c.executor, Stopped: stopped,
	}})
	return true
}

// sweep is the planner's: jobs that were posted after their flow was cleaned up are purged.
func (w *world) sweep() {
	w.mailbox = slices.DeleteFunc(w.mailbox, func(j contract.Job) bool {
		return w.subjects[string(contract.TypeFlowCleaned)+"."+j.Flow]
	})
}

// over reports whether the flow has its verdict.
func (w *world) over(flow string) bool {
	return slices.ContainsFunc(w.log, func(e contract.Event) bool {
		return e.Subject == flow && contract.IsVerdict(e.Type)
	})
}

// exitOne has an executor go: a draining one without jobs in peace, any other by a crash.
func (w *world) exitOne(pick func(n int) int, crash bool) bool {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(w.executors)) {
		if crash || w.executors[id].draining && w.busy(id) == 0 {
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
	w.exit(ids[pick(len(ids))], code)
	return true
}

func (w *world) exit(id string, code int) {
	progdef, revision := split(w.executors[id].mailbox)
	delete(w.executors, id)
	maps.DeleteFunc(w.running, func(_ string, c claim) bool { return c.executor == id })
	w.publish(contract.Event{Type: contract.TypeExecutorExited, Subject: id, Data: &contract.ExecutorExited{
		Executor: id, Progdef: progdef, Revision: revision, Code: code,
	}})
}

func split(mailbox string) (progdef, revision string) {
	for i := range len(mailbox) {
		if mailbox[i] == '.' {
			return mailbox[:i], mailbox[i+1:]
		}
	}
	return mailbox, ""
}

func pickFrom(t *rapid.T) func(n int) int {
	return func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }
}

// slotsOf is jobsPerExecutor of the simulated progdefs.
func slotsOf(progdef string) int { return map[string]int{"a": 1, "b": 2}[progdef] }
