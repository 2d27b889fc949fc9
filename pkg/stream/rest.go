package stream

import (
	"errors"

	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go"
)

// ErrCut is returned by a reader after Rest: there are no more records, and the edge was not ended.
var ErrCut = errors.New("the edge ends without END: its writer is gone")

// remains is the state of a reader after Rest.
type remains struct {
	only    bool   // set by Rest
	looked  uint64 // frame that the last lookup was for
	counted bool   // arrived is known
	arrived int    // direct messages
}

// Rest tells the reader that the writer is gone. Recv then returns the records of all frames that have arrived or
// are stored, followed by ErrCut unless the edge was ended. The reader gives no more credit, so a writer that is
// still sending delays it by at most a window. Rest must be called by the goroutine that calls Recv.
func (r *Reader) Rest() {
	r.rest = remains{only: true}
	r.direct.kept = 0 // do not wait for missing frames
}

// remaining does one thing to get one of the frames that are left after Rest, first those in the stream.
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
	case !rest.counted: // messages that the broker sent before its answer to the lookup arrive before that answer
		rest.counted, rest.arrived = true, len(d.msgs)
		return false, nil
	case rest.arrived > 0:
		rest.arrived--
		if m := <-d.msgs; r.opened(m) {
			return r.takeNext(m)
		}
		return false, nil
	}
	return false, ErrCut
}

// takeNext handles a message if it is the next frame. Frames after a gap are of no use: the gap stays.
func (r *Reader) takeNext(m *nats.Msg) (fresh bool, err error) {
	if _, hint := wire.ParseHint(m.Data); hint || wire.Number(m.Data) != r.dec.Number()+1 {
		return false, nil
	}
	return r.decode(m.Data)
}
