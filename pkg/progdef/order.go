package progdef

import (
	"encoding/json"
	"maps"
	"slices"
)

// Ordered returns documents in an order in which they can be published: each progdef after those that its flow uses.
// Otherwise the order is kept, as it is for documents that cannot be read and for flows that contain each other.
func Ordered[D any](all []D, raw func(D) []byte) []D {
	type named struct {
		Name string          `json:"name"`
		Flow json.RawMessage `json:"flow"`
	}
	docs, byName := make([]named, len(all)), map[string][]int{}
	for i, d := range all {
		if json.Unmarshal(raw(d), &docs[i]) == nil {
			byName[docs[i].Name] = append(byName[docs[i].Name], i)
		}
	}
	out, seen := make([]D, 0, len(all)), make([]bool, len(all))
	var visit func(i int)
	visit = func(i int) {
		if seen[i] {
			return
		}
		seen[i] = true
		parts := Document{Flow: docs[i].Flow}.Parts()
		for _, node := range slices.Sorted(maps.Keys(parts)) {
			for _, j := range byName[parts[node]] {
				visit(j)
			}
		}
		out = append(out, all[i])
	}
	for i := range all {
		visit(i)
	}
	return out
}
