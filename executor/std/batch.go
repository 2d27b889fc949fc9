package std

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/document"
)

const (
	// ListLimit is the maximum size of a list that batch or window collects, in bytes. Each element counts as its
	// length and listOverhead.
	ListLimit    = 16 << 20
	listOverhead = 24
)

// batch writes lists of n records. The last list may be shorter.
func batch() executor.Program {
	n := executor.Input("n", executor.JSON[int64]())
	in, out := executor.Input("in", value), executor.Output("list", executor.ListOf(value))
	return generic(func(ctx context.Context, job *executor.Job) error {
		size, err := single(ctx, job, "n", n)
		if err == nil && size < 1 {
			err = fmt.Errorf("n is %d; it must be at least 1", size)
		}
		if err != nil {
			return err
		}
		return slide(ctx, job, in, out, &slider{size: size, step: size, list: list{limit: ListLimit}})
	}, n, in, out)
}

// windowOptions are the options of window.
type windowOptions struct {
	Records *int64             `json:"records"`
	Step    *int64             `json:"step"`
	Time    *document.Duration `json:"time"`
}

const windowUsage = `{"records": 100}, {"records": 5, "step": 1} or {"time": "10s"}`

// window writes lists of successive records: of a number of them, which may overlap, or of those that arrive within
// a time.
func window() executor.Program {
	given := optionsInput()
	in, out := executor.Input("in", value), executor.Output("window", executor.ListOf(value))
	return generic(func(ctx context.Context, job *executor.Job) error {
		var o windowOptions
		if err := options(ctx, job, given, windowUsage, &o); err != nil {
			return err
		}
		w := list{limit: ListLimit}
		if o.Time == nil {
			return slide(ctx, job, in, out, &slider{size: *o.Records, step: *o.Step, list: w})
		}
		t := timer{list: w, most: -1, time: o.Time.D()}
		if o.Records != nil {
			t.most = int(*o.Records)
		}
		return t.run(ctx, job, in, out)
	}, given, in, out)
}

// check checks the options, and sets step if it is missing.
func (o *windowOptions) check() error {
	switch {
	case o.Records == nil && o.Time == nil:
		return errors.New("there is neither records nor time")
	case o.Records != nil && *o.Records < 1:
		return fmt.Errorf("records is %d; it must be at least 1", *o.Records)
	case o.Time != nil && *o.Time <= 0:
		return fmt.Errorf("time is %s; it must be more than 0", *o.Time)
	case o.Step != nil && o.Time != nil:
		return errors.New("step and time exclude each other")
	case o.Step != nil && (*o.Step < 1 || *o.Step > *o.Records):
		return fmt.Errorf("step is %d; it must be from 1 to records, which is %d", *o.Step, *o.Records)
	case o.Step == nil:
		o.Step = o.Records
	}
	return nil
}

// A list collects records up to a limit, in bytes.
type list struct {
	limit   int
	octets  int
	records [][]byte
}

// add appends a record.
func (l *list) add(record []byte) error {
	if l.octets += len(record) + listOverhead; l.octets > l.limit {
		return fmt.Errorf("the list is larger than %d bytes with record %d of it (each counts as its length and %d): use shorter lists",
			l.limit, len(l.records)+1, listOverhead)
	}
	l.records = append(l.records, record)
	return nil
}

// drop removes the first n records.
func (l *list) drop(n int) {
	for _, record := range l.records[:n] {
		l.octets -= len(record) + listOverhead
	}
	l.records = slices.Delete(l.records, 0, n)
}

// A slider makes a list of size records after every step records.
type slider struct {
	size, step int64
	list       list
	fresh      int // records that no list has had yet
}

// slide writes the lists of a slider.
func slide(
	ctx context.Context, job *executor.Job, in executor.In[[]byte], out executor.Out[[][]byte], s *slider,
) error {
	var n int64
	err := batches(ctx, job, in, func(records [][]byte) error {
		for _, record := range records {
			if err := s.list.add(record); err != nil {
				return &executor.PortError{Port: "in", Record: n, Err: err}
			}
			n++
			if s.fresh++; int64(len(s.list.records)) < s.size {
				continue
			}
			if err := out.Send(ctx, job, s.list.records); err != nil {
				return err
			}
			s.list.drop(int(s.step))
			s.fresh = 0
		}
		return nil
	})
	if err != nil || s.fresh == 0 {
		return err
	}
	return out.Send(ctx, job, s.list.records)
}

// A timer makes a list of the records that arrive within a time, counted from the first, or of the first most of them.
type timer struct {
	list list
	most int // -1 for any number
	time time.Duration
}

// run reads and writes at the same time, since a list ends without another record.
func (t *timer) run(
	ctx context.Context, job *executor.Job, in executor.In[[]byte], out executor.Out[[][]byte],
) error {
	arrived := make(chan [][]byte)
	return both(ctx, func(ctx context.Context) error {
		defer close(arrived)
		return batches(ctx, job, in, func(records [][]byte) error {
			select {
			case arrived <- slices.Clone(records):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}, func(ctx context.Context) error {
		return t.write(ctx, arrived, func(records [][]byte) error { return out.Send(ctx, job, records) })
	})
}

// write sends lists until there are no more records.
func (t *timer) write(ctx context.Context, arrived <-chan [][]byte, send func([][]byte) error) error {
	alarm := time.NewTimer(t.time) // set by each first record; without one, it means nothing
	defer alarm.Stop()
	var n int64
	flush := func() error {
		if len(t.list.records) == 0 {
			return nil
		}
		err := send(t.list.records)
		t.list.drop(len(t.list.records))
		return err
	}
	for {
		select {
		case records, more := <-arrived:
			if !more {
				return flush()
			}
			for _, record := range records {
				if err := t.list.add(record); err != nil {
					return &executor.PortError{Port: "in", Record: n, Err: err}
				}
				n++
				if len(t.list.records) == 1 {
					alarm.Reset(t.time)
				}
				if len(t.list.records) == t.most {
					if err := flush(); err != nil {
						return err
					}
				}
			}
		case <-alarm.C:
			if err := flush(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
