package local_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/local"
)

// sealedFlow has a stored edge (names), an input and outputs of a client, and constants.
const sealedFlow = `{
	"nodes": {
		"hello": {"progdef": "greet"},
		"names": {"progdef": "source"}, "late": {"progdef": "greet"},
		"one": {"progdef": "greet", "with": {"name": ["confidential-constant"]}}
	},
	"inputs": {"words": "hello.name"},
	"edges": [{"from": "names.name", "to": "late.name"}],
	"outputs": {"loud": "hello.greeting", "late": "late.greeting", "one": "one.greeting"}
}`

const confidential = "confidential"

// An executor of the same tenant and revision, and a user of the same tenant, neither read a flow that was not given to
// them nor change its course.
func TestSealedEdges(t *testing.T) {
	dir := t.TempDir()
	config := config(t, dir)
	config.Services.Planner.Limits.Seal = true
	l, err := local.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	owner := connect(t, l, client.Options{Access: broker.Access{Creds: l.Credentials()}})
	defer stop(t, l, owner)
	// Executors are started before, so that the attackers can be there from the beginning of the flow.
	if e := verdict(t, owner, "before", sealedBefore); e.Type != contract.TypeFlowCompleted {
		t.Fatalf("%s: %+v", e.Type, e.Data)
	}
	keys, err := keyring.Open(keyring.In(dir))
	if err != nil {
		t.Fatal(err)
	}
	var revision string
	all, err := owner.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Document.Name == "greet" {
			revision = p.Revision
		}
	}
	issue := func(c access.Credential) []byte {
		creds, err := keys.Issue(keyring.DefaultTenant, c)
		if err != nil {
			t.Fatal(err)
		}
		return creds
	}
	bob := issue(access.Credential{Role: access.User, Name: "bob"})
	attackers := []*attacker{
		newAttacker(t, l.URL(), "bob", bob),
		newAttacker(t, l.URL(), "mallory", issue(access.Credential{
			Role: access.Executor, Name: "mallory", Mailbox: contract.MailboxConsumer("greet", revision),
		})),
	}

	const flow = "secret"
	if _, err := owner.Submit(t.Context(), flow, []byte(sealedFlow)); err != nil {
		t.Fatal(err)
	}
	ends, over, err := owner.Planned(t.Context(), flow, nil)
	if err != nil || over != nil {
		t.Fatal(over, err)
	}
	attacking, cease := context.WithCancel(t.Context())
	var attacks sync.WaitGroup
	for _, x := range attackers {
		attacks.Go(func() { x.attack(attacking, ends.Inputs["words"]) })
	}
	defer attacks.Wait()
	defer cease()

	const words = 3000
	read := func(name string) (got []string) {
		_, err := owner.Read(t.Context(), t.Context(), ends.Outputs[name], func(b []byte) error {
			got = append(got, string(b))
			return nil
		})
		if err != nil {
			t.Errorf("read %s: %v", name, err)
		}
		return got
	}
	var loud []string
	var reading sync.WaitGroup
	reading.Go(func() { loud = read("loud") })
	n := 0
	if _, err := owner.Write(t.Context(), ends.Inputs["words"], func() ([]byte, error) {
		if n++; n > words {
			return nil, io.EOF
		}
		if n%100 == 0 {
			time.Sleep(50 * time.Millisecond)
		}
		return fmt.Appendf(nil, "%s-%d", confidential, n), nil
	}); err != nil {
		t.Errorf("write: %v", err)
	}
	e := verdictOf(t, owner, flow)
	reading.Wait()
	late, one := read("late"), read("one") // what is stored is read after the end, still under attack
	cease()
	attacks.Wait()
	if e.Type != contract.TypeFlowCompleted {
		t.Fatalf("%s: %+v", e.Type, e.Data)
	}
	if len(loud) != words || loud[words-1] != fmt.Sprintf("hello %s-%d", confidential, words) || len(late) != 26 || len(one) != 1 {
		t.Errorf("%d, %d and %d records were read", len(loud), len(late), len(one))
	}

	for _, x := range attackers {
		heard, tried := x.result()
		t.Logf("%s has heard %d messages and sent %d", x.name, heard, tried)
		if heard == 0 || tried == 0 {
			t.Errorf("%s did not attack", x.name)
		}
		if x.read {
			t.Errorf("%s has read the flow", x.name)
		}
	}
	refusesOthers(t, l, bob, ends.Outputs["loud"])
	keysAreNotInEvents(t, l, owner, flow)
}

const sealedBefore = `{
	"nodes": {"names": {"progdef": "source"}, "hello": {"progdef": "greet"}, "end": {"progdef": "void_sink"}},
	"edges": [{"from": "names.name", "to": "hello.name"}, {"from": "hello.greeting", "to": "end.in"}]
}`

func connect(t *testing.T, l *local.Local, o client.Options) *client.Client {
	t.Helper()
	o.URL, o.Source = l.URL(), "/test"
	c, err := client.Connect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func verdictOf(t *testing.T, c *client.Client, flow string) contract.Event {
	t.Helper()
	feed, err := c.Follow(t.Context(), client.Start{}, client.FlowSubjects(flow)...)
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	for {
		e, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if contract.IsVerdict(e.Type) {
			return e
		}
	}
}

// refusesOthers checks that another user of the tenant gets no key.
func refusesOthers(t *testing.T, l *local.Local, bob []byte, a contract.Address) {
	t.Helper()
	c := connect(t, l, client.Options{Credentials: bob})
	defer c.Close()
	_, err := c.Read(t.Context(), t.Context(), a, func([]byte) error { return nil })
	if !errors.Is(err, stream.ErrSealed) {
		t.Errorf("another user reads an output: %v", err)
	}
}

// keysAreNotInEvents compares the keys of the flow with all events.
func keysAreNotInEvents(t *testing.T, l *local.Local, owner *client.Client, flow string) {
	t.Helper()
	nc, err := broker.Connect(t.Context(), broker.Options{URL: l.URL(), Name: "owner", Access: broker.Access{Creds: l.Credentials()}})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	m, err := nc.RequestWithContext(t.Context(), contract.AskFlowKeys+".by."+owner.User(), []byte(flow))
	if err != nil {
		t.Fatal(err)
	}
	var answer contract.FlowKeys
	if err := json.Unmarshal(m.Data, &answer); err != nil || len(answer.Keys) != 6 {
		t.Fatalf("%d keys, %v: %s", len(answer.Keys), err, m.Header)
	}
	feed, err := owner.Follow(t.Context(), client.Start{}, client.FlowSubjects(flow)...)
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	for n := uint64(0); n < feed.Stored; n++ {
		e, err := feed.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range answer.Keys {
			if strings.Contains(string(e.Raw), base64.StdEncoding.EncodeToString(key)) {
				t.Errorf("%s contains a key", e.Type)
			}
		}
	}
}

// An attacker has a credential of the tenant.
type attacker struct {
	name string
	nc   *broker.Link

	mu      sync.Mutex
	heard   map[string]*nats.Msg // the last message on each subject
	replies map[string]bool
	count   int
	sent    int
	read    bool
}

func newAttacker(t *testing.T, url, name string, creds []byte) *attacker {
	t.Helper()
	nc, err := broker.Connect(t.Context(), broker.Options{
		URL: url, Name: name, Credentials: creds, Wait: 10 * time.Second,
		Extra: []nats.Option{nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}, // most is refused
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	x := &attacker{name: name, nc: nc, heard: make(map[string]*nats.Msg), replies: make(map[string]bool)}
	for _, subject := range []string{"direct.*.*.*", "edges.*.*.credit.*", "edges.*.*.credit.*.by.*"} {
		if _, err := nc.Subscribe(subject, x.hear); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return x
}

// hear keeps what others send on edges.
func (x *attacker) hear(m *nats.Msg) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if strings.HasSuffix(m.Subject, ".by."+x.name) || !strings.Contains(m.Subject, ".secret.") {
		return
	}
	x.count++
	x.look(m.Data)
	if len(x.heard) < 1000 {
		x.heard[m.Subject] = m
	}
	if m.Reply != "" && len(x.replies) < 100 {
		x.replies[m.Reply] = true
	}
}

func (x *attacker) look(data []byte) {
	if bytes.Contains(data, []byte(confidential)) || bytes.Contains(data, []byte("hello ")) {
		x.read = true
	}
}

func (x *attacker) result() (heard, sent int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.count, x.sent
}

// attack tries everything on all edges of a flow, again and again.
func (x *attacker) attack(ctx context.Context, known contract.Address) {
	edge, _, _ := strings.Cut(strings.TrimPrefix(known.Subject, "edges."), ".frame.")
	edge = "edges." + edge
	enc := wire.NewEncoder(1<<10, 1<<11)
	end, _ := enc.Finish()
	closed := wire.Credit{Closed: true, Frame: 1, Attach: 1 << 62}.Append(nil)
	for round := 0; ctx.Err() == nil; round++ {
		for n := range 6 {
			for _, slot := range []int{round % 128, 1, 2} {
				frame := fmt.Sprintf("%s.frame.%d.%d", edge, n, slot)
				x.everywhere(frame, known.Stream, [][]byte{end, []byte("garbage"), nil})
			}
			x.everywhere(fmt.Sprintf("%s.credit.%d", edge, n), known.Stream, [][]byte{closed, []byte("garbage"), nil})
		}
		x.replay(end, closed)
		// An answer of the broker on the subject of the stop; and a stop.
		x.request(known.Stream, edge+".credit.0.by.*", edge+".stop")
		x.publish(edge+".stop", nil)
		if x.nc.Flush() != nil {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// everywhere stores messages under all names, among them a copy of what is stored by others.
func (x *attacker) everywhere(subject, stream string, messages [][]byte) {
	if m, err := x.nc.Request("api.DIRECT.GET."+stream+"."+subject+".by.*", nil, time.Second); err == nil && len(m.Data) > 0 {
		x.mu.Lock()
		if !strings.HasSuffix(m.Header.Get(nats.JSSubject), ".by."+x.name) {
			x.look(m.Data)
		}
		x.mu.Unlock()
		messages = append(messages, m.Data)
		if by, found := strings.CutPrefix(m.Header.Get(nats.JSSubject), subject); found {
			x.publish(subject+by, []byte("garbage")) // over it: refused, unless it is our own
		}
	}
	for _, data := range messages {
		x.publish(subject, data)
		x.publish(subject+".by."+x.name, data)
		x.publish(subject+".by.-", data)
	}
}

// replay repeats what was heard, with another reply subject, and sends forged messages to the same subjects.
func (x *attacker) replay(end, closed []byte) {
	x.mu.Lock()
	heard := make([]*nats.Msg, 0, len(x.heard))
	for _, m := range x.heard {
		heard = append(heard, m)
	}
	var replies []string
	for r := range x.replies {
		replies = append(replies, r)
	}
	clear(x.heard)
	x.mu.Unlock()
	for _, m := range heard {
		_ = x.nc.PublishRequest(m.Subject, x.nc.NewInbox(), m.Data)
		_ = x.nc.PublishRequest(m.Subject, x.nc.NewInbox(), end)
		_ = x.nc.PublishRequest(m.Subject, x.nc.NewInbox(), wire.Hint(1<<40))
		for _, r := range replies {
			x.publish(r, m.Data)
		}
	}
	for _, r := range replies {
		x.publish(r, closed)
		x.publish(strings.TrimSuffix(r, "credit")+"echo", nil)
		for _, token := range []string{"1-1", "ask", "who"} {
			x.request("EVENTS", "job.>", strings.TrimSuffix(r, "credit")+token)
		}
	}
}

func (x *attacker) publish(subject string, data []byte) {
	x.mu.Lock()
	x.sent++
	x.mu.Unlock()
	_ = x.nc.Publish(subject, data)
}

// request makes the broker send a stored message somewhere.
func (x *attacker) request(stream, subject, reply string) {
	_ = x.nc.PublishRequest("api.DIRECT.GET."+stream+"."+subject, reply, nil)
}
