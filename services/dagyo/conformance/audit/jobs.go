package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

// IsPull reports whether the message asks a mailbox for jobs.
func IsPull(m tap.Message) bool {
	return m.Op == tap.Pub && strings.HasPrefix(m.Subject, access.BridgedAPI+"CONSUMER.MSG.NEXT."+contract.StreamJobs+".")
}

// Pulls counts the messages that ask a mailbox for jobs.
func Pulls(messages []tap.Message) (n int) {
	for _, m := range messages {
		if IsPull(m) {
			n++
		}
	}
	return n
}

// IsDelivery reports whether the message hands a job over.
func IsDelivery(m tap.Message) bool {
	return m.Op == tap.Msg && strings.HasPrefix(m.Reply, "$JS.ACK."+contract.StreamJobs+".")
}

// An Answer is what an executor says to the delivery of a job.
type Answer string

// The answers that matter here.
const (
	Ack      Answer = "+ACK"
	Nak      Answer = "-NAK"
	NoAnswer Answer = ""
)

// AnswerOf returns what a message says to the delivery of a job.
func AnswerOf(m tap.Message) Answer {
	if m.Op != tap.Pub || !strings.HasPrefix(m.Subject, "$JS.ACK."+contract.StreamJobs+".") {
		return NoAnswer
	}
	switch {
	case len(m.Data) == 0, strings.HasPrefix(string(m.Data), string(Ack)):
		return Ack
	case strings.HasPrefix(string(m.Data), string(Nak)):
		return Nak
	}
	return NoAnswer
}

// Works reports whether the message shows that its sender believes a job of the flow to be its own: a
// heartbeat, a frame, a credit, or the job's last word.
func Works(m tap.Message, flow string) bool {
	if m.Op != tap.Pub {
		return false
	}
	head, rest, _ := strings.Cut(m.Plain(), ".")
	if head == "job" {
		what, rest, _ := strings.Cut(rest, ".")
		return what != "started" && strings.HasPrefix(rest, flow+".")
	}
	if head == "edges" { // behind the shard's name, and no stop
		_, rest, _ = strings.Cut(rest, ".")
		return strings.HasPrefix(rest, flow+".frame.") || strings.HasPrefix(rest, flow+".credit.")
	}
	return (head == "health" || head == "direct") && strings.HasPrefix(rest, flow+".")
}

// Slots goes through the deliveries of jobs and their ends. It returns how many jobs the executor held
// at the same time, at most, and an error where it asked for more than it has slots.
func Slots(messages []tap.Message, slots int) (most int, err error) {
	held := map[string]bool{}
	for _, m := range messages {
		switch {
		case IsPull(m):
			if n := batch(m.Data); n > slots {
				return most, fmt.Errorf("it asked for %d jobs at once, with %d slots", n, slots)
			}
		case IsDelivery(m):
			held[jobOf(m.Subject)] = true
		case isLastWord(m):
			delete(held, jobOf(m.Plain()))
		}
		if most = max(most, len(held)); most > slots {
			return most, fmt.Errorf("it was handed %d jobs before one had ended, with %d slots", most, slots)
		}
	}
	return most, nil
}

func isLastWord(m tap.Message) bool {
	done, panicked := strings.HasPrefix(m.Plain(), "job.done."), strings.HasPrefix(m.Plain(), "job.panic.")
	return m.Op == tap.Pub && (done || panicked)
}

// jobOf is the end of a subject: "<flow>.<job>".
func jobOf(subject string) string {
	f := strings.Split(subject, ".")
	return strings.Join(f[max(0, len(f)-2):], ".")
}

// batch is how many messages a pull asks for.
func batch(request []byte) int {
	var r struct {
		Batch int `json:"batch"`
	}
	if json.Unmarshal(request, &r) != nil || r.Batch == 0 {
		n, err := strconv.Atoi(strings.TrimSpace(string(request)))
		if err != nil {
			return 1
		}
		return n
	}
	return r.Batch
}

// A Beat is one heartbeat.
type Beat struct {
	// After is how long after the start of the job it came.
	After time.Duration
	Data  string
}

// BeatsOf are the heartbeats on a plain subject of a job that started at a moment.
func BeatsOf(messages []tap.Message, subject string, started time.Time) []Beat {
	var out []Beat
	for _, m := range messages {
		if m.Op == tap.Pub && m.Plain() == subject {
			out = append(out, Beat{m.At.Sub(started), string(m.Data)})
		}
	}
	return out
}

// Beats checks the heartbeats of a job: how far they are apart, on average and at most, and what they
// say. slack is how late one of them may be, on a machine that has other things to do.
func Beats(beats []Beat, interval, timeout, slack time.Duration) error {
	if len(beats) == 0 {
		return errors.New("there was no heartbeat")
	}
	last := time.Duration(0)
	for i, b := range beats {
		if gap := b.After - last; gap > interval+slack {
			return fmt.Errorf("heartbeat %d came %v after the one before; the interval is %v", i+1, gap, interval)
		}
		if err := vouches(b, timeout); err != nil {
			return fmt.Errorf("heartbeat %d: %w", i+1, err)
		}
		last = b.After
	}
	if average := last / time.Duration(len(beats)); average > interval+slack/time.Duration(len(beats)) {
		return fmt.Errorf("heartbeats came every %v; the interval is %v", average, interval)
	}
	return nil
}

// vouches checks what a heartbeat says.
func vouches(b Beat, timeout time.Duration) error {
	d, absolute, err := wire.ParseBeat([]byte(b.Data))
	switch {
	case err != nil:
		return err
	case absolute:
		return fmt.Errorf("%q is of the outdated form, a time by the executor's clock; it must say how long it is "+
			"good for: %s", b.Data, wire.AppendBeat(nil, timeout))
	case d != timeout:
		return fmt.Errorf("it is good for %v; the timeout is %v", d, timeout)
	}
	return nil
}
