package std

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"github.com/itchyny/gojq"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/document"
)

// jq writes the results of a jq filter for each record: none, one or many.
func jq() executor.Program {
	filter := executor.Input("filter", executor.String)
	in, out := executor.Input("in", jqValue), executor.Output("out", jqValue)
	return executor.Program{
		Ports: []executor.Port{filter, in, out},
		Run: func(ctx context.Context, job *executor.Job) error {
			code, err := filterOf(ctx, job, filter)
			if err != nil {
				return err
			}
			send := func(v any) error { return out.Send(ctx, job, v) }
			return filterAll(ctx, code, in.All(ctx, job), send)
		},
	}
}

// filterOf compiles the setting "filter".
func filterOf(ctx context.Context, job *executor.Job, filter executor.In[string]) (*gojq.Code, error) {
	text, err := single(ctx, job, "filter", filter)
	if err != nil {
		return nil, err
	}
	return compile(text)
}

// filterAll passes on the filter's results for each value, until the filter calls "halt".
func filterAll(
	ctx context.Context, code *gojq.Code, values iter.Seq2[any, error], send func(any) error,
) error {
	var n int64
	for v, err := range values {
		if err == nil {
			err = apply(ctx, code, v, send)
		}
		var halt *gojq.HaltError
		if errors.As(err, &halt) && halt.Value() == nil {
			return nil
		}
		if err != nil {
			return atRecord(n, err)
		}
		n++
	}
	return nil
}

// compile compiles a filter. The filter has no access to the environment or to modules.
func compile(text string) (*gojq.Code, error) {
	query, err := gojq.Parse(text)
	var parse *gojq.ParseError
	if errors.As(err, &parse) {
		return nil, fmt.Errorf("invalid jq filter %q: byte %d: %w", text, parse.Offset, err)
	}
	if err != nil {
		return nil, fmt.Errorf("invalid jq filter %q: %w", text, err)
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, fmt.Errorf("cannot compile the filter %q: %w", text, err)
	}
	return code, nil
}

// A filterError is an error that a filter raised for a record.
type filterError struct{ err error }

func (e *filterError) Error() string { return "the filter failed: " + e.err.Error() }

func (e *filterError) Unwrap() error { return e.err }

// apply passes on each result of the filter.
func apply(ctx context.Context, code *gojq.Code, v any, send func(any) error) error {
	results := code.RunWithContext(ctx, v)
	for {
		v, more := results.Next()
		if !more {
			return nil
		}
		if err, failed := v.(error); failed {
			return &filterError{err}
		}
		if err := send(v); err != nil {
			return err
		}
	}
}

// atRecord adds the record's number to a filter's error.
func atRecord(n int64, err error) error {
	var f *filterError
	if !errors.As(err, &f) {
		return err
	}
	return &executor.PortError{Port: "in", Record: n, Err: err}
}

// jqValue is typename json in gojq's representation; numbers keep their notation.
var jqValue executor.Codec[any] = jqCodec{}

type jqCodec struct{}

func (jqCodec) Typename() string { return "json" }

func (jqCodec) Append(dst []byte, v any) ([]byte, error) {
	b, err := gojq.Marshal(v)
	return append(dst, b...), err
}

func (jqCodec) Decode(record []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(record))
	d.UseNumber()
	if err := d.Decode(&v); err != nil || !json.Valid(record) {
		return nil, errors.New(document.WhyNotJSON(record))
	}
	return v, nil
}
