package simulation

import (
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// forge publishes a forged event in the name of its service.
func (w *world) forge(service string, e contract.Event) {
	e.Source = contract.Source(service)
	w.inconsistent, w.tainted[e.Subject] = true, true
	w.publish(e)
}

const forgeries = 15

// hostile publishes events that contradict the others in EVENTS.
func (w *world) hostile(which int, id string) {
	switch which % forgeries {
	case 0:
		w.forge("validator", contract.Event{Type: contract.TypeFlowValidated, Subject: id, Data: badFlow()})
	case 1:
		w.forge("planner", contract.Event{Type: contract.TypeFlowPlanned, Subject: id, Data: w.badPlan(id)})
	case 2:
		w.forge("planner", contract.Event{Type: contract.TypeFlowCleaned, Subject: id, Data: &contract.FlowCleaned{}})
	case 3:
		w.forge("spawner", contract.Event{Type: contract.TypeFlowSpawned, Subject: id, Data: &contract.FlowSpawned{Jobs: 7}})
	case 4:
		w.repeat(id)
	case 5:
		w.publish(contract.Event{Type: contract.TypeJobDone, Subject: id, Data: &contract.JobDone{Job: "x", Executor: "nobody"}})
	case 6:
		w.publish(contract.Event{Type: contract.TypeJobPanic, Subject: id, Data: &contract.JobPanic{
			Job: "x", Executor: "nobody", Failure: contract.Failure{Kind: contract.KindError, Message: "boom"},
		}})
	case 7:
		w.publish(contract.Event{Type: contract.TypeExecutorExited, Subject: "ghost", Data: &contract.ExecutorExited{
			Executor: "ghost", Progdef: "a", Revision: w.catalog["a"].Revision, Code: 1, Reason: "no", Permanent: true,
		}})
	case 8:
		w.publish(contract.Event{Type: contract.TypeExecutorDraining, Subject: "phantom", Data: &contract.ExecutorDraining{
			Executor: "phantom", Progdef: "a", Revision: "r", Reason: "no",
		}})
	case 9:
		w.ghosts++
		w.publish(contract.Event{Type: contract.TypeExecutorStarted, Subject: "spectre", Data: &contract.ExecutorStarted{
			Executor: "spectre", Progdef: "a", Revision: w.catalog["a"].Revision,
		}})
	case 10:
		w.cancel(nobody, "nothing")
	case 11, 12, 13, 14:
		w.impersonate(which)
	}
}

// impersonate lets an executor report the end of a job of another one, as itself or in the name of the other, or lets it
// publish a second job.started, on a subject of another form.
func (w *world) impersonate(which int) {
	all := w.sortedRunning()
	if len(all) == 0 {
		return
	}
	c := all[which/forgeries%len(all)]
	started := w.sender(c.executor, c.job.Progdef) != ""
	e := contract.Event{Type: contract.TypeJobDone, Subject: c.job.Flow, By: "intruder"}
	switch which % forgeries {
	case 11:
		e.Data = &contract.JobDone{Job: c.job.Job, Executor: "intruder"}
	case 12:
		e.Data = &contract.JobDone{Job: c.job.Job, Executor: c.executor}
	case 13:
		e.Type, e.Data = contract.TypeJobStarted, &contract.JobStarted{Job: c.job.Job, Executor: "intruder"}
		if started {
			e.By = "" // an executor of the previous version
		} else {
			e.Mailbox = contract.MailboxConsumer(c.job.Progdef, c.job.Revision)
		}
	case 14:
		w.steal(which / forgeries)
		return
	}
	w.happened["impersonations"]++
	w.publish(e)
}

// steal lets an executor of another mailbox start a job that waits or runs. Its subject is not one that an executor of
// the job's mailbox uses.
func (w *world) steal(which int) {
	jobs := slices.Clone(w.mailbox)
	for _, c := range w.sortedRunning() {
		jobs = append(jobs, c.job)
	}
	if len(jobs) == 0 {
		return
	}
	j := jobs[which%len(jobs)]
	w.happened["thefts"]++
	w.publish(contract.Event{
		Type: contract.TypeJobStarted, Subject: j.Flow, By: "intruder", Mailbox: "other-1",
		Data: &contract.JobStarted{Job: j.Job, Executor: "intruder"},
	})
}

// badFlow is a flow whose edge has no end.
func badFlow() *contract.FlowValidated {
	return &contract.FlowValidated{
		Flow: flow.Flow{
			Nodes:    map[string]flow.Node{"x": {Progdef: "a", Revision: "none"}},
			Edges:    []flow.Edge{{From: "x.out", To: "missing.in", Type: "json"}},
			Deadline: document.Duration(3 * time.Second),
		},
		Progdefs: map[string]progdef.Pinned{},
	}
}

// badPlan is a plan with a job of a progdef that the plan lacks.
func (w *world) badPlan(id string) *contract.FlowPlanned {
	return &contract.FlowPlanned{
		Jobs:  []contract.Job{{Flow: id, Job: "x", Node: "x", Progdef: "missing", Revision: "none"}},
		Edges: []contract.PlannedEdge{}, Progdefs: map[string]progdef.Pinned{},
		Deadline: w.now.Add(3 * time.Second), Stop: contract.StopSubject("0", id),
	}
}

// repeat publishes the last event of a flow again, unless that is a verdict.
func (w *world) repeat(id string) {
	for i := len(w.log) - 1; i >= 0; i-- {
		e := w.log[i].Event
		if e.Subject != id || !w.log[i].readable {
			continue
		}
		switch e.Type {
		case contract.TypeFlowValidated, contract.TypeFlowPlanned, contract.TypeFlowSpawned, contract.TypeFlowCleaned:
			w.inconsistent, w.tainted[id] = true, true
			e.ID, e.Raw, e.Seq = "", nil, 0
			w.publish(e)
			return
		}
	}
}
