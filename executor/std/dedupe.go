package std

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/itchyny/gojq"

	"github.com/dagyo/dagyo/executor"
)

const (
	// DedupeDefault is the number of keys that dedupe remembers if the option remember is missing, DedupeLimit the
	// maximum.
	DedupeDefault = 100_000
	DedupeLimit   = 1_000_000
)

// dedupeOptions are the options of dedupe.
type dedupeOptions struct {
	Key      *string `json:"key"`
	Remember *int64  `json:"remember"`
	Full     string  `json:"full"`
}

// Values of the option full: what happens when there are more keys than dedupe remembers.
const (
	fullPanic  = "panic"
	fullForget = "forget"
)

const dedupeUsage = `{}, {"key": ".id"} or {"remember": 1000, "full": "forget"}`

// dedupe writes the first record of each key; without the option key, the record itself is the key.
func dedupe() executor.Program {
	given := optionsInput()
	in, out := executor.Input("in", value), executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		var o dedupeOptions
		if err := options(ctx, job, given, dedupeUsage, &o); err != nil {
			return err
		}
		var key *gojq.Code
		if o.Key != nil {
			var err error
			if key, err = compileKey("key", *o.Key); err != nil {
				return err
			}
		}
		m := memory{most: int(*o.Remember), forgets: o.Full == fullForget, known: make(map[digest]bool)}
		return selected(ctx, job, in, out, func(_ int64, record []byte) (bool, error) {
			if key == nil {
				return m.add(sha256.Sum256(record))
			}
			k, err := keyOf(ctx, key, record)
			if err != nil {
				return false, err
			}
			return m.add(sha256.Sum256(canonical(nil, k)))
		})
	}, given, in, out)
}

// check checks the options, and sets those that are missing.
func (o *dedupeOptions) check() error {
	if o.Remember == nil {
		o.Remember = new(int64(DedupeDefault))
	}
	if *o.Remember < 1 || *o.Remember > DedupeLimit {
		return fmt.Errorf("remember is %d; it must be from 1 to %d", *o.Remember, DedupeLimit)
	}
	switch o.Full {
	case "":
		o.Full = fullPanic
	case fullPanic, fullForget:
	default:
		return fmt.Errorf("full is %q; it must be %q or %q", o.Full, fullPanic, fullForget)
	}
	return nil
}

// A digest stands for a key.
type digest = [sha256.Size]byte

// A memory holds the last keys.
type memory struct {
	most    int
	forgets bool
	known   map[digest]bool
	order   []digest // if it forgets: a ring, whose oldest entry is at next once it is full
	next    int
}

// add reports whether a key is new, and remembers it.
func (m *memory) add(key digest) (bool, error) {
	if m.known[key] {
		return false, nil
	}
	if len(m.known) == m.most && !m.forgets {
		return false, fmt.Errorf("there are more than %d different keys; raise the option remember (to %d at most), or set full to %q",
			m.most, DedupeLimit, fullForget)
	}
	if m.forgets {
		m.replace(key)
	}
	m.known[key] = true
	return true, nil
}

// replace puts a key in the place of the oldest, which is forgotten.
func (m *memory) replace(key digest) {
	if len(m.order) < m.most {
		m.order = append(m.order, key)
		return
	}
	delete(m.known, m.order[m.next])
	m.order[m.next] = key
	m.next = (m.next + 1) % m.most
}
