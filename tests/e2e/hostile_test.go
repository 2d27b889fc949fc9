package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// A client uses every message id that a service or an executor might use. That has no effect on them.
func TestHostileMessageIDs(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	c.ApplyFaulty(t, harness.Faulty{Name: "returns-error", Out: true})
	take := func(id string) {
		t.Helper()
		e := contract.FlowCancel{Flow: "nothing", Reason: "takes an id"}
		data, err := json.Marshal(map[string]any{
			"specversion": "1.0", "id": id, "type": contract.TypeFlowCancel, "source": "/hostile", "subject": e.Flow, "data": e,
		})
		if err != nil {
			t.Fatal(err)
		}
		m := &nats.Msg{Subject: string(contract.TypeFlowCancel), Data: data, Header: nats.Header{"Nats-Msg-Id": {id}}}
		if _, err := c.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	info := func() uint64 {
		events, err := c.JS.Stream(t.Context(), contract.StreamEvents)
		if err != nil {
			t.Fatal(err)
		}
		return events.CachedInfo().State.LastSeq
	}
	flows := map[string]string{"victim": words, "failing": alone("returns-error"), "cancelled": words}
	verbs := []string{
		"verdict", "judged", "answer", "act", "said", "flow.validated", "flow.planned", "flow.queued", "flow.spawned",
		"flow.completed", "flow.panic", "flow.cancelled", "flow.rejected", "flow.cleaned",
	}
	last := info()
	for flow := range flows {
		for _, verb := range verbs {
			id := verb + "." + flow
			take(id)
			take("events." + id)
			take("/dagyo/" + id)
			for n := range uint64(40) {
				take(fmt.Sprintf("%s.%d", id, n))
			}
		}
		for _, verb := range []string{"job.started", "job.done", "job.panic"} {
			for _, job := range []string{"words", "sink", "bad"} {
				take(verb + "." + flow + "." + job)
				take(verb + "." + flow + "." + job + ".0")
			}
		}
	}
	for n := range uint64(50) {
		for _, form := range []string{"deadletter.%d", "answer.%d", "judged.%d", "tick.%d"} {
			take(fmt.Sprintf(form, last+n))
		}
	}
	take("tick")
	for flow, document := range flows {
		c.Submit(t, flow, document)
	}
	c.Cancel(t, "cancelled")
	completed(t, c.AwaitEnd(t, "victim"))
	panicked(t, c.AwaitEnd(t, "failing"))
	c.AwaitEnd(t, "cancelled")
	for flow := range flows {
		c.Await(t, "clean-up of "+flow, harness.Is(contract.TypeFlowCleaned, flow))
		oneEnd(t, c, flow)
	}
	s.AwaitNothingLeft(t, c)
}
