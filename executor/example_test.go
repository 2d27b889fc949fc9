package executor_test

import (
	"context"
	"fmt"

	"github.com/dagyo/dagyo/executor"
)

// A custom codec binds a Go type to a typename.
type celsius float64

type celsiusCodec struct{}

func (celsiusCodec) Typename() string { return "temperature-celsius" }

func (celsiusCodec) Append(dst []byte, v celsius) ([]byte, error) {
	return fmt.Appendf(dst, "%g", float64(v)), nil
}

func (celsiusCodec) Decode(record []byte) (v celsius, err error) {
	_, err = fmt.Sscanf(string(record), "%g", &v)
	return v, err
}

func ExampleCodec() {
	var c executor.Codec[celsius] = celsiusCodec{}
	record, _ := c.Append(nil, 36.6)
	back, _ := c.Decode(record)
	fmt.Printf("%s carries %q for %v\n", c.Typename(), record, back)
	_, err := executor.String.Decode([]byte{0xff})
	fmt.Println("utf8-string:", err)
	// Output:
	// temperature-celsius carries "36.6" for 36.6
	// utf8-string: not valid UTF-8
}

func ExampleJSON() {
	type point struct{ X, Y int }
	c := executor.JSON[point]()
	record, _ := c.Append(nil, point{1, 2})
	fmt.Println(c.Typename(), string(record))
	_, err := c.Decode([]byte(`{"X": "one"}`))
	fmt.Println(err != nil)
	// Output:
	// json {"X":1,"Y":2}
	// true
}

// A filter reads one port and writes another; Main serves it.
func ExampleProgram() {
	in := executor.Input("in", executor.String)
	long := executor.Output("long", executor.String)
	program := executor.Program{
		Ports: []executor.Port{in, long},
		Run: func(ctx context.Context, job *executor.Job) error {
			for text, err := range in.All(ctx, job) {
				if err != nil {
					return err
				}
				if len(text) < 80 {
					continue
				}
				if err := long.Send(ctx, job, text); err != nil {
					return err
				}
			}
			return nil
		},
	}
	fmt.Println(len(program.Ports), "ports")
	// In main: executor.Main(program)
	// Output: 2 ports
}

// Call runs a program in a unit test, without a broker.
func ExampleCall() {
	name, greeting := executor.Input("name", executor.String), executor.Output("greeting", executor.String)
	program := executor.Program{
		Ports: []executor.Port{name, greeting},
		Run: func(ctx context.Context, job *executor.Job) error {
			for n, err := range name.All(ctx, job) {
				if err != nil {
					return err
				}
				if err := greeting.Send(ctx, job, "hello "+n); err != nil {
					return err
				}
			}
			return nil
		},
	}
	var got []string
	err := executor.Call(context.Background(), program, name.Feed("Ada", "Bob"), greeting.Collect(&got))
	fmt.Println(got, err)
	// Output: [hello Ada hello Bob] <nil>
}

// FromEnvironment reports all errors at once.
func ExampleConfig_Validate() {
	fmt.Println(executor.Config{Mailbox: "greet", ID: "x 1"}.Validate())
	// Output:
	// DAGYO_QUEUE is not set: set it to the URL of the NATS server
	// DAGYO_JOBS is "greet": it must be <progdef>.<revision>
	// DAGYO_EXECUTOR is "x 1": it must match ^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$
	// DAGYO_SLOTS is 0: it must be at least 1
}
