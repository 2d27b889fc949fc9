package executor

import (
	"errors"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
)

func jobOf(inputs, outputs map[string]string) contract.Job {
	j := contract.Job{
		Progdef: "p", Inputs: map[string]contract.Address{}, Outputs: map[string]contract.Address{},
	}
	for port, typename := range inputs {
		j.Inputs[port] = contract.Address{Type: typename}
	}
	for port, typename := range outputs {
		j.Outputs[port] = contract.Address{Type: typename}
	}
	return j
}

func TestMismatchedJobs(t *testing.T) {
	type ports = map[string]string
	pair := Program{
		TypeParams: []string{"T", "U"},
		Ports: []Port{
			Input("a", Any("T")), Input("b", ResultOf(Any("U"))), Output("out", Any("map<T,list<U>>")),
		},
	}
	tests := []struct {
		name            string
		program         Program
		inputs, outputs ports
		want            string
	}{
		{"fits", pair, ports{"a": "json", "b": "Result<octets>"}, ports{"out": "map<json, list<octets>>"}, ""},
		{"nested", pair, ports{"a": "list<x>", "b": "Result<list<x>>"}, ports{"out": "map<list<x>,list<list<x>>>"}, ""},
		{"conflict", pair, ports{"a": "json", "b": "Result<octets>"}, ports{"out": "map<octets,list<json>>"},
			`T is json on input "a", but octets on output "out"`},
		{"conflict inside", pair, ports{"a": "json", "b": "Result<octets>"}, ports{"out": "map<json,list<json>>"},
			`U is octets on input "b", but json on output "out"`},
		{"other form", pair, ports{"a": "json", "b": "octets"}, ports{"out": "map<json,list<octets>,x>"},
			`input "b" carries octets, the program expects Result<U>; ` +
				`output "out" carries map<json,list<octets>,x>, the program expects map<T,list<U>>`},
		{"ports", pair, ports{"a": "json"}, ports{"out": "map<json,list<json>>"}, `the progdef has no input "b"`},
		{"more ports", Program{}, ports{"a": "json"}, ports{"out": "json"},
			"the progdef has 1 input, the program declares 0; the progdef has 1 output, the program declares 0"},
		{"no variable", Program{Ports: []Port{Input("a", Any("T"))}}, ports{"a": "json"}, nil,
			`input "a" carries json, the program expects T`},
		{"no typename", pair, ports{"a": "<", "b": "Result<x>"}, ports{"out": "map<x,list<x>>"},
			`input "a" carries "<": byte 1 of a typename must be a letter`},
		{"dynamic", Program{Dynamic: true}, ports{"a": "json"}, ports{"out": "json"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := ""
			if tt.want != "" {
				want = "progdef p does not match its program: " + tt.want
			}
			got := ""
			if err := tt.program.check(jobOf(tt.inputs, tt.outputs)); err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// A failure keeps the port, record and detail of the program's error.
func TestFailureOf(t *testing.T) {
	n := int64(3)
	err := error(&DetailedError{
		Err: &PortError{Port: "in", Record: n, Err: errors.New("no")}, Detail: "last\xff words",
	})
	got := mask{}.failure(failureOf(err)) // as it is published
	if got.Kind != contract.KindError || got.Port != "in" || *got.Record != n ||
		got.Message != "no" || got.Detail != "last\ufffd words" {
		t.Errorf("got %+v", got)
	}
	if got := failureOf(errors.New("why")); got != (contract.Failure{Kind: contract.KindError, Message: "why"}) {
		t.Errorf("got %+v", got)
	}
}
