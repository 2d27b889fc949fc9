package executor

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// A Codec turns values into the octets that a typename promises, and back. Implementations must be
// safe for concurrent use.
type Codec[T any] interface {
	// Typename is the name of the data and its serialization, as progdefs write it.
	Typename() string
	// Append appends the value's octets to dst and returns the longer slice.
	Append(dst []byte, v T) ([]byte, error)
	// Decode reads a value. It must not keep record: the octets change after it returns.
	Decode(record []byte) (T, error)
}

// String is typename utf8-string: the text's UTF-8 octets.
var String Codec[string] = utf8String{}

// Bytes is typename octets: any octets at all.
var Bytes Codec[[]byte] = octets{}

// JSON returns typename json for values of type T: one JSON text per record.
func JSON[T any]() Codec[T] { return jsonText[T]{} }

type utf8String struct{}

func (utf8String) Typename() string { return "utf8-string" }

func (utf8String) Append(dst []byte, v string) ([]byte, error) {
	if !utf8.ValidString(v) {
		return dst, errors.New("the text is not valid UTF-8")
	}
	return append(dst, v...), nil
}

func (utf8String) Decode(record []byte) (string, error) {
	if !utf8.Valid(record) {
		return "", errors.New("not valid UTF-8")
	}
	return string(record), nil
}

type octets struct{}

func (octets) Typename() string { return "octets" }

func (octets) Append(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil }

func (octets) Decode(record []byte) ([]byte, error) { return append([]byte{}, record...), nil }

type jsonText[T any] struct{}

func (jsonText[T]) Typename() string { return "json" }

func (jsonText[T]) Append(dst []byte, v T) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

func (jsonText[T]) Decode(record []byte) (v T, err error) {
	if err = json.Unmarshal(record, &v); err != nil {
		err = fmt.Errorf("not the JSON that was expected: %w", err)
	}
	return v, err
}
