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

// A Codec encodes values as the bytes of a typename, and decodes them. Implementations must be
// safe for concurrent use.
type Codec[T any] interface {
	// Typename is the typename, which stands for the data and its serialization, as in progdefs.
	Typename() string
	// Append appends the encoded value to dst and returns the extended slice.
	Append(dst []byte, v T) ([]byte, error)
	// Decode decodes a value. It must not retain record: the bytes change after it returns.
	Decode(record []byte) (T, error)
}

// A StableDecoder is a codec that can avoid a copy: its values may share the record's memory.
type StableDecoder[T any] interface {
	Codec[T]
	// DecodeStable is Decode for a record that never changes.
	DecodeStable(record []byte) (T, error)
}

// A Viewer is a codec that can avoid a copy: its values contain their bytes already.
type Viewer[T any] interface {
	Codec[T]
	// View returns the bytes that Append would append. The caller must not modify or retain them.
	View(v T) ([]byte, error)
}

// String is typename utf8-string: the text in UTF-8.
var String Codec[string] = utf8String{}

// Bytes is typename octets: arbitrary bytes. A received value belongs to the program, but it may share
// memory with hundreds of other values of its stream, which stay in memory as long as it does: clone
// values that are kept for long.
var Bytes = Any("octets")

// JSON returns typename json for values of type T: one JSON text per record. The record null is an error
// if T has no value for it, such as a number or a struct.
func JSON[T any]() Codec[T] { return jsonText[T]{nullable: holdsNull(reflect.TypeFor[T]())} }

// holdsNull reports whether a type has a value for JSON's null.
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
