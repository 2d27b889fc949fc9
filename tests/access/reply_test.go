package access

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/joblog"
	"github.com/dagyo/dagyo/pkg/stream"
)

// The server publishes answers where the requester likes, without asking for permissions. None of them leaves the account
// of clients, whatever the stored message, the request and the subject of the answer are.
func TestAnswersStayOutside(t *testing.T) {
	x := install(t)
	services := x.connect(access.Planner, "planner", "")
	js := must(jetstream.New(services))
	link := &broker.Link{Conn: services, JS: js}
	check(broker.Ensure(t.Context(), link, broker.DefaultConfig(), joblog.StreamConfig(1, joblog.DefaultLimits())))
	must(js.CreateStream(t.Context(), stream.ShardConfig("0", jetstream.MemoryStorage)))

	ada := x.connect(access.User, "ada", "")
	send := func(subject, reply string, header nats.Header, data []byte) {
		t.Helper()
		check(ada.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Header: header, Data: data}))
		check(ada.Flush())
	}
	store := func(subject string, header nats.Header, data []byte) {
		t.Helper()
		must(ada.RequestMsg(&nats.Msg{Subject: subject, Header: header, Data: data}, 10*time.Second))
	}
	// Messages of ada that are events of bob, API requests and more, with and without headers of the broker.
	forged := must(event.Encode(contract.Event{
		ID: "1", Type: contract.TypeFlowCancel, Source: "/users/bob", Subject: "f", Time: time.Now(), By: "bob",
		Data: &contract.FlowCancel{Flow: "f"},
	}))
	empty := nats.Header{"Nats-Stream": {""}, "Content-Type": forged.Header["content-type"]}
	bodies := [][]byte{forged.Data, []byte(`{"seq":1}`), []byte(`{"name":"PWN","subjects":["_INBOX.person.bob.>"]}`)}
	var asks [][2]string // subject and body of requests for what was stored
	for i, body := range bodies {
		for j, header := range []nats.Header{nil, forged.Header, empty} {
			frame := fmt.Sprintf("edges.0.z.frame.%d.%d", i+1, j+1)
			store(frame, header, body)
			asks = append(asks, [2]string{access.BridgedAPI + "DIRECT.GET.EDGES-0." + frame, ""})
		}
	}
	store("flow.submit.by.ada", forged.Header, forged.Data)
	for _, body := range []string{`{"seq":1}`, `{"seq":1,"no_hdr":true}`, `{"seq":1,"batch":1}`} {
		asks = append(asks, [2]string{access.BridgedAPI + "DIRECT.GET.EVENTS", body}, [2]string{access.BridgedAPI + "STREAM.MSG.GET.EVENTS", body})
	}
	asks = append(asks, [2]string{"flow.submit.by.ada", "acknowledge"}, [2]string{"ask.executors", ""})
	targets := []string{
		"flow.cancel.by.bob", "flow.cancel.operator.bob", "flow.submit.by.bob", "progdef.apply.by.bob", "flow.cancel", "progdef.apply",
		"log.f.j.by.x1", "job.done.f.j.by.x1", contract.StartedBy("job.started.f.j", "p-r1", "x1"), "executor.draining.p.x1.by.x1", contract.NameSubject("x1"),
		"events.flow.completed.f", contract.LeaseSubject("validator"), "$KV.progdefs.greet", "snapshot.planner.1", contract.SubjectHistory,
		"jobs.greet.0123.f.j", "edges.0.victim.frame.1.1", "edges.0.victim.credit.1", "edges.0.victim.stop", "$O.data.M.x",
		"edges.0.victim.frame.1.1.by.bob", "edges.0.victim.credit.1.by.x1", "edges.0.victim.frame.1.1.by.-", contract.SecretSubject(contract.SecretOfEdges),
		"$JS.API.STREAM.CREATE.PWN", "$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.MSG.DELETE.EVENTS",
		access.BridgedAPI + "STREAM.CREATE.PWN", access.BridgedAPI + "STREAM.MSG.DELETE.EVENTS", access.BridgedAPI + "DIRECT.GET.EVENTS",
	}
	before := content(t, js)
	for _, to := range targets {
		for _, ask := range asks {
			send(ask[0], to, nil, []byte(ask[1]))
		}
	}
	time.Sleep(300 * time.Millisecond)
	check(services.Flush())
	after := content(t, js)
	if _, err := link.LeaderMessage(t.Context(), contract.StreamEvents, broker.Query{Seq: 1}); err != nil {
		t.Errorf("the first event: %v", err)
	}
	delete(before, "EVENTS flow.submit.by.ada") // acknowledged once for each target
	delete(after, "EVENTS flow.submit.by.ada")
	if !maps.Equal(before, after) {
		t.Errorf("before: %v\nafter: %v", before, after)
	}
}

// content returns how many messages each stream holds on each subject.
func content(t *testing.T, js jetstream.JetStream) map[string]uint64 {
	t.Helper()
	out := make(map[string]uint64)
	names := js.StreamNames(t.Context())
	for name := range names.Name() {
		info := must(must(js.Stream(t.Context(), name)).Info(t.Context(), jetstream.WithSubjectFilter(">")))
		out[name] = info.State.LastSeq
		if name == contract.StreamEvents {
			out[name] = 0
		}
		for subject, n := range info.State.Subjects {
			out[name+" "+subject] = n
		}
	}
	check(names.Err())
	return out
}
