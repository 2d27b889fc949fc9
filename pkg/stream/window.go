package stream

import "fmt"

// A window accounts for the frames that were sent and are not yet consumed.
type window struct {
	octets, frames int64  // limits
	used           int64  // octets unconsumed
	sizes          []int  // of the unconsumed frames, oldest first
	consumed       uint64 // number of the last frame consumed
}

// fits reports whether a frame of n octets may be sent now. With nothing unconsumed any may.
func (w *window) fits(n int) bool {
	if len(w.sizes) == 0 {
		return true
	}
	return w.used+int64(n) <= w.octets && int64(len(w.sizes)) < w.frames
}

func (w *window) add(n int) {
	w.used += int64(n)
	w.sizes = append(w.sizes, n)
}

// consume takes a credit up to and with a frame number. It reports whether that was news.
func (w *window) consume(number uint64) (news bool, err error) {
	if number <= w.consumed {
		return false, nil
	}
	n := number - w.consumed
	if n > uint64(len(w.sizes)) {
		return false, fmt.Errorf("credit for frame %d, but only %d were sent",
			number, w.consumed+uint64(len(w.sizes)))
	}
	for _, size := range w.sizes[:n] {
		w.used -= int64(size)
	}
	w.sizes = append(w.sizes[:0], w.sizes[n:]...)
	w.consumed = number
	return true, nil
}
