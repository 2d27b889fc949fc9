package client_test

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/services/dagyo/embedded"
)

// A lost connection is reported, and so is the new one; nothing is reported after stop.
func TestConnection(t *testing.T) {
	dir := t.TempDir()
	start := func(port int) *embedded.Server {
		s, err := embedded.Start(t.Context(), embedded.Options{Port: port, Dir: dir, Log: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := start(embedded.RandomPort)
	address, err := url.Parse(first.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, first.ClientURL())
	changes, stop := c.Connection()
	first.Shutdown()
	if <-changes {
		t.Error("a lost connection is reported as a new one")
	}
	second := start(port)
	if !<-changes {
		t.Error("a new connection is reported as lost")
	}
	stop()
	second.Shutdown()
	select {
	case <-changes:
		t.Error("a change is reported after stop")
	default:
	}
}

// Ages are counted by the clock of the server, which is that of this machine here.
func TestNow(t *testing.T) {
	s, err := embedded.Start(t.Context(), embedded.Options{Port: embedded.RandomPort, Dir: t.TempDir(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	link, err := broker.Connect(t.Context(), broker.Options{URL: s.ClientURL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	if err := broker.Ensure(t.Context(), link, broker.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	before := time.Now()
	now, err := connect(t, s.ClientURL()).Now(t.Context())
	if err != nil || now.Before(before) || now.After(time.Now()) {
		t.Errorf("got %v, %v, between %v and now", now, err, before)
	}
}
