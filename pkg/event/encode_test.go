package event_test

import (
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

// Messages of programs contain any bytes; lists and objects that are nil are not null; false and 0 are omitted where
// they mean nothing.
func TestEncodePanicOfAProgram(t *testing.T) {
	e := contract.Event{
		Type: contract.TypeFlowPanic, Source: "/dagyo/test", Subject: "f", Time: time.Unix(1, 0),
		Data: &contract.FlowPanic{Cause: contract.JobFailure{Failure: contract.Failure{Message: "<a>\xff"}}},
	}
	m, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	const want = `"data":{"duration":"0s","cause":{"kind":"","message":"<a>` + "\ufffd" + `"},"others":[],"jobs":{},"edges":[]}}`
	if !strings.HasSuffix(string(m.Data), want) {
		t.Errorf("encoded %s, want it to end in %s", m.Data, want)
	}
	if _, err := event.Decode(m.Subject, m.Header, m.Data); err != nil {
		t.Error(err)
	}
}
