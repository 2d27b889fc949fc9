package flow

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"unicode/utf8"
)

// A Value is one record of a constant. In JSON it is a string when it is UTF-8, else
// {"base64": "…"} with standard padding.
type Value []byte

// MarshalJSON writes UTF-8 records as a string and all others in base64.
func (v Value) MarshalJSON() ([]byte, error) {
	if utf8.Valid(v) {
		return json.Marshal(string(v))
	}
	return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString(v)})
}

// UnmarshalJSON reads either form.
func (v *Value) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*v = Value(s)
		return nil
	}
	var o struct {
		Base64 *string `json:"base64"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	if o.Base64 == nil {
		return errors.New(`a value is a string or {"base64": "…"}`)
	}
	raw, err := base64.StdEncoding.DecodeString(*o.Base64)
	*v = raw
	return err
}
