package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/tests/harness"
)

// Every bad input gets a clear answer, every service stays up, and the next good flow runs.
func TestBadInput(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 10, 1)

	structured := func(subject, data string) []byte {
		return fmt.Appendf(nil, `{"specversion":"1.0","id":"i","type":"flow.submit","source":"/t","subject":%q,"data":%s}`, subject, data)
	}
	rejections := []struct {
		name, data string
		code       problem.Code
		pointer    string
	}{
		{"not-json", `{"nodes": `, problem.NotJSON, ""},
		{"an-array", `[]`, problem.SchemaMismatch, ""},
		{"unknown-field", `{"nodez": {}}`, problem.UnknownField, "/nodez"},
		{"twice", `{"nodes": {"a": {"progdef": "words"}, "a": {"progdef": "words"}}, "edges": []}`, problem.DuplicateKey, "/nodes/a"},
		{"deep", strings.Repeat(`{"nodes":`, 100) + `{}` + strings.Repeat(`}`, 100), problem.TooDeep, "*"},
		{"dotted-node", `{"nodes": {"a.b": {"progdef": "words"}}}`, problem.BadName, "/nodes/a.b"},
		{"star-node", `{"nodes": {"*": {"progdef": "words"}}}`, problem.BadName, "/nodes/*"},
		{"arrow-node", `{"nodes": {">": {"progdef": "words"}}}`, problem.BadName, "/nodes/>"},
		{"space-node", `{"nodes": {"a b": {"progdef": "words"}}}`, problem.BadName, "/nodes/a b"},
		{"star-progdef", `{"nodes": {"a": {"progdef": "*"}}}`, problem.UnknownProgdef, "/nodes/a/progdef"},
		{"big", `{"nodes": {}, "edges": [], "x": "` + strings.Repeat("x", 5<<20) + `"}`, problem.TooLarge, ""},
	}
	for _, x := range rejections {
		t.Run(x.name, func(t *testing.T) {
			send(t, c, "flow.submit", binaryHeader(x.name), []byte(x.data))
			end := c.AwaitEnd(t, x.name)
			d, ok := end.Data.(*contract.FlowRejected)
			if !ok {
				t.Fatalf("%s, want flow.rejected", end.Type)
			}
			expect(t, d.Problems, x.code, x.pointer)
		})
	}

	for name, ref := range map[string]string{
		"ref-of-the-web": "https://example.com/x", "ref-to-nothing": "nats-object://data/x",
		"ref-elsewhere": "nats-object://OTHER/x",
	} {
		t.Run(name, func(t *testing.T) {
			header := binaryHeader(name)
			header.Set("ce-dataref", ref)
			send(t, c, "flow.submit", header, nil)
			d, ok := c.AwaitEnd(t, name).Data.(*contract.FlowRejected)
			if !ok {
				t.Fatal("not rejected")
			}
			expect(t, d.Problems, problem.NotCloudEvent, "/dataref")
		})
	}

	letters := []struct {
		name, subject string
		header        nats.Header
		data          []byte
		code          problem.Code
	}{
		{"bare document", "flow.submit", nil, []byte(words), problem.NotCloudEvent},
		{"no data at all", "flow.submit", nil, nil, problem.NotCloudEvent},
		{"octets", "flow.submit", nil, []byte{0, 1, 2, 0xff}, problem.NotCloudEvent},
		{"torn envelope", "flow.submit", nil, []byte(`{"specversion":"1.0","id":`), problem.NotJSON},
		{"wrong type", "flow.cancel", nil, structured("x", `{}`), problem.UnknownType},
		{"dotted flow", "flow.submit", nil, structured("a.b", words), problem.BadName},
		{"star flow", "flow.submit", nil, structured("*", words), problem.BadName},
		{"arrow flow", "flow.submit", nil, structured(">", words), problem.BadName},
		{"space flow", "flow.submit", nil, structured("a b", words), problem.BadName},
		{"long flow", "flow.submit", nil, structured(strings.Repeat("x", 64), words), problem.BadName},
		{"garbage as internal event", "events.flow.validated.x", nil, []byte("nonsense"), problem.NotCloudEvent},
		{"garbage as job event", "job.done.x.y", nil, []byte("{}"), ""},
		{"garbage as executor event", "executor.exited.x.y", nil, []byte(`{"specversion":"1.0"}`), ""},
		{"garbage as progdef", "progdef.apply", nil, []byte("nonsense"), problem.NotCloudEvent},
	}
	for _, x := range letters {
		t.Run(x.name, func(t *testing.T) {
			seq := send(t, c, x.subject, x.header, x.data)
			e := c.Await(t, "dead letter", func(e contract.Event) bool {
				d, ok := e.Data.(*contract.DeadLetter)
				return ok && d.Sequence == seq
			})
			d := e.Data.(*contract.DeadLetter)
			if d.Subject != strings.TrimPrefix(x.subject, "events.") || len(d.Problems) == 0 {
				t.Errorf("dead letter %+v, want one about %s", d, x.subject)
			}
			if x.code != "" {
				expect(t, d.Problems, x.code, "*")
			}
		})
	}

	t.Run("bad progdef", func(t *testing.T) {
		c.Command(t, contract.TypeProgdefApply, "broken", json.RawMessage(`{"name": "broken", "inputs": {"a.b": "utf8-string<"}, "colour": 1}`))
		e := c.Await(t, "refusal", harness.Is(contract.TypeProgdefRejected, "broken"))
		expect(t, e.Data.(*contract.ProgdefRejected).Problems, problem.UnknownField, "/colour")
		expect(t, e.Data.(*contract.ProgdefRejected).Problems, problem.BadName, "/inputs/a.b")
	})

	c.Submit(t, "good", words)
	completed(t, c.AwaitEnd(t, "good"))
	for _, m := range c.Messages() {
		if strings.ContainsAny(m.Subject, "*> ") {
			t.Errorf("a wildcard reached the subject %q", m.Subject)
		}
	}
}

// One answer contains all problems of a document, of its schema and its graph.
func TestAllProblemsAtOnce(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	c.Submit(t, "wrong", `{
		"nodes": {"a": {"progdef": "word"}, "b": {"progdef": "words"}, "c": {"progdef": "sink"}, "d": {"progdef": "sink", "colour": "red"}},
		"edges": [{"from": "b.ou", "to": "c.in"}, {"from": "b.out", "to": "x.in"}],
		"deadline": "soon"
	}`)
	problems := c.AwaitEnd(t, "wrong").Data.(*contract.FlowRejected).Problems
	expect(t, problems, problem.UnknownProgdef, "/nodes/a/progdef")
	expect(t, problems, problem.UnknownField, "/nodes/d/colour")
	expect(t, problems, problem.UnknownPort, "/edges/0/from")
	expect(t, problems, problem.UnknownNode, "/edges/1/to")
	expect(t, problems, problem.NoSource, "/nodes/d")
	expect(t, problems, problem.BadDuration, "/deadline")
	for _, p := range problems {
		if p.Code == problem.UnknownProgdef && !strings.Contains(p.Hint, "words") {
			t.Errorf("hint %q, want one that suggests words", p.Hint)
		}
	}
}

func binaryHeader(flow string) nats.Header {
	return nats.Header{
		"ce-specversion": {"1.0"}, "ce-id": {flow}, "ce-type": {"flow.submit"}, "ce-source": {"/t"},
		"ce-subject": {flow}, "content-type": {"application/json"},
	}
}

func send(t *testing.T, c *harness.Client, subject string, h nats.Header, data []byte) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	ack, err := c.JS.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: h, Data: data})
	if err != nil {
		t.Fatalf("publish on %s: %v", subject, err)
	}
	return ack.Sequence
}

// expect checks that a problem with the code is listed at the pointer; "*" matches any.
func expect(t *testing.T, problems problem.List, code problem.Code, pointer string) {
	t.Helper()
	for _, p := range problems {
		if p.Code == code && (pointer == "*" || p.Pointer == pointer) {
			if p.Message == "" {
				t.Errorf("%s has no message", p.Code)
			}
			return
		}
	}
	t.Errorf("no %s at %q in:\n%v", code, pointer, problems)
}
