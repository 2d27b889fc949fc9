package flowtest

import (
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

func event(t contract.Type, data any) contract.Event {
	return contract.Event{Type: t, Subject: "f", Data: data}
}

func TestVerdictsAreJudged(t *testing.T) {
	third := int64(3)
	panicked := event(contract.TypeFlowPanic, &contract.FlowPanic{Cause: contract.JobFailure{
		Job: "boom", Failure: contract.Failure{
			Kind: contract.KindError, Message: "no such model", Port: "in", Record: &third,
		},
	}})
	rejected := event(contract.TypeFlowRejected, &contract.FlowRejected{Problems: problem.List{
		{Code: problem.Cycle, Pointer: "/edges/0"}, {Code: problem.Cycle, Pointer: "/edges/1"},
	}})
	completed := event(contract.TypeFlowCompleted, &contract.FlowCompleted{})
	cancelled := event(contract.TypeFlowCancelled, &contract.FlowCancelled{})
	for _, tt := range []struct {
		name     string
		document string
		e        contract.Event
		want     string // in the failure's message; "" where there is none
	}{
		{"completed", `{}`, completed, ""},
		{"completed, not expected", `{"panic": {}}`, completed, "should have panicked, but it completed"},
		{"completed, not rejected", `{"rejected": [{"code": "cycle"}]}`, completed,
			"should have been rejected, but it completed"},
		{"cancelled", `{}`, cancelled, "should have completed, but it was cancelled"},
		{"any panic", `{"panic": {}}`, panicked, ""},
		{"this panic", `{"panic": {"kind": "error", "node": "boom", "message": "model$", "port": "in",
			"record": 3}}`, panicked, ""},
		{"another node", `{"panic": {"node": "bang"}}`, panicked, `node is "boom", not "bang"`},
		{"of the flow itself", `{"panic": {"node": ""}}`, panicked, `node is "boom", not ""`},
		{"another port and record", `{"panic": {"port": "a", "record": 2}}`, panicked,
			`port is "in", not "a"; record is 3, not 2`},
		{"another message", `{"panic": {"message": "^model"}}`, panicked,
			`message "no such model" does not match "^model"`},
		{"these problems", `{"rejected": [{"code": "cycle"}, {"code": "cycle", "pointer": "/edges/0"}]}`,
			rejected, ""},
		{"fewer problems", `{"rejected": [{"code": "cycle"}]}`, rejected, "for other problems"},
		{"more problems", `{"rejected": [{"code": "cycle"}, {"code": "cycle"}, {"code": "cycle"}]}`, rejected,
			"for other problems"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := parseDocument([]byte(tt.document))
			if err != nil {
				t.Fatal(err)
			}
			got := d.judgeVerdict(tt.e)
			if tt.want == "" && got != nil || tt.want != "" &&
				(len(got) != 1 || !strings.Contains(got[0].Message, tt.want)) {
				t.Errorf("got %+v, want %q", got, tt.want)
			}
		})
	}
}
