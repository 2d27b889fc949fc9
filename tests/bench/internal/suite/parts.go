package suite

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/dagyo/dagyo/tests/bench/internal/role"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// Parts are the processes of a run.
type Parts struct {
	run     *Run
	started []*role.Process
}

// start starts a worker and lets it prepare for the load.
func (p *Parts) start(name string, l worker.Load) (*role.Process, error) {
	l.Profile = p.run.profile(name)
	w, err := role.Start(name)
	if err != nil {
		return nil, err
	}
	p.started = append(p.started, w)
	return w, w.Ask(p.run, "load", l, nil)
}

// end ends all of them.
func (p *Parts) end() {
	for _, w := range p.started {
		w.End()
	}
}

// pair runs a receiver and a sender and returns the counts of both.
func (r *Run) pair(
	b *Broker, recv, send string, in, out worker.Load, middle func() error,
) (received, sent worker.Result, err error) {
	p := &Parts{run: r}
	defer p.end()
	to, err := p.start(recv, in)
	if err != nil {
		return received, sent, err
	}
	from, err := p.start(send, out)
	if err != nil {
		return received, sent, err
	}
	profiled, err := r.profileBroker(b)
	if err != nil {
		return received, sent, err
	}
	err = errors.Join(to.Tell(role.Go, nil), from.Tell(role.Go, nil))
	if err == nil && middle != nil {
		err = middle()
	}
	if err == nil {
		err = from.Hear(r, &sent)
	}
	if err == nil {
		err = to.Hear(r, &received)
	}
	return received, sent, errors.Join(err, profiled(), sameTotals(sent, received))
}

// profileBroker begins a profile of the nats-server if profiles are requested, and if there is one.
func (r *Run) profileBroker(b *Broker) (end func() error, err error) {
	path := r.profile("server")
	if path == "" || b == nil {
		return func() error { return nil }, nil
	}
	end = func() error { return b.Ask(r, worker.ProfileEnd, nil, nil) }
	return end, b.Ask(r, worker.Profile, path, nil)
}

func sameTotals(sent, received worker.Result) error {
	if sent.Records != received.Records || sent.Bytes != received.Bytes {
		return fmt.Errorf("%d records of %d bytes sent, %d of %d received",
			sent.Records, sent.Bytes, received.Records, received.Bytes)
	}
	return nil
}

// rates are the records and bytes per second, from the first send to the last receipt.
func rates(sent, received worker.Result) (records, octets float64) {
	seconds := float64(received.Last-sent.First) / 1e9
	return float64(received.Records) / seconds, float64(received.Bytes) / seconds
}

// allocations are the heap objects per record in the steady state.
func allocations(r worker.Result) float64 {
	return float64(r.Allocs) / float64(max(r.AllocRecords, 1))
}

// resident is the resident memory of a process, in bytes.
func resident(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d has no VmRSS", pid)
}
