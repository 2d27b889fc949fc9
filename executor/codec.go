package executor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"
	"unsafe"

	"github.com/dagyo/dagyo/pkg/document"
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

// A StableDecoder is a codec that can save a copy: its values may share the record's memory.
type StableDecoder[T any] interface {
	Codec[T]
	// DecodeStable is Decode for a record that will never change.
	DecodeStable(record []byte) (T, error)
}

// A Viewer is a codec that can save a copy: its values hold their octets already.
type Viewer[T any] interface {
	Codec[T]
	// View returns the octets that Append would append. Nobody writes to them, or keeps them.
	View(v T) ([]byte, error)
}

// String is typename utf8-string: the text's UTF-8 octets.
var String Codec[string] = utf8String{}

// Bytes is typename octets: any octets at all. A received value is the program's own, but it may lie
// in memory with hundreds of others of its stream, which stay as long as it does: keep a clone of what
// is kept for long.
var Bytes = Any("octets")

// JSON returns typename json for values of type T: one JSON text per record. A record that is null is an error
// where T has no value for it, as a number or a struct has none.
func JSON[T any]() Codec[T] { return jsonText[T]{nullable: holdsNull(reflect.TypeFor[T]())} }

// holdsNull reports whether values of a type can be JSON's null.
func holdsNull(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		return true
	}
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

type utf8String struct{}

func (utf8String) Typename() string { return "utf8-string" }

func (utf8String) Append(dst []byte, v string) ([]byte, error) {
	if !utf8.ValidString(v) {
		return dst, errors.New("the text is not valid UTF-8")
	}
	return append(dst, v...), nil
}

func (utf8String) View(v string) ([]byte, error) {
	if !utf8.ValidString(v) {
		return nil, errors.New("the text is not valid UTF-8")
	}
	return unsafe.Slice(unsafe.StringData(v), len(v)), nil
}

func (utf8String) Decode(record []byte) (string, error) {
	if !utf8.Valid(record) {
		return "", errors.New("not valid UTF-8")
	}
	return string(record), nil
}

type jsonText[T any] struct{ nullable bool }

func (jsonText[T]) Typename() string { return "json" }

func (jsonText[T]) Append(dst []byte, v T) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

func (c jsonText[T]) Decode(record []byte) (v T, err error) {
	err = json.Unmarshal(record, &v)
	switch {
	case err != nil && !json.Valid(record):
		return v, errors.New(document.WhyNotJSON(record))
	case err != nil:
		return v, err
	case !c.nullable && string(bytes.TrimSpace(record)) == "null":
		return v, fmt.Errorf("it is null, not %s", reflect.TypeFor[T]())
	}
	return v, nil
}
