package progdef

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const onePin = `{"p":{"revision":"r","document":{"name":"p","inputs":{"in":"text"},"outputs":{},"scaling":` +
	`{"jobsPerExecutor":1,"minExecutors":0,"maxExecutors":1,"idleTimeout":"5m0s"},"resources":{},"machine":{},` +
	`"health":{"interval":"2s","timeout":"10s"},"drain":{"gracePeriod":"1s"}}}}`

func TestPinsShareDocuments(t *testing.T) {
	var a, b Pins
	for _, into := range []*Pins{&a, &b} {
		if err := json.Unmarshal([]byte(onePin), into); err != nil {
			t.Fatal(err)
		}
	}
	if a["p"].Document.Inputs["in"].Type != "text" {
		t.Errorf("decoded %+v", a)
	}
	if reflect.ValueOf(a).Pointer() != reflect.ValueOf(b).Pointer() {
		t.Error("the same text was decoded twice")
	}
}

func TestPinsRejectUnknownMembers(t *testing.T) {
	for range 2 { // the second time, it could be cached
		var p Pins
		if err := json.Unmarshal([]byte(strings.Replace(onePin, "revision", "version", 1)), &p); err == nil {
			t.Error("accepted an unknown member")
		}
	}
}

func TestPinsCacheIsBounded(t *testing.T) {
	c := pinsCache{limit: 100 * len(onePin)}
	get := func(text string) {
		if _, err := c.get([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if n := 0; true {
			for text := range c.pins {
				n += len(text)
			}
			if n != c.size || n > c.limit {
				t.Fatalf("holds %d bytes, counts %d, limit %d", n, c.size, c.limit)
			}
		}
	}
	for i := range 250 {
		get(strings.Replace(onePin, `"r"`, fmt.Sprintf(`"r%d"`, i), 1))
	}
	before := len(c.pins)
	get(strings.Replace(onePin, `"r"`, `"`+strings.Repeat("r", c.limit/16)+`"`, 1))
	if len(c.pins) != before && len(c.pins) != 0 {
		t.Error("a large text is cached")
	}
}
