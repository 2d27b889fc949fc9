package spawner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// stalls returns a flow.queued for every flow that has its capacity, and jobs that wait for executors
// that cannot run yet.
func (s State) stalls(running []backend.Status) []contract.Event {
	why := make(map[string]string) // by mailbox
	for _, x := range running {
		mailbox := contract.Mailbox(x.Progdef, x.Revision)
		if x.Waiting != "" && why[mailbox] == "" {
			why[mailbox] = x.Waiting
		}
	}
	if len(why) == 0 {
		return nil
	}
	var out []contract.Event
	for _, flow := range slices.Sorted(maps.Keys(s.runs)) {
		r := s.runs[flow]
		short := s.stalled(r, why)
		if len(short) == 0 {
			continue
		}
		out = append(out, contract.Event{
			Type: contract.TypeFlowQueued, Subject: flow, TraceParent: r.trace,
			MsgID: "stalled." + flow + "." + digest(short),
			Data:  &contract.FlowQueued{Shortage: short},
		})
	}
	return out
}

// stalled lists what keeps a flow's jobs from starting.
func (s State) stalled(r *run, why map[string]string) []contract.Shortage {
	if !r.granted || r.ended {
		return nil
	}
	waiting := make(map[string]int)
	for _, j := range r.state {
		if j.holds && j.executor == "" && why[j.mailbox] != "" {
			waiting[j.mailbox]++
		}
	}
	var out []contract.Shortage
	for _, mailbox := range slices.Sorted(maps.Keys(waiting)) {
		rev := s.revisions[mailbox]
		out = append(out, contract.Shortage{
			Progdef: rev.name, Revision: rev.pinned.Revision, What: whatSlots, Needed: waiting[mailbox],
			Limit: rev.pinned.Document.Scaling.MaxExecutors * rev.perExecutor(), Reason: why[mailbox],
		})
	}
	return out
}

func digest(short []contract.Shortage) string {
	h := sha256.New()
	for _, x := range short {
		fmt.Fprintf(h, "%s\x00%s\x00", x.Progdef, x.Reason)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// stallPause bounds what a flow hears: another reason at most this often.
const stallPause = 30 * time.Second

// stallsTold is what the flows have heard, and when.
type stallsTold map[string]toldStall

type toldStall struct {
	id string
	at time.Time
}

// news keeps of the stalls what their flows have not heard, and remembers it.
func (t stallsTold) news(stalls []contract.Event, now time.Time) []contract.Event {
	current := make(map[string]bool, len(stalls))
	var out []contract.Event
	for _, e := range stalls {
		current[e.Subject] = true
		last, known := t[e.Subject]
		if known && (last.id == e.MsgID || now.Sub(last.at) < stallPause) {
			continue
		}
		t[e.Subject] = toldStall{e.MsgID, now}
		out = append(out, e)
	}
	maps.DeleteFunc(t, func(flow string, _ toldStall) bool { return !current[flow] })
	return out
}

// tellStalls tells flows why their executors do not run yet.
func (w *wiring) tellStalls(
	ctx context.Context, r *service.Runtime[State], running []backend.Status, told stallsTold,
) error {
	var stalls []contract.Event
	if !r.Read(func(s State) { stalls = s.stalls(running) }) {
		return nil
	}
	for _, e := range told.news(stalls, time.Now()) {
		if err := r.Say(ctx, e); err != nil {
			return err
		}
	}
	return nil
}
