package audit_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const creditSubject = "edges.s.f.credit.1"

// addr has a window of 1000 octets and 3 frames.
func addr() contract.Address {
	return contract.EdgeAddress("s", "f", 1, 1000, 3, "octets")
}

// frame is a frame of a size, sent on a subject.
func frame(subject string, number, flags byte, size int) tap.Message {
	data := make([]byte, wire.HeaderSize, size)
	data[0], data[1], data[9] = wire.Version, flags, number
	return tap.Message{Op: tap.Pub, Subject: subject, Reply: "inbox.credit", Data: data, Size: size}
}

func stored(number byte, size int) tap.Message { return slot(number, number, 0, size) }

// slot is a frame in any slot, the first there if its number is below 3.
func slot(at, number, flags byte, size int) tap.Message {
	m := frame(addr().Slot(uint64(at)), number, flags, size)
	if number < 3 {
		m.Header = nats.Header{"Nats-Expected-Last-Subject-Sequence": {"0"}}
	}
	return m
}
func direct(number byte, size int) tap.Message { return frame("direct.f.1.7", number, 0, size) }

func credit(op tap.Op, subject string, c wire.Credit) tap.Message {
	data := c.Append(nil)
	return tap.Message{Op: op, Subject: subject, Data: data, Size: len(data)}
}

func heard(subject string, number uint64) tap.Message {
	return credit(tap.Msg, subject, wire.Credit{Frame: number})
}

func TestWindow(t *testing.T) {
	for name, tt := range map[string]struct {
		messages []tap.Message
		wrong    string
		most     audit.Ahead
	}{
		"nothing": {},
		"in the window": {
			messages: []tap.Message{stored(1, 400), direct(2, 500)},
			most:     audit.Ahead{Octets: 900, Frames: 2, Sent: 2},
		},
		"octets": {messages: []tap.Message{stored(1, 400), direct(2, 601)}, wrong: "1001 octets"},
		"frames": {
			messages: []tap.Message{stored(1, 20), stored(2, 20), stored(3, 20), stored(4, 20)},
			wrong:    "4 frames",
		},
		"alone any size": {messages: []tap.Message{stored(1, 5000)}, most: audit.Ahead{Sent: 1}},
		"again is once": {
			messages: []tap.Message{direct(1, 900), stored(1, 900), direct(1, 900)},
			most:     audit.Ahead{Sent: 1},
		},
		"after a credit": {
			messages: []tap.Message{direct(1, 900), heard(creditSubject, 1), direct(2, 900)},
			most:     audit.Ahead{Sent: 2},
		},
		"after a reply": {
			messages: []tap.Message{direct(1, 900), heard("inbox.credit", 1), direct(2, 900)},
			most:     audit.Ahead{Sent: 2},
		},
		"credit for another": {
			messages: []tap.Message{direct(1, 900), heard("edges.s.f.credit.2", 1), direct(2, 900)}, wrong: "1800 octets",
		},
		"sent again after its credit": {
			messages: []tap.Message{direct(1, 900), heard(creditSubject, 1), direct(1, 900), direct(2, 900)},
			most:     audit.Ahead{Sent: 2},
		},
	} {
		most, err := audit.Window(tt.messages, addr())
		if !says(err, tt.wrong) || tt.wrong == "" && most != tt.most {
			t.Errorf("%s: %+v, %v; want %+v, %q", name, most, err, tt.most, tt.wrong)
		}
	}
}

// says reports whether the error has a text, or there is none for "".
func says(err error, text string) bool {
	if text == "" {
		return err == nil
	}
	return err != nil && strings.Contains(err.Error(), text)
}

func TestFrames(t *testing.T) {
	end := func(number byte) tap.Message { return slot(number, number, wire.FlagEnd, 40) }
	for name, tt := range map[string]struct {
		messages []tap.Message
		wrong    string
	}{
		"right":        {messages: []tap.Message{stored(1, 250), direct(1, 250), end(2), end(2)}},
		"too large":    {messages: []tap.Message{stored(1, 251)}, wrong: "251 bytes"},
		"another slot": {messages: []tap.Message{slot(2, 1, 0, 20)}, wrong: "its slot is edges.s.f.frame.1.1"},
		"no condition": {
			messages: []tap.Message{frame(addr().Slot(1), 1, 0, 20)}, wrong: "is the first in its slot",
		},
		"no answer":      {messages: []tap.Message{stored(1, 20), frame(addr().Slot(1), 1, 0, 20)}},
		"two ends":       {messages: []tap.Message{end(1), end(2)}, wrong: "both have END"},
		"behind the end": {messages: []tap.Message{end(1), stored(2, 20)}, wrong: "came behind"},
		"a hint": {
			messages: []tap.Message{{Op: tap.Pub, Subject: "direct.f.1.7", Data: wire.Hint(9), Size: 10}, end(1)},
		},
	} {
		if _, _, err := audit.Frames(tt.messages, addr(), 1<<20); !says(err, tt.wrong) {
			t.Errorf("%s: %v; want %q", name, err, tt.wrong)
		}
	}
}

func TestCredits(t *testing.T) {
	came := tap.Message{Op: tap.Msg, Subject: "direct.f.1.7", Reply: "w.credit", Data: stored(5, 20).Data}
	gives := func(subject string, c wire.Credit) tap.Message { return credit(tap.Pub, subject, c) }
	for name, tt := range map[string]struct {
		messages []tap.Message
		wrong    string
	}{
		"right": {messages: []tap.Message{
			gives(creditSubject, wire.Credit{Attach: 7}), came, gives("w.credit", wire.Credit{Frame: 5, Records: 3, Attach: 7}),
		}},
		"in advance": {
			messages: []tap.Message{came, gives("w.credit", wire.Credit{Frame: 6})},
			wrong:    "only 5 had come",
		},
		"takes back": {messages: []tap.Message{
			came, gives("w.credit", wire.Credit{Frame: 3, Records: 3}), gives(creditSubject, wire.Credit{Frame: 4, Records: 2}),
		}, wrong: "takes back"},
		"malformed": {
			messages: []tap.Message{{Op: tap.Pub, Subject: creditSubject, Data: []byte("5")}},
			wrong:    "malformed",
		},
		"another's": {messages: []tap.Message{{Op: tap.Pub, Subject: "edges.s.f.credit.2", Data: []byte("5")}}},
	} {
		if _, _, err := audit.Credits(tt.messages, addr()); !says(err, tt.wrong) {
			t.Errorf("%s: %v; want %q", name, err, tt.wrong)
		}
	}
}

func TestSlots(t *testing.T) {
	pull := func(request string) tap.Message {
		return tap.Message{Op: tap.Pub, Subject: "api.CONSUMER.MSG.NEXT.JOBS.p-r", Data: []byte(request)}
	}
	job := func(n int) tap.Message {
		return tap.Message{Op: tap.Msg, Subject: fmt.Sprintf("jobs.p.r.f.j%d", n), Reply: "$JS.ACK.JOBS.p-r.1.1.1.1.1"}
	}
	done := func(n int) tap.Message {
		return tap.Message{Op: tap.Pub, Subject: fmt.Sprintf("job.done.f.j%d.by.x1", n)}
	}
	for name, tt := range map[string]struct {
		messages []tap.Message
		most     int
		wrong    string
	}{
		"one after the other": {
			messages: []tap.Message{pull(`{"batch":2}`), job(1), job(2), done(1), job(3)},
			most:     2,
		},
		"too many":          {messages: []tap.Message{job(1), job(2), job(3)}, wrong: "handed 3 jobs"},
		"asks for too many": {messages: []tap.Message{pull(`{"batch":3}`)}, wrong: "asked for 3"},
		"asks in digits":    {messages: []tap.Message{pull("3")}, wrong: "asked for 3"},
		"asks for one":      {messages: []tap.Message{pull("")}},
	} {
		most, err := audit.Slots(tt.messages, 2)
		if !says(err, tt.wrong) || tt.wrong == "" && most != tt.most {
			t.Errorf("%s: %d, %v; want %d, %q", name, most, err, tt.most, tt.wrong)
		}
	}
}

func TestBeats(t *testing.T) {
	at := func(after, good time.Duration) audit.Beat {
		return audit.Beat{After: after, Data: string(wire.AppendBeat(nil, good))}
	}
	const s = time.Second
	for name, tt := range map[string]struct {
		beats []audit.Beat
		wrong string
	}{
		"right":      {beats: []audit.Beat{at(s, 5*s), at(2*s, 5*s), at(2900*time.Millisecond, 5*s)}},
		"none":       {wrong: "no heartbeat"},
		"first late": {beats: []audit.Beat{at(3*s, 5*s)}, wrong: "heartbeat 1 came 3s"},
		"gap":        {beats: []audit.Beat{at(s, 5*s), at(4*s, 5*s)}, wrong: "heartbeat 2 came 3s"},
		"too seldom": {
			beats: []audit.Beat{at(1900*time.Millisecond, 5*s), at(3800*time.Millisecond, 5*s)},
			wrong: "every 1.9s",
		},
		"a date":       {beats: []audit.Beat{{After: s, Data: "2023-11-14"}}, wrong: "not a beat"},
		"leading zero": {beats: []audit.Beat{{After: s, Data: "+05000"}}, wrong: "not a beat"},
		"a time":       {beats: []audit.Beat{{After: s, Data: "1700000006000"}}, wrong: "outdated"},
		"too short":    {beats: []audit.Beat{at(s, 2*s)}, wrong: "good for 2s"},
	} {
		if err := audit.Beats(tt.beats, s, 5*s, s); !says(err, tt.wrong) {
			t.Errorf("%s: %v; want %q", name, err, tt.wrong)
		}
	}
}

func TestWorks(t *testing.T) {
	for subject, want := range map[string]bool{
		"job.started.f.j": false, "job.done.f.j": true, "job.done.f.j.by.x1": true, "health.f.j.by.x1": true, "job.panic.f.j": true, "job.done.g.j": false,
		"health.f.j": true, "edges.s.f.frame.1.3": true, "direct.f.1.7": true,
		"edges.s.f.credit.0": true, "edges.s.f2.credit.0": false,
		"api.DIRECT.GET.EDGES-s.edges.s.f.stop": false, "edges.s.f.stop": false,
	} {
		if audit.Works(tap.Message{Op: tap.Pub, Subject: subject}, "f") != want {
			t.Errorf("%s: want %v", subject, want)
		}
	}
	if audit.Works(tap.Message{Op: tap.Msg, Subject: "health.f.j"}, "f") {
		t.Error("what is delivered is no work")
	}
}

func TestAnswerOf(t *testing.T) {
	const subject = "$JS.ACK.JOBS.p-r.1.1.1.1.0"
	for data, want := range map[string]audit.Answer{
		"": audit.Ack, "+ACK": audit.Ack, "-NAK": audit.Nak, `-NAK {"delay":1}`: audit.Nak, "+WPI": audit.NoAnswer,
	} {
		if got := audit.AnswerOf(tap.Message{Op: tap.Pub, Subject: subject, Data: []byte(data)}); got != want {
			t.Errorf("%q is %q, want %q", data, got, want)
		}
	}
}

func TestRights(t *testing.T) {
	const login, stranger = `{"jwt":"ey","sig":"x"}`, `{"jwt":"other","sig":"x"}`
	refused := func(text string) tap.Message { return tap.Message{Op: tap.Err, Data: []byte(text)} }
	for name, tt := range map[string]struct {
		m     tap.Message
		wrong string
	}{
		"credentials":         {m: tap.Message{Op: tap.Connect, Data: []byte(login)}},
		"other credentials":   {m: tap.Message{Op: tap.Connect, Data: []byte(stranger)}, wrong: "without its credentials"},
		"no credentials":      {m: tap.Message{Op: tap.Connect, Data: []byte(`{"verbose":false}`)}, wrong: "without its credentials, which are in the file that DAGYO_CREDS"},
		"no options":          {m: tap.Message{Op: tap.Connect, Data: []byte("{")}, wrong: "without its credentials"},
		"rejected login":      {m: refused("Authorization Violation"), wrong: "refused its credentials"},
		"slow":                {m: refused("Stale Connection")},
		"published":           {m: refused(`Permissions Violation for Publish to "name.x2"`), wrong: `published on "name.x2": executors have no right`},
		"called directly":     {m: refused(`Permissions Violation for Publish to "$JS.API.INFO"`), wrong: "begin with api."},
		"subscribed":          {m: refused(`Permissions Violation for Subscription to "flow.>"`), wrong: `subscription to "flow.>"`},
		"another's answers":   {m: refused(`Permissions Violation for Subscription to "_INBOX.a.*"`), wrong: "begin with _INBOX.executor.x1."},
		"asks":                {m: tap.Message{Op: tap.Pub, Subject: "api.DIRECT.GET.EVENTS.job.x", Reply: "_INBOX.executor.x1.a"}},
		"asks elsewhere":      {m: tap.Message{Op: tap.Pub, Subject: "api.DIRECT.GET.EVENTS.job.x", Reply: "_INBOX.executor.x10.a"}, wrong: "for an answer to api.DIRECT"},
		"heard":               {m: tap.Message{Op: tap.Msg, Subject: "_INBOX.executor.x1.a", Reply: "$JS.ACK.JOBS.p-r.1.1.1.1.1"}},
		"frame":               {m: tap.Message{Op: tap.Pub, Subject: "direct.f.1.7", Reply: "_INBOX.executor.x1.a.credit"}},
		"frame, two tokens":   {m: tap.Message{Op: tap.Pub, Subject: "direct.f.1.7", Reply: "_INBOX.executor.x1.a.7.credit"}},
		"frame, three tokens": {m: tap.Message{Op: tap.Pub, Subject: "direct.f.1.7", Reply: "_INBOX.executor.x1.a.b.7.credit"}, wrong: "no right to publish credits"},
		"frame, another end":  {m: tap.Message{Op: tap.Pub, Subject: "direct.f.1.7", Reply: "_INBOX.executor.x1.a"}, wrong: "no right to publish credits"},
	} {
		r := audit.NewRights("x1", "ey")
		if tt.m.Op != tap.Connect {
			if err := r.Check(tap.Message{Op: tap.Connect, Data: []byte(login)}); err != nil {
				t.Errorf("the login: %v", err)
			}
		}
		if err := r.Check(tt.m); !says(err, tt.wrong) {
			t.Errorf("%s: %v; want %q", name, err, tt.wrong)
		}
		if tt.m.Op == tap.Connect {
			continue
		}
		tt.m.Conn = 2 // not one of the executor's
		for _, m := range []tap.Message{{Op: tap.Connect, Conn: 2, Data: []byte(stranger)}, tt.m} {
			if err := r.Check(m); err != nil {
				t.Errorf("%s, of another program: %v", name, err)
			}
		}
	}
}
