package stream

import (
	"errors"

	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go"
)

// ErrCut is returned by a reader after Rest: there are no more records, and the edge has no end.
var ErrCut = errors.New("the edge has no end: its writer is gone")

// remains is what a reader still takes after Rest.
type remains struct {
	only    bool   // set by Rest
	looked  uint64 // frame that the last look into the stream was for
	counted bool   // arrived is known
	arrived int    // direct messages
}

// Rest tells the reader that the writer is gone. Recv then returns the records of all frames that have arrived or
// are stored, and ErrCut behind them unless the edge has ended. It gives no more credit, so a writer that goes on
// all the same keeps the reader for no more than a window. Rest is for the goroutine that calls Recv.
func (r *Reader) Rest() {
	r.rest = remains{only: true}
	r.direct.kept = 0 // what is not there is not waited for
}

// remaining does one thing to get one of the frames that Rest has left, those of the stream first.
func (r *Reader) remaining() (fresh bool, err error) {
	d, rest, next := &r.direct, &r.rest, r.dec.Number()+1
	switch {
	case rest.looked != next:
		rest.looked = next
		return false, r.get()
	case d.ahead != nil:
		m := d.ahead
		d.ahead = nil
		return r.takeNext(m)
	case !rest.counted: // what the broker sent before it answered the look has arrived before the answer
		rest.counted, rest.arrived = true, len(d.msgs)
		return false, nil
	case rest.arrived > 0:
		rest.arrived--
		return r.takeNext(<-d.msgs)
	}
	return false, ErrCut
}

// takeNext takes a message if it is the next frame. Frames behind a gap are of no use: nobody fills it.
func (r *Reader) takeNext(m *nats.Msg) (fresh bool, err error) {
	if _, hint := wire.ParseHint(m.Data); hint || wire.Number(m.Data) != r.dec.Number()+1 {
		return false, nil
	}
	return r.decode(m.Data)
}
