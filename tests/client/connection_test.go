package client_test

import (
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/services/dagyo/clienttest"
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

// Ages are counted by the clock of the server, as services tell it in their answers.
func TestNow(t *testing.T) {
	s := clienttest.Start(t)
	for _, ahead := range []time.Duration{0, time.Hour} {
		s.SetClock(ahead)
		before := time.Now().Add(ahead)
		now, err := connect(t, s.URL).Now(t.Context())
		if err != nil || now.Before(before) || now.After(time.Now().Add(ahead)) {
			t.Errorf("%v ahead: got %v, %v", ahead, now, err)
		}
	}
}
