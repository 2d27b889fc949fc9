package docfile

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// A part is a member of an object or an item of an array, with its offsets in the text.
type part struct {
	token string // the name of the member, or the number of the item
	// key is the offset of the name, or of the value of an item.
	key        int
	value, end int
}

// partsOf returns the parts of the value at an offset of a text, which must be valid JSON there.
func partsOf(text []byte, at int) (all []part) {
	in := json.NewDecoder(bytes.NewReader(text[at:]))
	open, _ := in.Token()
	if open != json.Delim('{') && open != json.Delim('[') {
		return nil
	}
	for i := 0; in.More(); i++ {
		p := part{token: strconv.Itoa(i)}
		if open == json.Delim('{') {
			after := at + int(in.InputOffset())
			name, _ := in.Token()
			p.token, _ = name.(string)
			p.key = after + bytes.IndexByte(text[after:], '"')
		}
		var value json.RawMessage
		_ = in.Decode(&value)
		p.end = at + int(in.InputOffset())
		p.value = p.end - len(value)
		if open == json.Delim('[') {
			p.key = p.value
		}
		all = append(all, p)
	}
	return all
}
