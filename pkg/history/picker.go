package history

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A picker finds the records of segments that a query may select, by their columns. It must be used by one goroutine at
// a time.
type picker struct {
	query contract.FlowQuery
	text  []byte
	// terms is true if the query looks at that block of columns.
	terms bool
	// name is true if the text may be part of an id or of a progdef's name.
	name bool

	buffers [blocks][]byte
	picked  []bool
	found   []bool // records with the text
}

func newPicker(q contract.FlowQuery) *picker {
	if !verbatim(q.Text) {
		q.Text = ""
	}
	p := &picker{query: q, text: []byte(q.Text), name: q.Text != "" && !strings.ContainsFunc(q.Text, notInNames)}
	p.terms = q.User != "" || len(q.States) > 0 || !q.Since.IsZero() || !q.Until.IsZero()
	return p
}

func notInNames(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

// pick reports for each record of a segment whether the query may select it, and false if the columns do not tell. The
// result is valid until the next call.
func (p *picker) pick(e entry) ([]bool, bool) {
	progdef, text := p.query.Progdef != "", p.query.Text != ""
	if e.broken != nil || e.columns == nil || !p.terms && !progdef && !text {
		return nil, false
	}
	p.picked = slices.Grow(p.picked[:0], e.records)[:e.records]
	p.found = slices.Grow(p.found[:0], e.records)[:e.records]
	for i := range p.picked {
		p.picked[i], p.found[i] = true, false
	}
	if p.terms && !p.pickTerms(e) || (progdef || p.name) && !p.pickProgdefs(e) {
		return nil, false
	}
	if !text || !slices.Contains(p.picked, true) {
		return p.picked, true
	}
	if !p.findTexts(e) || p.name && !p.findIDs(e) {
		return nil, false
	}
	for i, found := range p.found {
		p.picked[i] = p.picked[i] && found
	}
	return p.picked, true
}

// pickTerms applies what the query says about terms, and reports whether they could be read.
func (p *picker) pickTerms(e entry) bool {
	d := p.open(e, termsBlock)
	unit, times := d.unit(), d.bytes(2*e.records)
	states, owners := d.column(e.records), d.column(e.records)
	if d.bad {
		return false
	}
	q := p.query
	if !q.Since.IsZero() || !q.Until.IsZero() {
		p.pickTimes(times, unit, e.submitted.from)
	}
	if len(q.States) > 0 {
		p.keep(states, d.matching(states.values, func(v []byte) bool {
			phase, verdict, _ := bytes.Cut(v, []byte("\n"))
			return slices.Contains(q.States, contract.Type(phase)) || slices.Contains(q.States, contract.Type(verdict))
		}))
	}
	if q.User != "" {
		p.keep(owners, d.equal(owners.values, q.User))
	}
	return !d.bad
}

// pickProgdefs does the same for progdefs, and finds the text in their names.
func (p *picker) pickProgdefs(e entry) bool {
	d := p.open(e, progdefsBlock)
	names, sets := d.values(), d.column(e.records)
	if d.bad {
		return false
	}
	if p.query.Progdef != "" {
		p.keep(sets, d.withOneOf(sets.values, d.equal(names, p.query.Progdef)))
	}
	if p.name {
		p.find(sets, d.withOneOf(sets.values, d.containing(names, p.text)))
	}
	return !d.bad
}

// pickTimes drops the records that were not submitted in the query's time range.
func (p *picker) pickTimes(times []byte, unit int, earliest time.Time) {
	since, until := p.query.Since, p.query.Until
	if unit > unitLimit {
		return
	}
	for i := range p.picked {
		from := time.Duration(times[i])<<unit + time.Duration(times[i+len(p.picked)])<<8<<unit
		if !since.IsZero() && from+1<<unit <= since.Sub(earliest) || !until.IsZero() && from >= until.Sub(earliest) {
			p.picked[i] = false
		}
	}
}

// findTexts finds the text in the block of texts.
func (p *picker) findTexts(e entry) bool {
	d := p.open(e, textsBlock)
	texts := d.column(e.records)
	if d.bad {
		return false
	}
	p.find(texts, d.containing(texts.values, p.text))
	return !d.bad
}

// findIDs finds the text in ids.
func (p *picker) findIDs(e entry) bool {
	d := p.open(e, idsBlock)
	if d.bad || bytes.Count(d.rest, []byte("\n")) != e.records {
		return false
	}
	if !bytes.Contains(d.rest, p.text) {
		return true
	}
	n := 0
	for id := range bytes.Lines(d.rest) {
		p.found[n] = p.found[n] || bytes.Contains(id, p.text)
		n++
	}
	return n == e.records
}

// keep drops the records whose value does not match.
func (p *picker) keep(c encodedColumn, matching []bool) {
	for i := range p.picked {
		n := c.number(i)
		p.picked[i] = p.picked[i] && (n >= len(matching) || matching[n])
	}
}

// find marks the records whose value has the text.
func (p *picker) find(c encodedColumn, matching []bool) {
	for i := range p.found {
		n := c.number(i)
		p.found[i] = p.found[i] || n >= len(matching) || matching[n]
	}
}

// open decompresses a block.
func (p *picker) open(e entry, block int) *decoder {
	d := &decoder{rest: e.columns[1:]}
	for range block {
		d.bytes(d.number())
	}
	compressed := d.bytes(d.number())
	n, err := s2.DecodedLen(compressed)
	if d.bad || err != nil || n > blockLimit {
		return &decoder{bad: true}
	}
	buffer := &p.buffers[block]
	*buffer = slices.Grow((*buffer)[:0], n)
	text, err := s2.Decode((*buffer)[:n], compressed)
	return &decoder{rest: text, bad: err != nil}
}

// A decoder reads a block. After something that it cannot read, it is bad and returns nothing more.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) number() int {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 || n > blockLimit {
		d.rest, d.bad = nil, true
		return 0
	}
	d.rest = d.rest[size:]
	return int(n)
}

func (d *decoder) bytes(n int) []byte {
	if n > len(d.rest) {
		d.rest, d.bad = nil, true
		return nil
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b
}

// unit reads the unit of times.
func (d *decoder) unit() int {
	if b := d.bytes(1); b != nil {
		return int(b[0])
	}
	return anyTime
}

// values are an encoded dictionary.
type values struct {
	count int
	bytes []byte
}

func (d *decoder) values() values {
	count := d.number()
	v := values{count, d.bytes(d.number())}
	d.bad = d.bad || count > len(v.bytes) // each has a length
	return v
}

// matching reports for each number of a dictionary whether its value matches. What is left out does.
func (d *decoder) matching(v values, matches func(value []byte) bool) []bool {
	out := v.leftOut()
	each := decoder{rest: v.bytes}
	for n := range v.count {
		out[n+1] = matches(each.bytes(each.number()))
	}
	d.bad = d.bad || each.bad
	return out
}

// leftOut is the result of matching if no value matches.
func (v values) leftOut() []bool {
	out := make([]bool, v.count+1)
	out[0] = true
	return out
}

// containing is matching for the values that contain a text.
func (d *decoder) containing(v values, text []byte) []bool {
	if !bytes.Contains(v.bytes, text) { // few dictionaries do
		return v.leftOut()
	}
	return d.matching(v, func(value []byte) bool { return bytes.Contains(value, text) })
}

// equal is matching for one value.
func (d *decoder) equal(v values, text string) []bool {
	if !bytes.Contains(v.bytes, []byte(text)) {
		return v.leftOut()
	}
	return d.matching(v, func(value []byte) bool { return string(value) == text })
}

// withOneOf is matching for values that are sets of numbers: they match if they contain a number that is true.
func (d *decoder) withOneOf(v values, numbers []bool) []bool {
	numbers[0] = false // in a set, nothing is left out
	if !slices.Contains(numbers, true) {
		return v.leftOut()
	}
	return d.matching(v, func(set []byte) bool {
		for each := (decoder{rest: set}); len(each.rest) > 0; {
			if n := each.number(); each.bad || n >= len(numbers) || numbers[n] {
				return true
			}
		}
		return false
	})
}

// An encodedColumn has the number of a value for each record.
type encodedColumn struct {
	values  values
	wide    bool // two bytes per number
	numbers []byte
}

func (d *decoder) column(records int) encodedColumn {
	v := d.values()
	if v.count > maxByte {
		return encodedColumn{v, true, d.bytes(2 * records)}
	}
	return encodedColumn{v, false, d.bytes(records)}
}

func (c encodedColumn) number(record int) int {
	if c.wide {
		return int(binary.LittleEndian.Uint16(c.numbers[2*record:]))
	}
	return int(c.numbers[record])
}
