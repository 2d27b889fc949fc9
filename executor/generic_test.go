package executor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/executor"
)

// A generic program uses type parameters for records that it does not interpret.
func ExampleAny() {
	in := executor.Input("in", executor.ResultOf(executor.Any("T")))
	out := executor.Output("out", executor.Any("T"))
	program := executor.Program{
		TypeParams: []string{"T"},
		Ports:      []executor.Port{in, out},
		Run: func(ctx context.Context, job *executor.Job) error {
			for result, err := range in.All(ctx, job) {
				if err != nil {
					return err
				}
				if result.Err != nil {
					continue
				}
				if err := out.Send(ctx, job, result.Value); err != nil {
					return err
				}
			}
			return nil
		},
	}
	inputs, outputs := program.PortTypes()
	fmt.Println(inputs, outputs)
	// Output: map[in:Result<T>] map[out:T]
}

func ExampleResultOf() {
	c := executor.ResultOf(executor.String)
	good, _ := c.Append(nil, executor.Result[string]{Value: "Alice"})
	bad, _ := c.Append(nil, executor.Result[string]{Err: errors.New("nobody is there")})
	fmt.Printf("%s %q %q\n", c.Typename(), good, bad)
	_, err := c.Decode([]byte("Alice"))
	fmt.Println(err)
	// Output:
	// Result<utf8-string> "\x00Alice" "\x01nobody is there"
	// its first byte is 65: it must be 0 (a value) or 1 (an error)
}

func ExampleListOf() {
	c := executor.ListOf(executor.String)
	record, _ := c.Append(nil, []string{"a", "", "bc"})
	back, _ := c.Decode(record)
	fmt.Printf("%s %q %q\n", c.Typename(), record, back)
	// Output: list<utf8-string> "\x01a\x00\x02bc" ["a" "" "bc"]
}

// A dynamic program looks up the job's ports and creates them.
func ExampleProgram_dynamic() {
	program := executor.Program{
		Dynamic: true,
		Run: func(ctx context.Context, job *executor.Job) error {
			for _, port := range job.Inputs() {
				in := executor.Input(port.Name, executor.Any(port.Typename))
				for _, err := range in.All(ctx, job) {
					if err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	fmt.Println(program.Dynamic, len(program.Ports))
	// Output: true 0
}

type nested = executor.Codec[executor.Result[[][]byte]]

// Each codec decodes what it encodes, with and without a copy.
func TestCodecsDecodeWhatTheyEncode(t *testing.T) {
	var c nested = executor.ResultOf(executor.ListOf(executor.Any("T")))
	rapid.Check(t, func(t *rapid.T) {
		v := executor.Result[[][]byte]{Value: rapid.SliceOf(rapid.SliceOf(rapid.Byte())).Draw(t, "value")}
		if rapid.Bool().Draw(t, "failed") {
			v = executor.Result[[][]byte]{Err: errors.New(rapid.String().Draw(t, "error"))}
		}
		record, err := c.Append([]byte("before"), v)
		if err != nil || !bytes.HasPrefix(record, []byte("before")) {
			t.Fatal(err)
		}
		record = record[len("before"):]
		for _, decode := range []func([]byte) (executor.Result[[][]byte], error){
			c.Decode, c.(executor.StableDecoder[executor.Result[[][]byte]]).DecodeStable,
		} {
			if got, err := decode(record); err != nil || !same(got, v) {
				t.Fatalf("got %v, %v; want %v", got, err, v)
			}
		}
	})
}

func same(a, b executor.Result[[][]byte]) bool {
	if (a.Err == nil) != (b.Err == nil) || a.Err != nil && a.Err.Error() != b.Err.Error() {
		return false
	}
	return slices.EqualFunc(a.Value, b.Value, bytes.Equal)
}

// JSON's null is an error for numbers, text and structs. Types with a null value decode to that.
func TestNull(t *testing.T) {
	type point struct{ X int }
	refuses := func(what string, err error) {
		if err == nil || !strings.Contains(err.Error(), "null, not "+what) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	_, err := executor.JSON[int64]().Decode([]byte(" null\n"))
	refuses("int64", err)
	_, err = executor.JSON[string]().Decode([]byte("null"))
	refuses("string", err)
	_, err = executor.JSON[bool]().Decode([]byte("null"))
	refuses("bool", err)
	_, err = executor.JSON[point]().Decode([]byte("null"))
	refuses("executor_test.point", err)
	if v, err := executor.JSON[*point]().Decode([]byte("null")); err != nil || v != nil {
		t.Errorf("got %v, %v", v, err)
	}
	if v, err := executor.JSON[any]().Decode([]byte("null")); err != nil || v != nil {
		t.Errorf("got %v, %v", v, err)
	}
	if v, err := executor.JSON[json.RawMessage]().Decode([]byte("null")); err != nil || string(v) != "null" {
		t.Errorf("got %s, %v", v, err)
	}
}

// The memory that is passed to Decode changes afterwards.
func TestDecodedValuesAreTheirOwn(t *testing.T) {
	c := executor.ResultOf(executor.ListOf(executor.Any("T")))
	record := []byte("\x00\x01a")
	v, err := c.Decode(record)
	clear(record)
	if err != nil || string(v.Value[0]) != "a" {
		t.Errorf("got %q, %v", v.Value, err)
	}
}

func FuzzGenericCodecs(f *testing.F) {
	f.Add([]byte("\x00\x01a"))
	f.Add([]byte("\x01no"))
	f.Add([]byte("\x00\xff\xff\xff\xff\x0f"))
	c := executor.ResultOf(executor.ListOf(executor.String))
	f.Fuzz(func(t *testing.T, record []byte) {
		v, err := c.Decode(record)
		if err != nil {
			return
		}
		again, err := c.Append(nil, v)
		if err != nil || len(again) > len(record) { // the encoding of a length may be longer than necessary
			t.Fatalf("%q was decoded, and encoded as %q, %v", record, again, err)
		}
		if back, err := c.Decode(again); err != nil || !reflect.DeepEqual(back, v) {
			t.Fatalf("%q was decoded as %q, %v, and then as %q", record, v, err, back)
		}
	})
}
