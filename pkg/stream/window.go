package stream

import "fmt"

// A window accounts for the frames that are sent and not yet consumed.
type window struct {
	octets, frames int64  // limits
	used           int64  // unconsumed bytes
	sizes          []int  // of the unconsumed frames, oldest first
	consumed       uint64 // number of the last frame consumed
}

// fits reports whether a frame of n bytes may be sent now. If everything is consumed, any frame may.
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

// consume handles a credit up to and including a frame number. It reports whether the credit was new.
func (w *window) consume(number uint64) (news bool, err error) {
	if number <= w.consumed {
		return false, nil
	}
	n := number - w.consumed
	if n > uint64(len(w.sizes)) {
		return false, fmt.Errorf("credit for frame %d, but only %d frames were sent",
			number, w.consumed+uint64(len(w.sizes)))
	}
	for _, size := range w.sizes[:n] {
		w.used -= int64(size)
	}
	w.sizes = append(w.sizes[:0], w.sizes[n:]...)
	w.consumed = number
	return true, nil
}
