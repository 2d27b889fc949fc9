package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/services/dagyo/clienttest"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve returns a connection for what plays the part of a service.
func serve(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func connect(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.Connect(t.Context(), client.Options{URL: url, Source: "/test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// some returns flows in a state.
func some(n int, phase, verdict contract.Type) (out []contract.FlowStatus) {
	for i := range n {
		out = append(out, contract.FlowStatus{
			Flow: fmt.Sprintf("f-%04d", i), Phase: phase, Verdict: verdict, Submitted: time.Unix(int64(9000-i), 0),
		})
	}
	return out
}

func TestAFlowIsAskedFor(t *testing.T) {
	s := clienttest.Start(t, some(3, contract.TypeFlowCleaned, contract.TypeFlowPanic)...)
	c := connect(t, s.URL)
	got, err := c.Flow(t.Context(), "f-0001")
	if err != nil || got.Flow != "f-0001" || got.Verdict != contract.TypeFlowPanic {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Flow(t.Context(), "nothing"); !errors.Is(err, client.ErrUnknownFlow) {
		t.Errorf("an unknown flow: %v", err)
	}
}

func TestFlowsAreListedPageByPage(t *testing.T) {
	s := clienttest.Start(t, some(2500, contract.TypeJobStarted, "")...)
	c := connect(t, s.URL)
	n := 0
	for page, err := range c.Flows(t.Context(), contract.FlowQuery{Limit: 70}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page.Flows {
			if want := fmt.Sprintf("f-%04d", n); l.Flow != want {
				t.Fatalf("got %s, want %s", l.Flow, want)
			}
			n++
		}
	}
	if n != 2500 {
		t.Errorf("%d flows", n)
	}
	var asked atomic.Int64
	s.OnList(func() { asked.Add(1) })
	for range c.Flows(t.Context(), contract.FlowQuery{Limit: 70}) {
		break
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d pages for one", n)
	}
	for _, err := range c.Flows(t.Context(), contract.FlowQuery{Limit: -1}) {
		if err == nil || !strings.Contains(err.Error(), "limit: -1") {
			t.Errorf("a bad query: %v", err)
		}
	}
}

func TestLiveFlowsAreCountedAndAwaited(t *testing.T) {
	running := some(2100, contract.TypeJobStarted, "")
	waiting := contract.FlowStatus{Flow: "not-valid-yet", Phase: contract.TypeFlowSubmit}
	s := clienttest.Start(t, append(running, waiting)...)
	c := connect(t, s.URL)
	if n, err := c.LiveFlows(t.Context()); n != 2100 || err != nil {
		t.Errorf("%d live flows, %v", n, err)
	}
	var asked atomic.Int64
	s.OnList(func() {
		if asked.Add(1) == 2 {
			s.Set(waiting)
		}
	})
	if err := c.AwaitNoLiveFlows(t.Context()); err != nil || asked.Load() != 3 {
		t.Errorf("%v after %d questions", err, asked.Load())
	}
	s.Set(running...)
	ctx, cancel := context.WithCancel(t.Context())
	s.OnList(cancel)
	if err := c.AwaitNoLiveFlows(ctx); err == nil {
		t.Error("it did not wait")
	}
}

// A service that is being restarted, alone of its kind, is waited for.
func TestAQuestionWaitsForTheService(t *testing.T) {
	t.Parallel()
	url := brokerAlone(t)
	c := connect(t, url)
	service := serve(t, url)
	const back = 300 * time.Millisecond
	time.AfterFunc(back, func() {
		_, _ = service.Subscribe(contract.AskFlowGet, func(m *nats.Msg) { _ = m.Respond([]byte(`{"flow": "f"}`)) })
	})
	if got, err := c.Flow(t.Context(), "f"); err != nil || got.Flow != "f" {
		t.Errorf("%+v, %v", got, err)
	}
}

// While a cluster elects the next leader of EVENTS, nobody takes what is published: it is published again.
func TestPublishingWaitsForALeader(t *testing.T) {
	t.Parallel()
	server, err := natsd.NewServer(&natsd.Options{
		Host: "127.0.0.1", Port: natsd.RANDOM_PORT, NoLog: true, NoSigs: true,
		Cluster: natsd.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: natsd.RANDOM_PORT},
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Start()
	t.Cleanup(func() { server.Shutdown(); server.WaitForShutdown() })
	if !server.ReadyForConnections(time.Minute) {
		t.Fatal("the server is not ready after a minute")
	}
	c := connect(t, server.ClientURL())
	leader := serve(t, server.ClientURL())
	const elected = 2 * time.Second
	time.AfterFunc(elected, func() {
		_, _ = leader.Subscribe(string(contract.TypeFlowCancel), func(m *nats.Msg) {
			_ = m.Sub.Unsubscribe()
			_ = leader.Flush() // nobody is there for the next one
			_ = m.Respond([]byte(`{"stream": "EVENTS", "seq": 7}`))
		})
	})
	if seq, err := c.Cancel(t.Context(), "f", "a test"); err != nil || seq != 7 {
		t.Errorf("%d, %v", seq, err)
	}
	if _, err := c.Cancel(t.Context(), "f", "a test"); !errors.Is(err, client.ErrNoLeader) {
		t.Errorf("without a leader: %v", err)
	}
}

// The keys of a planned flow are asked for again if a replica answers that has not heard of the plan.
func TestKeysFromAReplicaThatIsBehind(t *testing.T) {
	t.Parallel()
	url := brokerAlone(t)
	c := connect(t, url)
	service := serve(t, url)
	var asked atomic.Int32
	_, err := service.Subscribe(contract.AskFlowKeys, func(m *nats.Msg) {
		answer := &nats.Msg{Header: nats.Header{micro.ErrorCodeHeader: {"404"}, micro.ErrorHeader: {"not planned"}}}
		if asked.Add(1) > 2 {
			answer = &nats.Msg{Header: nats.Header{micro.ErrorCodeHeader: {"403"}, micro.ErrorHeader: {"enough"}}}
		}
		_ = m.RespondMsg(answer)
	})
	if err == nil {
		err = service.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	a := contract.Address{Subject: contract.EdgeSubject("0", "f", 1), Salt: "salt"}
	_, err = c.Write(t.Context(), a, func() ([]byte, error) { return nil, io.EOF })
	if !errors.Is(err, stream.ErrSealed) || asked.Load() != 3 {
		t.Errorf("%v after %d questions", err, asked.Load())
	}
}

func brokerAlone(t *testing.T) string {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Options{
		Port: embedded.RandomPort, Dir: t.TempDir(), Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	return server.ClientURL()
}

func TestNobodyAnswers(t *testing.T) {
	t.Parallel()
	c := connect(t, brokerAlone(t))
	if _, err := c.Flow(t.Context(), "f"); !errors.Is(err, client.ErrNoAnswer) {
		t.Errorf("a flow: %v", err)
	}
	if err := c.AwaitNoLiveFlows(t.Context()); !errors.Is(err, client.ErrNoAnswer) {
		t.Errorf("live flows: %v", err)
	}
}
