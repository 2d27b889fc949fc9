package conformance

import (
	"context"
	"fmt"

	"github.com/dagyo/dagyo/pkg/wire"
)

// A forgery is the frames of an edge, made by hand: one for each record, and one with END alone.
type forgery [][]byte

// forge makes right frames for records.
func forge(records ...[]byte) forgery {
	enc := wire.NewEncoder(64<<10, 128<<10)
	var frames forgery
	for _, r := range records {
		enc.Append(r)
		frames = append(frames, enc.Take(nil))
	}
	end, _ := enc.Finish() // no record is open
	return append(frames, end)
}

// greetings are a few records for forged edges.
func greetings() [][]byte {
	var out [][]byte
	for i := range 4 {
		out = append(out, record(i, 20))
	}
	return out
}

// without leaves out one frame.
func (y forgery) without(i int) forgery {
	return append(append(forgery{}, y[:i]...), y[i+1:]...)
}

// flipped changes one octet of the last frame, counted from its end.
func (y forgery) flipped(fromEnd int) forgery {
	last := y[len(y)-1]
	last[len(last)-fromEnd] ^= 1
	return y
}

// replaced puts other octets in the place of one frame.
func (y forgery) replaced(i int, frame []byte) forgery {
	y[i] = frame
	return y
}

// store puts the frames into the slots of the flow's input, as a writer does that has no reader.
func (f *flow) store(ctx context.Context, frames forgery) error {
	for i, frame := range frames {
		if _, err := f.hub.inside.JS.Publish(ctx, f.in.Slot(uint64(i)+1), frame); err != nil {
			return fmt.Errorf("store frame %d of the input: %w", i+1, err)
		}
	}
	return nil
}
