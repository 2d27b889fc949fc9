package progdef

import (
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
)

// Pins are the progdefs of a flow's nodes, by name.
type Pins map[string]Pinned

// UnmarshalJSON returns the same map for the same text, so the caller must not change it: every event about a flow
// repeats the documents of its progdefs, and most flows use the progdefs of an earlier one.
func (p *Pins) UnmarshalJSON(text []byte) (err error) {
	*p, err = decoded.get(text)
	return err
}

// decoded caches Pins for the whole process, since a JSON decoder has no place for a cache.
var decoded = pinsCache{limit: 4 << 20}

// A pinsCache holds Pins by their text. It is cleared when the texts reach the limit, in bytes.
type pinsCache struct {
	limit int

	mu   sync.RWMutex
	pins map[string]Pins
	size int
}

func (c *pinsCache) get(text []byte) (Pins, error) {
	c.mu.RLock()
	found, cached := c.pins[string(text)]
	c.mu.RUnlock()
	if cached {
		return found, nil
	}
	var made map[string]Pinned
	if err := jsonv2.Unmarshal(text, &made, jsonv2.RejectUnknownMembers(true)); err != nil {
		return nil, err
	}
	c.put(string(text), made)
	return made, nil
}

func (c *pinsCache) put(text string, p Pins) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pins == nil || c.size+len(text) > c.limit {
		c.pins, c.size = make(map[string]Pins), 0
	}
	if len(text) <= c.limit/16 {
		c.pins[text] = p
		c.size += len(text)
	}
}
