package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// A Duration is written in documents in Go's notation: "250ms", "10m", "24h".
type Duration time.Duration

// D returns the duration as a time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// MarshalJSON writes the duration as a string. None of its characters needs to be escaped.
func (d Duration) MarshalJSON() ([]byte, error) { return []byte(`"` + d.String() + `"`), nil }

// UnmarshalJSON reads a duration from a string such as "10m".
func (d *Duration) UnmarshalJSON(b []byte) error {
	s, err := text(b)
	if err != nil {
		return fmt.Errorf("a duration is a string such as \"10m\": %w", err)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return err
	}
	*d = Duration(v)
	return nil
}

// text returns the text of a JSON string. Durations hardly ever have escapes.
func text(b []byte) (s string, err error) {
	if n := len(b) - 1; n > 0 && b[0] == '"' && b[n] == '"' && bytes.IndexByte(b, '\\') < 0 {
		return string(b[1:n]), nil
	}
	err = json.Unmarshal(b, &s)
	return s, err
}
