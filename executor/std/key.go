package std

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/dagyo/dagyo/executor"
)

// one returns the only result of a filter.
func one(ctx context.Context, code *gojq.Code, v any) (any, error) {
	results := code.RunWithContext(ctx, v)
	first, some := results.Next()
	if !some {
		return nil, &filterError{errors.New("it has no result; it needs exactly one")}
	}
	if err, failed := first.(error); failed {
		return nil, &filterError{err}
	}
	second, more := results.Next()
	if err, failed := second.(error); failed {
		return nil, &filterError{err}
	}
	if more {
		return nil, &filterError{errors.New("it has more than one result; it needs exactly one")}
	}
	return first, nil
}

// compileKey compiles the filter of an option.
func compileKey(option, text string) (*gojq.Code, error) {
	code, err := compile(text)
	if err != nil {
		return nil, fmt.Errorf("input options: %s: %w", option, err)
	}
	return code, nil
}

// keyOf returns the key of a record of any typename whose records are JSON.
func keyOf(ctx context.Context, code *gojq.Code, record []byte) (any, error) {
	v, err := jqCodec{}.Decode(record)
	if err != nil {
		return nil, fmt.Errorf("the record is not JSON, which the option key needs: %w", err)
	}
	return one(ctx, code, v)
}

// A jsonRecord is a record of typename json, with its text and its value.
type jsonRecord struct {
	text  []byte
	value any
}

// jsonText is typename json for programs that write the records that they read, unchanged.
var jsonText executor.Codec[jsonRecord] = jsonCodec{}

type jsonCodec struct{ jqCodec }

func (jsonCodec) Append(dst []byte, r jsonRecord) ([]byte, error) { return append(dst, r.text...), nil }

func (jsonCodec) View(r jsonRecord) ([]byte, error) { return r.text, nil }

func (c jsonCodec) Decode(record []byte) (jsonRecord, error) {
	return c.DecodeStable(slices.Clone(record))
}

func (c jsonCodec) DecodeStable(record []byte) (jsonRecord, error) {
	v, err := c.jqCodec.Decode(record)
	return jsonRecord{record, v}, err
}

// canonical appends a text of a JSON value that is the same for equal values: 1, 1.0 and 10e-1 are equal, and so are
// objects with the same members.
func canonical(dst []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case string:
		return strconv.AppendQuote(dst, v)
	case []any:
		dst = append(dst, '[')
		for _, e := range v {
			dst = append(canonical(dst, e), ',')
		}
		return append(dst, ']')
	case map[string]any:
		dst = append(dst, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			dst = append(strconv.AppendQuote(dst, name), ':')
			dst = append(canonical(dst, v[name]), ',')
		}
		return append(dst, '}')
	}
	return canonicalNumber(dst, v)
}

// canonicalNumber is canonical for what gojq has as numbers.
func canonicalNumber(dst []byte, v any) []byte {
	switch v := v.(type) {
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case *big.Int:
		return v.Append(dst, 10)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.AppendInt(dst, int64(v), 10)
		}
		return strconv.AppendFloat(dst, v, 'g', -1, 64)
	case json.Number:
		if text := v.String(); !strings.ContainsAny(text, ".eE") {
			if text == "-0" {
				text = "0"
			}
			return append(dst, text...)
		}
		if f, err := v.Float64(); err == nil {
			return canonicalNumber(dst, f)
		}
		return append(dst, v.String()...) // too large for a float64
	}
	return dst // gojq has no other types
}
