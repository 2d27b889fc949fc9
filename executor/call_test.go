package executor

import (
	"context"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	callIn  = Input("in", String)
	callOut = Output("out", ResultOf(String))
)

// lengths writes the length of each text, and an error for an empty one.
func lengths(ctx context.Context, job *Job) error {
	for v, err := range callIn.All(ctx, job) {
		if err != nil {
			return err
		}
		r := Result[string]{Value: strconv.Itoa(len(v))}
		if v == "" {
			r = Result[string]{Err: errors.New("nothing")}
		}
		if v == "boom" {
			return errors.New("it went boom")
		}
		if err := callOut.Send(ctx, job, r); err != nil {
			return err
		}
	}
	return nil
}

func called(t *testing.T, values ...string) (got []string, err error) {
	t.Helper()
	var results []Result[string]
	err = Call(t.Context(), Program{Ports: []Port{callIn, callOut}, Run: lengths}, callIn.Feed(values...), callOut.Collect(&results))
	for _, r := range results {
		if r.Err != nil {
			r.Value = "error: " + r.Err.Error()
		}
		got = append(got, r.Value)
	}
	return got, err
}

func TestCall(t *testing.T) {
	got, err := called(t, "one", "", "three")
	if want := []string{"3", "error: nothing", "5"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	got, err = called(t, "one", "boom", "three")
	if want := []string{"3"}; err == nil || err.Error() != "it went boom" || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if got, err := called(t); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

// As on an edge, values of an invalid record never reach the program, which fails even if it goes on.
func TestCallChecksRecords(t *testing.T) {
	p := Program{Ports: []Port{callIn}, Run: func(ctx context.Context, job *Job) error {
		_, _ = callIn.Recv(ctx, job)
		_, err := callIn.Recv(ctx, job)
		if !errors.Is(err, io.EOF) {
			t.Errorf("got %v, want the end", err)
		}
		return nil
	}}
	wrong := Input("in", Any("utf8-string")).Feed([]byte{0xff})
	var port *PortError
	if err := Call(t.Context(), p, wrong); !errors.As(err, &port) || port.Port != "in" || port.Record != 0 {
		t.Errorf("got %v", err)
	}
}

func TestCallInBatches(t *testing.T) {
	in, out := Input("in", String), Output("out", String)
	p := Program{Ports: []Port{in, out}, Run: func(ctx context.Context, job *Job) error {
		for batch, err := range in.Batches(ctx, job) {
			if err != nil {
				return err
			}
			if err := out.SendBatch(ctx, job, batch); err != nil {
				return err
			}
		}
		return nil
	}}
	values := make([]string, maxBatch+2)
	for i := range values {
		values[i] = strconv.Itoa(i)
	}
	var got []string
	if err := Call(t.Context(), p, in.Feed(values...), out.Collect(&got)); err != nil || !slices.Equal(got, values) {
		t.Errorf("got %d values, %v", len(got), err)
	}
}

func TestCallNeedsAllPorts(t *testing.T) {
	p := Program{Ports: []Port{callIn, callOut}, Run: lengths}
	var none []Result[string]
	for want, wires := range map[string][]Wire{
		"output out has no wire":    {callIn.Feed()},
		"input in has two wires":    {callIn.Feed(), callIn.Feed(), callOut.Collect(&none)},
		"the program declares 1":    {callIn.Feed(), Input("more", String).Feed(), callOut.Collect(&none)},
		"input in: encode value 1:": {callIn.Feed("a", "\xff"), callOut.Collect(&none)},
	} {
		if err := Call(t.Context(), p, wires...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(ErrStopped)
	if err := Call(stopped, p, callIn.Feed("a"), callOut.Collect(&none)); !errors.Is(err, ErrStopped) {
		t.Errorf("got %v", err)
	}
}
