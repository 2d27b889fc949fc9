package suite

import (
	"encoding/json"
	"fmt"
)

// A graph is a flow document.
type graph struct {
	Nodes   map[string]node   `json:"nodes"`
	Edges   []link            `json:"edges"`
	Outputs map[string]string `json:"outputs,omitempty"`
}

type node struct {
	Progdef string `json:"progdef"`
}

type link struct {
	From string `json:"from"`
	To   string `json:"to"`
}

func (d graph) encode() []byte {
	raw, err := json.Marshal(d)
	if err != nil { // maps of strings always encode
		panic(err)
	}
	return raw
}

// greetings is a source, a stage and an output that the client reads.
func greetings() []byte {
	return graph{
		Nodes:   map[string]node{"names": {"source"}, "hello": {"greet"}},
		Edges:   []link{{"names.name", "hello.name"}},
		Outputs: map[string]string{"greetings": "hello.greeting"},
	}.encode()
}

// threeNodes is a flow that completes by itself.
func threeNodes() []byte {
	return graph{
		Nodes: map[string]node{"names": {"source"}, "hello": {"greet"}, "end": {"void_sink"}},
		Edges: []link{{"names.name", "hello.name"}, {"hello.greeting", "end.in"}},
	}.encode()
}

// idle is a flow that runs until it is cancelled.
func idle() []byte { return chain(2) }

// failing is a flow with a job that panics at once, and another job that must be stopped.
func failing() []byte {
	return graph{
		Nodes: map[string]node{"wait": {"bench_idle"}, "bad": {"bench_panic"}},
		Edges: []link{{"wait.out", "bad.in"}},
	}.encode()
}

// chain is a chain of n nodes: a source that never writes, stages, and a sink.
func chain(n int) []byte {
	d := graph{Nodes: map[string]node{"n0": {"bench_idle"}}}
	for i := 1; i < n; i++ {
		name, progdef := fmt.Sprintf("n%d", i), "bench_relay"
		if i == n-1 {
			progdef = "void_sink"
		}
		d.Nodes[name] = node{progdef}
		d.Edges = append(d.Edges, link{fmt.Sprintf("n%d.out", i-1), name + ".in"})
	}
	return d.encode()
}
