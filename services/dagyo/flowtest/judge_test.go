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
		{"completed, not expected", `{"panic": {}}`, completed, "completed, but should have panicked"},
		{"completed, not rejected", `{"rejected": [{"code": "cycle"}]}`, completed,
			"completed, but should have been rejected"},
		{"cancelled", `{}`, cancelled, "was cancelled, but should have completed"},
		{"any panic", `{"panic": {}}`, panicked, ""},
		{"this panic", `{"panic": {"kind": "error", "node": "boom", "message": "model$", "port": "in",
			"record": 3}}`, panicked, ""},
		{"another node", `{"panic": {"node": "bang"}}`, panicked, `got node "boom", want "bang"`},
		{"of the flow itself", `{"panic": {"node": ""}}`, panicked, `got node "boom", want ""`},
		{"another port and record", `{"panic": {"port": "a", "record": 2}}`, panicked,
			`got port "in", want "a"; got record 3, want 2`},
		{"another message", `{"panic": {"message": "^model"}}`, panicked,
			`message "no such model" does not match "^model"`},
		{"these problems", `{"rejected": [{"code": "cycle"}, {"code": "cycle", "pointer": "/edges/0"}]}`,
			rejected, ""},
		{"fewer problems", `{"rejected": [{"code": "cycle"}]}`, rejected, "not with the expected problems"},
		{"more problems", `{"rejected": [{"code": "cycle"}, {"code": "cycle"}, {"code": "cycle"}]}`, rejected,
			"not with the expected problems"},
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
