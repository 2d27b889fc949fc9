package e2e

import (
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// Each kind of failure has its own kind of panic and a message that describes it.
func TestPanicKinds(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 10})
	zero := int64(2)
	tests := map[string]struct {
		kind    contract.Kind
		job     string
		message string
		detail  string
		port    string
		record  *int64
	}{
		"returns-error": {kind: contract.KindError, job: "bad", message: "the model diverged"},
		"go-panics":     {kind: contract.KindError, job: "bad", message: "panic: index out of range", detail: "faulty.go"},
		"exits-zero":    {kind: contract.KindCrash, job: "bad", message: "exited with code 0"},
		"exits-three":   {kind: contract.KindCrash, job: "bad", message: "exited with code 3", detail: "out of memory"},
		"kills-itself":  {kind: contract.KindCrash, job: "bad", message: "signal"},
		"stops-itself":  {kind: contract.KindLostHealth, job: "bad", message: "no heartbeat for 1s"},
		"never-starts":  {kind: contract.KindCrash, job: "bad", message: "before they started a job", detail: "no such model"},
		"quits-at-once": {kind: contract.KindCrash, job: "bad", message: "exited with code 0"},
		"garbles":       {kind: contract.KindProtocol, job: "sink", message: "edges.", port: "in"},
		"mislabels":     {kind: contract.KindDeserialization, job: "sink", message: "not valid UTF-8", port: "in", record: &zero},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			c.ApplyFaulty(t, harness.Faulty{Name: name, Out: true})
			c.Submit(t, name, alone(name))
			got := panicked(t, c.AwaitEnd(t, name))
			if got.Cause.Kind != want.kind || got.Cause.Job != want.job {
				t.Errorf("cause is %s of %q, want %s of %q: %+v", got.Cause.Kind, got.Cause.Job, want.kind, want.job, got)
			}
			if !strings.Contains(got.Cause.Message, want.message) {
				t.Errorf("message %q does not contain %q", got.Cause.Message, want.message)
			}
			if !strings.Contains(got.Cause.Detail, want.detail) {
				t.Errorf("detail %q does not contain %q", got.Cause.Detail, want.detail)
			}
			if got.Cause.Port != want.port {
				t.Errorf("port %q, want %q", got.Cause.Port, want.port)
			}
			if want.record != nil && (got.Cause.Record == nil || *got.Cause.Record != *want.record) {
				t.Errorf("record %v, want %d", got.Cause.Record, *want.record)
			}
			oneEnd(t, c, name)
		})
	}
}

// A job that blocks forever still sends beats: the flow's deadline ends it. Its executor, whose slot is lost, is
// replaced.
func TestBlockedJob(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 10})
	c.ApplyFaulty(t, harness.Faulty{Name: "blocks", Out: true})
	flow := strings.Replace(alone("blocks"), "{", `{"deadline": "3s",`, 1)
	for _, id := range []string{"blocked-1", "blocked-2"} {
		c.Submit(t, id, flow)
		got := panicked(t, c.AwaitEnd(t, id))
		names := strings.Contains(got.Cause.Message, "bad (") || id == "blocked-2" && strings.Contains(got.Cause.Message, "1 slot of blocks")
		if got.Cause.Kind != contract.KindDeadline || !names {
			t.Errorf("cause is %+v, want a deadline that names the job, or the slot that it was waiting for", got.Cause)
		}
		oneEnd(t, c, id)
	}
}

// A failing job only affects its own flow.
func TestGoodFlowsBesideBadOnes(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	c.ApplyFaulty(t, harness.Faulty{Name: "exits-three", Out: true})
	c.Submit(t, "bad", alone("exits-three"))
	c.Submit(t, "good", words)
	completed(t, c.AwaitEnd(t, "good"))
	panicked(t, c.AwaitEnd(t, "bad"))
}
