package suite

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestLines(t *testing.T) {
	o := Outcome{
		Figure: Figure{Rows: []Row{
			{"a", "ours", "ref", Plain, Goal{AtLeast: 2}}, {"b", "ours", "never", Plain, Goal{}},
		}},
		Rounds: []Values{{"ours": 4, "ref": 1}, {"ours": 2, "ref": 2}, {"ours": 6, "ref": 4}, {"ref": 2}},
	}
	got := o.Lines()
	l := got[0]
	if l.Value != 4 || l.Reference != 2 || l.Ratio != 2 || l.Least != 1 || l.Most != 4 {
		t.Errorf("medians of 4 2 6 by 1 2 4 2: %+v", l)
	}
	if met, asked := l.Goal.Met(l.Ratio); !met || !asked {
		t.Error("2 is at least 2")
	}
	if got[1].KnownRef || !got[1].Known {
		t.Errorf("a reference without values: %+v", got[1])
	}
}

func TestGoal(t *testing.T) {
	for _, tt := range []struct {
		goal       Goal
		value      float64
		met, asked bool
	}{
		{Goal{}, 1, false, false}, {Goal{AtLeast: 2}, 1.9, false, true},
		{Goal{AtMost: 1.3}, 1.3, true, true}, {Goal{AtMost: 1.3}, 1.31, false, true},
	} {
		if met, asked := tt.goal.Met(tt.value); met != tt.met || asked != tt.asked {
			t.Errorf("%+v of %v: met %v, asked %v", tt.goal, tt.value, met, asked)
		}
	}
}

func TestUnits(t *testing.T) {
	for got, want := range map[string]string{
		PerSecond("records")(1_234_567): "1.23 M records/s", PerSecond("flows")(80): "80 flows/s",
		Octets(423e6): "423 MB/s", Size(64 << 10): "64.0 KiB", Size(9 << 20): "9.00 MiB",
		Seconds((217 * time.Microsecond).Seconds()): "217 µs", Seconds(0.0125): "12.5 ms",
		Seconds(2): "2.00 s",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestClassOf(t *testing.T) {
	for subject, want := range map[string]string{
		"events.flow.planned.f": "events", "flow.planned.f": "EVENTS", "job.done.f.j.by.x": "EVENTS", "jobs.p.r.f.j": "jobs",
		"edges.0.f.credit.1": "edges", "_INBOX.x": "_INBOX", "$JS.API.STREAM.INFO.EVENTS": "$JS", "client.f.c": "other",
	} {
		if got := classOf(&nats.Msg{Subject: subject}); got != want {
			t.Errorf("%s: got %q, want %q", subject, got, want)
		}
	}
	if got := classOf(&nats.Msg{Subject: "flow.planned.f", Reply: "$JS.ACK.EVENTS.c"}); got != "deliveries" {
		t.Errorf("a delivery is counted as %q", got)
	}
}

func TestChain(t *testing.T) {
	if _, err := checkHere("chain", 10, 1); err != nil {
		t.Errorf("a chain of ten is not a valid flow: %v", err)
	}
}
