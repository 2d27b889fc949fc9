package spawner

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// factRunning tells why executors that were started cannot run yet. With is a map from mailboxes to reasons.
const factRunning contract.Type = "fact.running"

// reasons collects why executors cannot run yet, by mailbox: of several the first by name, so that it stays the same.
func reasons(running []backend.Status) map[string]string {
	why := make(map[string]string)
	for _, x := range running {
		mailbox := contract.Mailbox(x.Progdef, x.Revision)
		if x.Waiting != "" && (why[mailbox] == "" || x.Waiting < why[mailbox]) {
			why[mailbox] = x.Waiting
		}
	}
	return why
}

// A told is what a flow.queued said: its place, a digest of its reasons, and when that was.
type told struct {
	Place int       `json:"place"`
	Why   string    `json:"why"`
	At    time.Time `json:"at"`
}

const (
	// queuedPause and stallPause bound what a flow is told: another reason at most this often.
	queuedPause = time.Second
	stallPause  = 30 * time.Second
	// toldFirst is how many flows at the head of the queue are told of another reason. Those behind are told
	// when they come there, and whenever their place is a power of two.
	toldFirst = 64
)

// tellQueued tells waiting flows their place and what they lack, when it is new to them.
func (p *plan) tellQueued() {
	for i, id := range p.queue {
		place := i + 1
		if r := p.s.runs[id]; r.Told.At.IsZero() || place <= toldFirst || bits.OnesCount(uint(place)) == 1 {
			p.tell(id, r, contract.FlowQueued{Place: place, Shortage: append([]contract.Shortage{}, p.shortage(r)...)}, queuedPause)
		}
	}
}

// tell publishes what a flow waits for unless the flow was told the same, or something a moment ago. The place
// alone is worth it when it has shrunk to half.
func (p *plan) tell(id string, r *run, now contract.FlowQueued, pause time.Duration) {
	last := r.Told
	sooner := now.Place > 0 && 2*now.Place <= last.Place
	switch {
	case last.At.IsZero():
	case last.Why == digest(now.Shortage) && (last.Place > 0) == (now.Place > 0) && !sooner:
		return
	case p.now.Before(last.At.Add(pause)):
		p.again(last.At.Add(pause))
		return
	}
	p.do(contract.Event{Type: contract.TypeFlowQueued, Subject: id, Data: &now})
}

// tellStalls tells every flow that has its capacity, and jobs that wait for executors that cannot run yet, why
// that is.
func (p *plan) tellStalls() {
	if len(p.s.waiting) == 0 {
		return
	}
	for _, flow := range slices.Sorted(maps.Keys(p.s.runs)) {
		r := p.s.runs[flow]
		if short := p.s.stalled(r, p.s.waiting); len(short) > 0 {
			p.tell(flow, r, contract.FlowQueued{Shortage: short}, stallPause)
		}
	}
}

// stalled lists what keeps a flow's jobs from starting.
func (s *State) stalled(r *run, why map[string]string) []contract.Shortage {
	if !r.Granted || !r.Ended.IsZero() {
		return nil
	}
	waiting := make(map[string]int)
	for _, j := range r.State {
		if j.Holds && j.Executor == "" && why[j.Mailbox] != "" {
			waiting[j.Mailbox]++
		}
	}
	var out []contract.Shortage
	for _, mailbox := range slices.Sorted(maps.Keys(waiting)) {
		rev := s.revisions[mailbox]
		out = append(out, contract.Shortage{
			Progdef: rev.Name, Revision: rev.Pinned.Revision, What: whatSlots, Needed: waiting[mailbox],
			Limit: rev.scaling().MaxExecutors * rev.perExecutor(), Reason: why[mailbox],
		})
	}
	return out
}

// digest is the same for the same reasons, however much is short.
func digest(short []contract.Shortage) string {
	h := sha256.New()
	for _, x := range short {
		fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00", x.What, x.Progdef, x.Revision, x.Reason)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
