package flowtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/atomicwriter"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/records"
	"github.com/dagyo/dagyo/pkg/stream"
)

// recordCost is added to the size of each record in memory: otherwise an endless output of empty records
// would not reach the limit.
const recordCost = 32

// A collected holds the records that were read from one output.
type collected struct {
	typename string
	limit    int64
	size     int64
	records  [][]byte
	count    contract.OutputCount
	err      error
	cut      bool // the output has no end
}

// errTooMuch is returned for an output that was not read to the end.
var errTooMuch = errors.New("the output is larger than the limit of a test")

// read reads the output to the end. It stores records only if keep is set.
func (c *collected) read(
	ctx, running context.Context, from *client.Client, a contract.Address, keep bool,
) {
	take := func([]byte) error { return nil }
	if keep {
		take = c.take
	}
	n, err := from.Read(ctx, running, a, take)
	c.count = n
	if errors.Is(err, stream.ErrCut) {
		c.cut, err = true, nil
	}
	if c.err == nil {
		c.err = err
	}
}

func (c *collected) take(record []byte) error {
	c.size += int64(len(record)) + recordCost
	if c.size > c.limit {
		c.err = errTooMuch
		return client.ErrEnough
	}
	c.records = append(c.records, bytes.Clone(record))
	return nil
}

// overflows reports the outputs that exceeded the limit.
func (r *Runner) overflows(outputs map[string]*collected) []Failure {
	var out []Failure
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		if errors.Is(outputs[name].err, errTooMuch) {
			out = append(out, Failure{
				About: "output " + name, Hint: "raise --max-output, or ignore the output in test.yaml",
				Message: fmt.Sprintf("%v: %d bytes, plus %d bytes per record", errTooMuch, r.OutputLimit,
					recordCost),
			})
		}
	}
	return out
}

// judgeOutput compares one output with its file.
func (r *Runner) judgeOutput(c Case, name string, out *collected, result *Result) {
	fail := func(message, detail, hint string) {
		result.Failures = append(result.Failures, Failure{"output " + name, message, detail, hint})
	}
	path := c.Goldens[name]
	switch {
	case out == nil, path == "" && c.Panic != nil:
		return // the flow ended before it was planned, or there is nothing to report
	case out.err != nil:
		fail("cannot be read: "+out.err.Error(), "", "")
		return
	case out.cut && result.Verdict == contract.TypeFlowCompleted:
		fail("it was deleted before it was read to the end", "", "")
		return
	}
	compared, err := r.comparison(c, name, out)
	if err != nil {
		fail(err.Error(), "", "")
		return
	}
	shown := compared.diff(cmp.Or(path, "nothing"), "output "+name)
	switch {
	case shown == "" && path != "":
	case r.Update && c.Panic == nil:
		r.update(c, name, compared, result)
	case path == "":
		fail("no file with expected records", shown,
			fmt.Sprintf("write %s with --update, or ignore the output in test.yaml",
				c.golden(name, suits(out.records, out.typename))))
	default:
		fail("differs from "+path, shown, "")
	}
}

func (c Case) golden(output string, f format) string {
	return filepath.Join(c.Dir, outputsDir, output+string(f))
}

// comparison reads the file of an output.
func (r *Runner) comparison(c Case, name string, out *collected) (comparison, error) {
	cmp := comparison{
		typename: out.typename, format: suits(out.records, out.typename), got: out.records,
		unordered: c.Document.Outputs[name].Unordered, partial: c.Panic != nil,
	}
	path := c.Goldens[name]
	if path == "" {
		return cmp, nil
	}
	cmp.format = formatOf(path)
	want := collected{limit: r.OutputLimit}
	for record, err := range readFile(path, out.typename) {
		if err == nil && want.take(record) != nil {
			err = fmt.Errorf("larger than the limit of %d bytes: raise --max-output", r.OutputLimit)
		}
		if err != nil {
			return cmp, fmt.Errorf("read the expected records: %w", err)
		}
	}
	cmp.want = want.records
	return cmp, nil
}

// update writes the actual records to the output's file.
func (r *Runner) update(c Case, name string, cmp comparison, result *Result) {
	f := cmp.format
	if !f.holds(cmp.got, cmp.typename) {
		f = suits(cmp.got, cmp.typename)
	}
	path, old := c.golden(name, f), c.Goldens[name]
	err := errors.New("a record with typename json is not valid JSON: it cannot be written to a file")
	if f.holds(cmp.got, cmp.typename) {
		err = f.write(path, cmp.sorted(), cmp.typename)
	}
	if err == nil && old != "" && old != path {
		err = os.RemoveAll(old)
	}
	if err != nil {
		result.Failures = append(result.Failures, Failure{About: "output " + name, Message: err.Error()})
		return
	}
	result.Updated = append(result.Updated, path)
}

// sorted sorts unordered records, so that equal sets of records give equal files.
func (c comparison) sorted() [][]byte {
	if !c.unordered {
		return c.got
	}
	return slices.SortedFunc(slices.Values(c.got), bytes.Compare)
}

// replace replaces a file, or that to which a symbolic link refers.
func replace(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	return atomicwriter.WriteFile(path, content, 0o644)
}

// replaceFiles writes each record to a file in the folder, and replaces the files in it.
func replaceFiles(dir string, all [][]byte, typename string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	ending := records.Ending(typename)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || e.IsDir() {
			continue
		}
		ending = filepath.Ext(e.Name())
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	for n, record := range all {
		if err := replace(filepath.Join(dir, fmt.Sprintf("%08d%s", n, ending)), record); err != nil {
			return err
		}
	}
	return nil
}

// puller returns a function that returns the next record at each call, and io.EOF at the end.
func puller(records iter.Seq2[[]byte, error]) (next func() ([]byte, error), stop func()) {
	pull, stop := iter.Pull2(records)
	return func() ([]byte, error) {
		record, err, more := pull()
		if !more {
			return nil, io.EOF
		}
		return record, err
	}, stop
}
