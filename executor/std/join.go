package std

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/itchyny/gojq"

	"github.com/dagyo/dagyo/executor"
)

const (
	// JoinLimit is the maximum size of the input b that a job of join keeps in memory, in bytes. Each record counts as
	// its length, that of its key, and joinOverhead.
	JoinLimit    = 64 << 20
	joinOverhead = 64
)

// joinOptions are the options of join.
type joinOptions struct {
	A    string `json:"a"`
	B    string `json:"b"`
	Type string `json:"type"`
}

// Values of the option type.
const (
	joinInner = "inner"
	joinLeft  = "left"
)

const joinUsage = `{"a": ".customer", "b": ".id"} or {"a": ".customer", "b": ".id", "type": "left"}`

// join writes an object for each record of a and each record of b with the same key. It keeps all of b.
func join() executor.Program {
	given := optionsInput()
	a, b := executor.Input("a", jsonText), executor.Input("b", jsonText)
	out := executor.Output("out", executor.Any("json"))
	return executor.Program{
		Ports: []executor.Port{given, a, b, out},
		Run: func(ctx context.Context, job *executor.Job) error {
			var o joinOptions
			if err := options(ctx, job, given, joinUsage, &o); err != nil {
				return err
			}
			keyA, err := compileKey("a", o.A)
			if err != nil {
				return err
			}
			keyB, err := compileKey("b", o.B)
			if err != nil {
				return err
			}
			t := table{limit: JoinLimit, rows: make(map[string][][]byte)}
			if err := keyed(ctx, job, "b", b, keyB, t.add, nothing); err != nil {
				return err
			}
			box := outbox{out: out}
			return keyed(ctx, job, "a", a, keyA, func(key string, record []byte) error {
				for _, match := range t.matches(key, o.Type == joinLeft) {
					if err := box.add(ctx, job, joined(record, match)); err != nil {
						return err
					}
				}
				return nil
			}, func() error { return box.flush(ctx, job) })
		},
	}
}

func (o *joinOptions) check() error {
	switch {
	case o.A == "" || o.B == "":
		return errors.New("it needs both a and b, the filters of the keys")
	case o.Type == "":
		o.Type = joinInner
	case o.Type != joinInner && o.Type != joinLeft:
		return fmt.Errorf("type is %q; it must be %q or %q", o.Type, joinInner, joinLeft)
	}
	return nil
}

// keyed calls do with the key and the text of each record of an input, and after behind each batch. The key is "" if the
// filter's result is null.
func keyed(
	ctx context.Context, job *executor.Job, port string, in executor.In[jsonRecord], code *gojq.Code,
	do func(key string, record []byte) error, after func() error,
) error {
	var n int64
	return batches(ctx, job, in, func(records []jsonRecord) error {
		var failed error
		for _, r := range records {
			key, err := joinKey(ctx, code, r.value)
			if err != nil {
				failed = &executor.PortError{Port: port, Record: n, Err: err}
				break
			}
			if err := do(key, r.text); err != nil {
				return err
			}
			n++
		}
		if err := after(); err != nil {
			return err
		}
		return failed
	})
}

func nothing() error { return nil }

func joinKey(ctx context.Context, code *gojq.Code, v any) (string, error) {
	key, err := one(ctx, code, v)
	if err != nil || key == nil {
		return "", err
	}
	return string(canonical(nil, key)), nil
}

// A table holds the records of b by their keys.
type table struct {
	limit  int
	octets int
	rows   map[string][][]byte
}

// add keeps a record. Without a key it matches nothing, and is dropped.
func (t *table) add(key string, record []byte) error {
	if key == "" {
		return nil
	}
	if t.octets += len(key) + len(record) + joinOverhead; t.octets > t.limit {
		return fmt.Errorf("the input b has more than %d bytes (each record counts as its length, that of its key, and %d), "+
			"and join keeps it in memory: connect the smaller input to b", t.limit, joinOverhead)
	}
	t.rows[key] = append(t.rows[key], bytes.Clone(record))
	return nil
}

// matches returns the records with a key; none is null if that is wanted.
func (t *table) matches(key string, orNull bool) [][]byte {
	if rows := t.rows[key]; len(rows) > 0 || !orNull {
		return rows
	}
	return [][]byte{[]byte("null")}
}

// joined returns the object of two JSON texts.
func joined(a, b []byte) []byte {
	out := make([]byte, 0, len(a)+len(b)+len(`{"a":,"b":}`))
	out = append(append(out, `{"a":`...), a...)
	return append(append(append(out, `,"b":`...), b...), '}')
}
