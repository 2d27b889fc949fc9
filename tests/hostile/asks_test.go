package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/services/validator"
	"github.com/dagyo/dagyo/tests/harness"
)

// serve runs a service until the test ends. It returns once a question of it is answered.
func serve(t *testing.T, link *broker.Link, run func(context.Context) error, question string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(harness.Patience); ; {
		_, err := link.Request(question, nil, time.Second)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func startValidator(t *testing.T) *broker.Link {
	t.Helper()
	return validate(t, connect(t))
}

func validate(t *testing.T, link *broker.Link) *broker.Link {
	t.Helper()
	run := func(ctx context.Context) error { return validator.Run(ctx, link, validator.DefaultConfig()) }
	serve(t, link, run, contract.AskCatalogList)
	return link
}

// Every question has a short answer, however long it is itself.
func TestQuestionsAreBounded(t *testing.T) {
	link := startValidator(t)
	long := strings.Repeat("x", maxPayload-100)
	for subject, body := range map[string]string{
		contract.AskCatalogGet:        long,
		contract.AskCatalogList:       long,
		contract.AskCatalogTypes:      long,
		contract.AskCatalogCheck:      fmt.Sprintf(`{%q: 1}`, long[:len(long)-10]),
		contract.AskCatalogCompatible: fmt.Sprintf(`{%q: 1}`, long[:len(long)-10]),
		contract.AskFlowValidate:      fmt.Sprintf(`{%q: 1}`, long[:len(long)-10]),
	} {
		for _, subject := range []string{subject, subject + ".by.eve"} {
			m, err := link.Request(subject, []byte(body), harness.Patience)
			if err != nil {
				t.Errorf("%s: %v", subject, err)
			} else if m.Size() > 8<<10 {
				t.Errorf("%s: an answer of %d bytes", subject, m.Size())
			}
		}
	}
	m, err := link.Request(contract.AskCatalogGet, []byte(long[:1000]), harness.Patience)
	if err != nil || len(m.Header.Get(micro.ErrorHeader)) > 400 || m.Header.Get(micro.ErrorCodeHeader) != "400" {
		t.Errorf("%v, %v", m, err)
	}
}

// An answer that does not fit into a message is an error, which says so.
func TestAnswersFitIntoMessages(t *testing.T) {
	link := validate(t, connectTo(t, broker.MinPayload))
	answers := make(chan string, 1)
	if _, err := link.Subscribe("progdef.*.*", func(m *nats.Msg) { answers <- m.Subject + string(m.Data[:min(len(m.Data), 1000)]) }); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		name := fmt.Sprint("wide", i)
		doc, err := json.Marshal(map[string]any{
			"name": name, "description": strings.Repeat("\U0001F642", 4000), "command": []string{"x", strings.Repeat("y", 60000)},
		})
		if err != nil {
			t.Fatal(err)
		}
		m, err := link.Encode(t.Context(), event.New(contract.TypeProgdefApply, "/t", name, doc, time.Now()))
		if err == nil {
			_, err = link.JS.PublishMsg(t.Context(), m)
		}
		if err != nil {
			t.Fatal(err)
		}
		if answer := <-answers; !strings.HasPrefix(answer, "progdef.applied.") {
			t.Fatal(answer)
		}
	}
	answer, err := link.Request(contract.AskCatalogList, nil, harness.Patience)
	if err != nil || !strings.Contains(answer.Header.Get(micro.ErrorHeader), "raise max_payload") {
		t.Errorf("%v", err)
	}
}

// A client with many large questions does not keep the others waiting, and gets an answer to each.
func TestFloodOfQuestions(t *testing.T) {
	const flood, asks = 100, 4 // of one sender, as many are answered at the same time
	link := startValidator(t)
	var nodes []string
	for i := range 7000 {
		nodes = append(nodes, fmt.Sprintf(`"n%d": {"progdef": "nobody", "with": {"in": ["%060d"]}}`, i, i))
	}
	document := []byte(`{"nodes": {` + strings.Join(nodes, ",") + `}}`)
	answers := make(chan *nats.Msg, flood+2)
	inbox := link.NewInbox()
	last := fmt.Sprintf("%s.eve-%d", inbox, flood-1)
	// One subscription, so that the answers come in the order in which they were given.
	if _, err := link.ChanSubscribe(inbox+".*", answers); err != nil {
		t.Fatal(err)
	}
	for i := range flood {
		if err := link.PublishRequest(contract.AskFlowValidate+".by.eve", fmt.Sprintf("%s.eve-%d", inbox, i), document); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []string{contract.AskFlowValidate, contract.AskCatalogList} {
		if err := link.PublishRequest(subject+".by.ada", inbox+".ada", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	served, refused, after := 0, 0, 0 // of the flood; after the others had their answers
	full := false                     // the line of the flood was when the others asked
	late := time.After(harness.Patience)
	for others := 2; served+refused < flood || others > 0; {
		select {
		case m := <-answers:
			code := m.Header.Get(micro.ErrorCodeHeader)
			switch {
			case strings.HasSuffix(m.Subject, ".ada"):
				if others--; code != "" {
					t.Errorf("refused with %s", code)
				}
			case code == "429":
				refused++
				full = full || m.Subject == last
			default:
				if served++; others == 0 {
					after++
				}
			}
		case <-late:
			t.Fatalf("%d answers to %d questions, and %d of the others' are missing", served+refused, flood, others)
		}
	}
	// In the order in which they came, those of others would overtake no more than what is being answered. In turns, they
	// overtake what waits, too: as much as is allowed to.
	if waiting := (16 << 20) / len(document); full && after < waiting-asks {
		t.Errorf("%d questions of the flood were answered after those of another sender; %d waited", after, waiting)
	}
	t.Logf("%d bytes each; %d refused, the last one: %v; %d served after the others", len(document), refused, full, after)
}
