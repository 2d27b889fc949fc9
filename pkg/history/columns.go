package history

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"

	"github.com/klauspost/compress/s2"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

// Columns are what queries look at, for all records of a segment, so that a search reads only segments with records that
// it selects. They are in a header of the segment.
//
// Most columns are a dictionary of the different values, and the number of its value for each record. Number 0 is a
// value that is left out, because it is too long or not a name: such a record may match every query.
//
// They consist of a version and compressed blocks, because few queries need all:
//   - terms: the times of submission, states and owners
//   - progdefs: their names, and the set of them that each flow has
//   - texts: what [texts] returns
//   - ids: the ids of the flows, one per line
type columns []byte

const columnsVersion = 1

// The blocks of columns, in their order.
const (
	termsBlock = iota
	progdefsBlock
	textsBlock
	idsBlock
	blocks
)

// Limits of columns. Without them, hostile texts would fill the memory of every index.
const (
	// columnsPerRecord limits the columns, in bytes per record; columnsMin is enough for few records.
	columnsPerRecord = 64
	columnsMin       = 1 << 10
	// blockLimit limits each block before compression.
	blockLimit = 1 << 20
	// setLimit limits the progdefs of a flow.
	setLimit = 32
)

// textLimits returns the limits of the texts of a flow, in bytes. The later ones are for segments with so many long
// texts that their columns would be too large.
func textLimits() []int { return []int{16 << 10, 2 << 10, 256, 0} }

func columnsLimit(records int) int { return max(records*columnsPerRecord, columnsMin) }

// newColumns returns the columns of one or more records, or nil if they would be too large. The span is that of their
// submissions.
func newColumns(records []contract.FlowStatus, submitted span) columns {
	b := [blocks][]byte{
		termsBlock: encodeTerms(records, submitted), progdefsBlock: encodeProgdefs(records), idsBlock: encodeIDs(records),
	}
	for _, limit := range textLimits() {
		b[textsBlock] = encodeTexts(records, limit)
		if c := compressed(b); len(c) > 0 && len(c) <= columnsLimit(len(records)) {
			return c
		}
	}
	return nil
}

// compressed returns the columns with these blocks, or nil if one is too large to be read.
func compressed(all [blocks][]byte) columns {
	c := columns{columnsVersion}
	for _, block := range all {
		if len(block) > blockLimit {
			return nil
		}
		block = s2.EncodeBetter(nil, block)
		c = append(binary.AppendUvarint(c, uint64(len(block))), block...)
	}
	return c
}

// A dictionary numbers different values, from 1.
type dictionary struct {
	numbers map[string]int
	values  []byte
}

func (d *dictionary) number(value string) int {
	if n, ok := d.numbers[value]; ok {
		return n
	}
	if d.numbers == nil {
		d.numbers = make(map[string]int)
	}
	d.numbers[value] = len(d.numbers) + 1
	d.values = append(binary.AppendUvarint(d.values, uint64(len(value))), value...)
	return len(d.numbers)
}

func (d *dictionary) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(d.numbers)))
	b = binary.AppendUvarint(b, uint64(len(d.values)))
	return append(b, d.values...)
}

// A column has one value per record.
type column struct {
	dictionary
	of []int
}

func (c *column) add(value string) { c.of = append(c.of, c.number(value)) }

// leaveOut adds a value that may match.
func (c *column) leaveOut() { c.of = append(c.of, 0) }

func (c *column) append(b []byte) []byte {
	b = c.dictionary.append(b)
	for _, n := range c.of {
		b = append(b, byte(n))
		if len(c.numbers) > maxByte {
			b = append(b, byte(n>>8))
		}
	}
	return b
}

// maxByte is the largest number in one byte.
const maxByte = 1<<8 - 1

func encodeTerms(records []contract.FlowStatus, submitted span) []byte {
	var states, owners column
	for _, r := range records {
		states.add(string(r.Phase) + "\n" + string(r.Verdict))
		if r.Owner == "" || document.ValidName(r.Owner) {
			owners.add(r.Owner)
		} else {
			owners.leaveOut()
		}
	}
	return owners.append(states.append(encodeTimes(records, submitted)))
}

func encodeProgdefs(records []contract.FlowStatus) []byte {
	var names dictionary
	var sets column
	for _, r := range records {
		if used, ok := progdefs(r); ok {
			var set []byte
			for _, name := range used {
				set = binary.AppendUvarint(set, uint64(names.number(name)))
			}
			sets.add(string(set))
		} else {
			sets.leaveOut()
		}
	}
	return sets.append(names.append(nil))
}

// progdefs returns the different progdefs of a flow in order, and false if they are left out of the columns.
func progdefs(s contract.FlowStatus) (out []string, ok bool) {
	for _, j := range s.Jobs {
		if j.Progdef != "" && !document.ValidName(j.Progdef) {
			return nil, false
		}
		if j.Progdef == "" || slices.Contains(out, j.Progdef) {
			continue
		}
		if out = append(out, j.Progdef); len(out) > setLimit {
			return nil, false
		}
	}
	slices.Sort(out)
	return out, true
}

// anyTime is the unit of times of segments whose times are too far apart.
const anyTime = 63

// encodeTimes returns a unit, the exponent of a power of two in nanoseconds, and the time of each submission after the
// earliest one in this unit, rounded down. All lower bytes are before all higher ones, which are often the same.
func encodeTimes(records []contract.FlowStatus, submitted span) []byte {
	unit, from := 0, submitted.from.Round(0)
	for whole := submitted.to.Round(0).Sub(from); whole>>unit > math.MaxUint16; {
		unit++
	}
	if unit > unitLimit {
		unit = anyTime
	}
	b := []byte{byte(unit)}
	for shift := 0; shift < 16; shift += 8 {
		for _, r := range records {
			b = append(b, byte(r.Submitted.Round(0).Sub(from)>>unit>>shift))
		}
	}
	return b
}

// unitLimit keeps times from being out of the range of a duration.
const unitLimit = 46

func encodeTexts(records []contract.FlowStatus, limit int) []byte {
	var out column
	for _, r := range records {
		_, listed := progdefs(r)
		if text, ok := joined(r, limit); ok && listed && document.ValidName(r.Flow) {
			out.add(text)
		} else {
			out.leaveOut()
		}
	}
	return out.append(nil)
}

// joined returns the texts of a flow, one per line, and false if they are left out of the columns.
func joined(s contract.FlowStatus, limit int) (string, bool) {
	var b []byte
	for text := range texts(s) {
		if text == "" {
			continue
		}
		if b = append(append(b, text...), '\n'); len(b) > limit {
			return "", false
		}
	}
	return string(b), true
}

func encodeIDs(records []contract.FlowStatus) (b []byte) {
	for _, r := range records {
		if document.ValidName(r.Flow) {
			b = append(b, r.Flow...)
		}
		b = append(b, '\n')
	}
	return b
}

// parseColumns returns the columns in a header, or nil if there are none that this program can read.
func parseColumns(header string, records int) columns {
	if len(header) > base64.StdEncoding.EncodedLen(columnsLimit(records)) {
		return nil
	}
	c, err := base64.StdEncoding.DecodeString(header)
	if err != nil || len(c) == 0 || c[0] != columnsVersion {
		return nil
	}
	return c
}
