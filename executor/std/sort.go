package std

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/itchyny/gojq"

	"github.com/dagyo/dagyo/executor"
)

const (
	// SortMemory is how much of its input a job of sort keeps in memory, in bytes: what is more goes to a temporary
	// file. Each record counts as its length, sortOverhead, and the length of its key, or deepOverhead times as much for
	// an array or object, whose parsed form is that much larger at worst.
	SortMemory   = 32 << 20
	sortOverhead = 128
	deepOverhead = 20
	// SortLimit is the maximum size of the temporary file, in bytes: an executor on Kubernetes has 1 GiB for files.
	SortLimit = 900 << 20
)

// sortOptions are the options of sort.
type sortOptions struct {
	Key   *string `json:"key"`
	Order string  `json:"order"`
}

// Values of the option order.
const (
	ascending  = "ascending"
	descending = "descending"
)

const sortUsage = `{}, {"key": ".id"} or {"key": ".id", "order": "descending"}`

// sorter writes its input in order, once it has ended. Equal records keep their order.
func sorter() executor.Program {
	given := optionsInput()
	in, out := executor.Input("in", value), executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) (err error) {
		var o sortOptions
		if err := options(ctx, job, given, sortUsage, &o); err != nil {
			return err
		}
		s := sorting{descending: o.Order == descending, memory: SortMemory, spill: spill{limit: SortLimit}}
		if o.Key != nil {
			if s.key, err = compileKey("key", *o.Key); err != nil {
				return err
			}
		}
		defer func() { err = errors.Join(err, s.spill.close()) }()
		var n int64
		err = batches(ctx, job, in, func(records [][]byte) error {
			for _, record := range records {
				if err := s.add(ctx, record); err != nil {
					return &executor.PortError{Port: "in", Record: n, Err: err}
				}
				n++
			}
			return nil
		})
		if err != nil {
			return err
		}
		box := outbox{out: out}
		if err := s.each(func(record []byte) error { return box.add(ctx, job, record) }); err != nil {
			return err
		}
		return box.flush(ctx, job)
	}, given, in, out)
}

func (o *sortOptions) check() error {
	switch o.Order {
	case "":
		o.Order = ascending
	case ascending, descending:
	default:
		return fmt.Errorf("order is %q; it must be %q or %q", o.Order, ascending, descending)
	}
	return nil
}

// An entry is a record to sort.
type entry struct {
	record  []byte
	key     any    // nil without a key filter
	keyText []byte // JSON
}

// cost is about how much memory an entry takes, in bytes.
func (e entry) cost() int {
	key := len(e.keyText)
	switch e.key.(type) {
	case []any, map[string]any:
		key *= deepOverhead
	}
	return len(e.record) + key + sortOverhead
}

// A sorting sorts records: a run at a time in memory, all of them by merging the runs.
type sorting struct {
	key        *gojq.Code // nil to compare the bytes of records
	descending bool
	memory     int
	spill      spill

	run    []entry
	octets int
}

// add takes a record. It writes the run to the temporary file once the memory is full.
func (s *sorting) add(ctx context.Context, record []byte) error {
	e := entry{record: bytes.Clone(record)}
	if s.key != nil {
		var err error
		if e.key, err = keyOf(ctx, s.key, record); err != nil {
			return err
		}
		if e.key, e.keyText, err = settled(e.key); err != nil {
			return err
		}
	}
	s.run = append(s.run, e)
	if s.octets += e.cost(); s.octets < s.memory {
		return nil
	}
	s.sortRun()
	if err := s.spill.write(s.run); err != nil {
		return err
	}
	clear(s.run)
	s.run, s.octets = s.run[:0], 0
	return nil
}

// settled returns a key as it is read back from the file, and its text.
func settled(key any) (any, []byte, error) {
	text, err := gojq.Marshal(key)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyFromText(text)
	return key, text, err
}

// keyFromText reads a key. Most are integers, which need no JSON parser, now and at each comparison.
func keyFromText(text []byte) (any, error) {
	if i, err := strconv.Atoi(string(text)); err == nil {
		return i, nil
	}
	return jqCodec{}.Decode(text)
}

func (s *sorting) compare(a, b entry) int {
	if s.descending {
		a, b = b, a
	}
	if s.key == nil {
		return bytes.Compare(a.record, b.record)
	}
	return gojq.Compare(a.key, b.key)
}

func (s *sorting) sortRun() { slices.SortStableFunc(s.run, s.compare) }

// each calls do with all records in order.
func (s *sorting) each(do func(record []byte) error) error {
	s.sortRun()
	m := merging{compare: s.compare}
	for i, next := range append(s.spill.runs(), fromMemory(s.run)) {
		if err := m.add(i, next); err != nil {
			return err
		}
	}
	for len(m.heads) > 0 {
		if err := do(m.heads[0].record); err != nil {
			return err
		}
		if err := m.advance(); err != nil {
			return err
		}
	}
	return nil
}

// A run returns the entries of a run one by one, and then io.EOF.
type run func() (entry, error)

func fromMemory(entries []entry) run {
	return func() (entry, error) {
		if len(entries) == 0 {
			return entry{}, io.EOF
		}
		e := entries[0]
		entries = entries[1:]
		return e, nil
	}
}

// A runHead is the first entry of a run that has not been merged.
type runHead struct {
	entry
	index int // of the run: of equal entries, that of the earlier run is first
	next  run
}

// A merging is a heap of the heads of runs: the least is heads[0].
type merging struct {
	compare func(a, b entry) int
	heads   []runHead
}

func (m *merging) Len() int      { return len(m.heads) }
func (m *merging) Swap(i, j int) { m.heads[i], m.heads[j] = m.heads[j], m.heads[i] }
func (m *merging) Push(h any)    { m.heads = append(m.heads, h.(runHead)) }

func (m *merging) Less(i, j int) bool {
	a, b := m.heads[i], m.heads[j]
	if c := m.compare(a.entry, b.entry); c != 0 {
		return c < 0
	}
	return a.index < b.index
}

func (m *merging) Pop() any {
	last := m.heads[len(m.heads)-1]
	m.heads = m.heads[:len(m.heads)-1]
	return last
}

// add adds a run, unless it is empty.
func (m *merging) add(index int, next run) error {
	e, err := next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		heap.Push(m, runHead{e, index, next})
	}
	return err
}

// advance replaces the least entry by the next one of its run.
func (m *merging) advance() error {
	e, err := m.heads[0].next()
	if errors.Is(err, io.EOF) {
		heap.Pop(m)
		return nil
	}
	m.heads[0].entry = e
	heap.Fix(m, 0)
	return err
}
