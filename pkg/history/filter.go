package history

import (
	"crypto/sha256"
	"encoding/binary"
)

// The filter has 24 bits per flow id and sets 17 of them: one id in 40,000 that is not in a segment seems
// to be. Each new flow queries all segments, 4,000 for a million flows, and each false positive costs
// reading one.
const (
	filterBytesPerID = 3
	filterProbes     = 17
	// filterMin keeps filters for few ids from being full.
	filterMin = 128
)

// A filter is a Bloom filter of flow ids.
type filter []byte

func newFilter(ids int) filter { return make(filter, filterBytes(ids)) }

func filterBytes(ids int) int { return max(ids*filterBytesPerID, filterMin) }

// An idHash is the hash of a flow id in filters. It is stored in headers, so it must never change.
type idHash struct{ start, step uint64 }

func hashID(flow string) idHash {
	sum := sha256.Sum256([]byte(flow))
	return idHash{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:16]) | 1}
}

// bit returns the place of the i-th bit of an id. The cubic term keeps ids with similar steps, of which a
// small filter has many, from sharing all their bits.
func (f filter) bit(h idHash, i uint64) (index uint64, mask byte) {
	n := (h.start + i*h.step + (i*i*i-i)/6) % (uint64(len(f)) * 8)
	return n / 8, 1 << (n % 8)
}

func (f filter) add(h idHash) {
	for i := range uint64(filterProbes) {
		index, mask := f.bit(h, i)
		f[index] |= mask
	}
}

// mayHold returns false only for ids that were not added.
func (f filter) mayHold(h idHash) bool {
	for i := range uint64(filterProbes) {
		if index, mask := f.bit(h, i); f[index]&mask == 0 {
			return false
		}
	}
	return true
}
