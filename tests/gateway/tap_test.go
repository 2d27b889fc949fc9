package gateway

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/gateway"
)

// A progdef may not want to be seen, on either side of an edge.
func TestTapIsRefused(t *testing.T) {
	const progdef = `{"name": "shy", "command": ["dagyo-executor", "void_sink"], "inputs": {"in": "json"}, "tap": false}`
	do(t, "PUT", all.own+"/v1/progdefs/shy", progdef).is(t, 200)
	id := fresh("shy")
	do(t, "POST", all.own+"/v1/flows?id="+id, `{"nodes": {"n": {"progdef": "counter"}, "t": {"progdef": "tee"}, "v": {"progdef": "shy"}, "w": {"progdef": "void_sink"}},
		"edges": [{"from": "n.number", "to": "t.in"}, {"from": "t.a", "to": "v.in"}, {"from": "t.b", "to": "w.in"}]}`, "Prefer", "wait").is(t, 202)
	do(t, "GET", all.own+"/v1/flows/"+id+"/tap?edge=t.a", "").is(t, 403, `progdef shy, which node v runs, has \"tap\": false`)
	do(t, "POST", all.own+"/v1/flows/"+id+"/cancel", "").is(t, 202)
}

// A tap shows records that pass on an edge.
func TestTap(t *testing.T) {
	const numbers = `{"nodes": {"n": {"progdef": "counter"}, "v": {"progdef": "void_sink"}}, "edges": [{"from": "n.number", "to": "v.in"}]}`
	id := fresh("tapped")
	do(t, "POST", all.own+"/v1/flows?id="+id, numbers, "Prefer", "wait").is(t, 202)
	do(t, "GET", all.own+"/v1/flows/"+id+"/tap?edge=n.nothing", "").is(t, 404, "edges are named by their writer")
	do(t, "GET", all.own+"/v1/flows/nothing/tap?edge=n.number", "").is(t, 404)
	do(t, "GET", all.own+"/v1/flows/"+id+"/tap", "").is(t, 422)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	r, err := http.NewRequestWithContext(ctx, "GET", all.own+"/v1/flows/"+id+"/tap?edge=n.number", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(authorize(r))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	seen := 0
	for lines := bufio.NewScanner(res.Body); seen < 2 && lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var s gateway.Tapped
		if err := json.Unmarshal([]byte(data), &s); err != nil {
			t.Fatal(err)
		}
		if s.Type != "json" || len(s.Records) > 50 || s.Frames > 32 {
			t.Fatalf("got %d records of %s in %d frames", len(s.Records), s.Type, s.Frames)
		}
		last := -1
		for _, r := range s.Records {
			text, err := base64.StdEncoding.DecodeString(r.Base64)
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(string(text))
			if err != nil || last >= 0 && n != last+1 || len(text) != r.Size {
				t.Fatalf("%q after %d, of %d bytes, %v", text, last, r.Size, err)
			}
			last = n
		}
		if last >= 0 {
			seen++
		}
	}
	if seen < 2 {
		t.Fatal("the stream of samples has ended")
	}
	leave()
	do(t, "POST", all.own+"/v1/flows/"+id+"/cancel", "").is(t, 202)
	ends(t, id, contract.TypeFlowCancelled)
	do(t, "GET", all.own+"/v1/flows/"+id+"/tap?edge=n.number", "").is(t, 410)
}
