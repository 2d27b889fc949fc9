package access

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// The server publishes answers where the requester likes, without asking for permissions. So a user can have an
// acknowledgement, or a message that was stored before, published on any subject of the account of edges, and of the
// other account on the subjects of bridges. Nothing that is stored there so is an event.
func TestAnswersOnSubjectsOfOthers(t *testing.T) {
	x := install(t)
	services := x.connect(access.Planner, access.Events, "planner", "")
	js := must(jetstream.New(services.Conn))
	edges := x.connect(access.Planner, access.Edges, "planner", "")
	link := broker.Join(&broker.Link{Conn: services.Conn, JS: js}, &broker.Link{Conn: edges.Conn, JS: must(jetstream.New(edges.Conn))})
	check(broker.Ensure(t.Context(), link, broker.DefaultConfig()))

	ada := x.connect(access.User, access.Edges, "ada", "")
	forged := must(event.Encode(contract.Event{
		ID: "1", Type: contract.TypeFlowCancel, Source: "/users/bob", Subject: "f", Time: time.Now(), By: "bob",
		Data: &contract.FlowCancel{Flow: "f"},
	}))
	send := func(subject, reply string, header nats.Header, data []byte) {
		t.Helper()
		check(ada.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Header: header, Data: data}))
		check(ada.Flush())
	}
	// Stored with the headers of an event of bob, and then requested from where bob would publish it.
	send("$O."+contract.BucketData+".C.x", "", forged.Header, forged.Data)
	send("flow.submit.by.ada", "", forged.Header, forged.Data)
	targets := []string{
		"flow.cancel.by.bob", "flow.cancel.operator.bob", "flow.cancel", "events.flow.completed.f", "flow.completed.f",
		contract.LeaseSubject("validator"), "$KV.progdefs.greet", "snapshot.planner.1", contract.SubjectHistory, "jobs.greet.0123.f.j",
		"job.done.f.j.by.x1", "name.x1",
	}
	for _, to := range targets {
		send("$JS.API.STREAM.MSG.GET.OBJ_data", to, nil, []byte(`{"seq":1}`))
		send("$JS.API.DIRECT.GET.EVENTS", to, nil, []byte(`{"seq":1}`))
		send("flow.submit.by.ada", to, nil, []byte("acknowledge"))
	}
	time.Sleep(100 * time.Millisecond)
	check(services.Flush())
	for _, name := range []string{contract.StreamLeases, contract.StreamJobs, "KV_" + contract.BucketProgdefs} {
		info := must(must(js.Stream(t.Context(), name)).Info(t.Context(), jetstream.WithSubjectFilter(">")))
		for subject := range info.State.Subjects {
			if subject != "name.x1" { // executors take their names over a bridge
				t.Errorf("%s holds %s", name, subject)
			}
		}
	}
	last := must(must(js.Stream(t.Context(), contract.StreamEvents)).Info(t.Context())).State.LastSeq
	copies := 0
	for seq := uint64(1); seq <= last; seq++ {
		raw := must(link.LeaderMessage(t.Context(), contract.StreamEvents, broker.Query{Seq: seq}))
		m := event.NewStored(event.Place{Seq: seq, At: raw.Time}, raw.Subject)
		m.Decode(raw.Header, raw.Data)
		if len(m.Problems) == 0 {
			t.Errorf("%s is an event: %s", raw.Subject, raw.Data)
			continue
		}
		if m.Problems[0].Code == problem.Relayed {
			copies++
		}
		if len(raw.Subject) > 6 && raw.Subject[:7] == "flow.co" {
			t.Errorf("EVENTS holds %s", raw.Subject)
		}
	}
	if copies == 0 {
		t.Error("no copy of a stored message arrived: the test tests nothing")
	}
	if refused := ada.refused(); len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
}
