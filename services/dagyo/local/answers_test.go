package local_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/local"
)

// person connects with a role of its own.
func person(t *testing.T, dir string, l *local.Local, role access.Role, name string) *nats.Conn {
	t.Helper()
	keys, err := keyring.Open(keyring.In(dir))
	if err != nil {
		t.Fatal(err)
	}
	creds, err := keys.Issue(keyring.DefaultTenant, access.Credential{Role: role, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(l.URL(), nats.UserCredentialBytes(creds), nats.CustomInboxPrefix(access.InboxPrefix(role, name)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// A requester chooses where an answer goes, and the server asks for no permission: also to where an executor hears stops
// and credits. Neither may have an effect.
func TestAnswersStopNothing(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	defer stop(t, l, c)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a flow that was stopped reads nothing more
	defer cancel()
	const echo = `{
		"nodes": {"hello": {"progdef": "greet"}},
		"inputs": {"names": "hello.name"}, "outputs": {"greetings": "hello.greeting"}
	}`
	if _, err := c.Submit(ctx, "echo", []byte(echo)); err != nil {
		t.Fatal(err)
	}
	feed, err := c.Follow(ctx, client.Start{}, client.FlowSubjects("echo")...)
	if err != nil {
		t.Fatal(err)
	}
	defer feed.Close()
	var planned *contract.FlowPlanned
	for running := false; !running; {
		e, err := feed.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		switch d := e.Data.(type) {
		case *contract.FlowPlanned:
			planned = d
		case *contract.FlowRejected:
			t.Fatal(d.Problems)
		case *contract.JobStarted:
			running = true
		}
	}
	in, out := planned.Inputs["names"], planned.Outputs["greetings"]
	eve := person(t, dir, l, access.Viewer, "eve")
	attack := func() {
		t.Helper()
		for _, to := range []string{planned.Stop, in.Credit, out.Credit} {
			for _, ask := range []string{"ask.executors.by.eve", "ask.catalog.list.by.eve", "ask.flow.get.by.eve"} {
				if err := eve.PublishRequest(ask, to, []byte("echo")); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := eve.Request("ask.executors.by.eve", nil, time.Minute); err != nil { // the answers have arrived
			t.Fatal(err)
		}
	}
	attack()
	n := 0
	fed := make(chan error, 1)
	go func() {
		_, err := c.Write(ctx, in, func() ([]byte, error) {
			if n++; n > 1000 {
				return nil, io.EOF
			}
			if n%100 == 0 {
				attack()
			}
			return []byte("x"), nil
		})
		fed <- err
	}()
	got := 0
	if _, err := c.Read(ctx, ctx, out, func(r []byte) error {
		if got++; !strings.HasPrefix(string(r), "hello") {
			return errors.New("unexpected " + string(r))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-fed; err != nil {
		t.Fatal(err)
	}
	for {
		e, err := feed.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if contract.IsVerdict(e.Type) {
			if e.Type != contract.TypeFlowCompleted || got != 1000 {
				t.Errorf("%s after %d of 1000 records: %+v", e.Type, got, e.Data)
			}
			return
		}
	}
}
