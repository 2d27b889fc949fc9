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

// jq writes what a jq filter makes of each record: none, one or many.
func jq() executor.Program {
	filter := executor.Input("filter", executor.String)
	in, out := executor.Input("in", jqValue), executor.Output("out", jqValue)
	return executor.Program{
		Ports: []executor.Port{filter, in, out},
		Run: func(ctx context.Context, job *executor.Job) error {
			text, err := single(ctx, job, "filter", filter)
			if err != nil {
				return err
			}
			code, err := compile(text)
			if err != nil {
				return err
			}
			send := func(v any) error { return out.Send(ctx, job, v) }
			return filterAll(ctx, code, in.All(ctx, job), send)
		},
	}
}

// filterAll hands over what the filter makes of each value, until it says "halt".
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

// compile makes a filter of its text. It reaches neither the environment nor modules.
func compile(text string) (*gojq.Code, error) {
	query, err := gojq.Parse(text)
	var parse *gojq.ParseError
	if errors.As(err, &parse) {
		return nil, fmt.Errorf("the filter %q is not jq: octet %d: %w", text, parse.Offset, err)
	}
	if err != nil {
		return nil, fmt.Errorf("the filter %q is not jq: %w", text, err)
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, fmt.Errorf("the filter %q does not compile: %w", text, err)
	}
	return code, nil
}

// A filterError is what a filter says of a record.
type filterError struct{ err error }

func (e *filterError) Error() string { return "the filter fails: " + e.err.Error() }

func (e *filterError) Unwrap() error { return e.err }

// apply hands over each result of the filter.
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

// atRecord says which record a filter's error is about.
func atRecord(n int64, err error) error {
	var f *filterError
	if !errors.As(err, &f) {
		return err
	}
	return &executor.PortError{Port: "in", Record: n, Err: err}
}

// jqValue is typename json as gojq has it, with numbers as they were written.
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
