package executor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Any passes records of a typename through unchanged: Any("T") in a generic program, where T is one of
// [Program.TypeParams]. The rules of [Bytes] for received values apply here, too.
func Any(typename string) Codec[[]byte] { return raw(typename) }

type raw string

func (r raw) Typename() string { return string(r) }

func (raw) Append(dst []byte, v []byte) ([]byte, error) { return append(dst, v...), nil }

func (raw) View(v []byte) ([]byte, error) { return v, nil }

func (raw) Decode(record []byte) ([]byte, error) { return append([]byte{}, record...), nil }

func (raw) DecodeStable(record []byte) ([]byte, error) { return record, nil }

// A Result is a value, or the error that explains why there is none.
type Result[V any] struct {
	Value V
	// Err is nil if there is a value. Only its text is sent.
	Err error
}

// Tags of a Result's record.
const (
	tagValue = 0
	tagError = 1
)

// ResultOf returns typename Result<T> for values of typename T: byte 0 and the encoded value, or byte 1
// and the error's text in UTF-8. Invalid UTF-8 in the text is sent as U+FFFD.
func ResultOf[V any](value Codec[V]) Codec[Result[V]] {
	stable, _ := value.(StableDecoder[V])
	return result[V]{value, stable}
}

type result[V any] struct {
	value  Codec[V]
	stable StableDecoder[V] // nil if value is not one
}

func (r result[V]) Typename() string { return "Result<" + r.value.Typename() + ">" }

func (r result[V]) Append(dst []byte, v Result[V]) ([]byte, error) {
	if v.Err != nil {
		return append(append(dst, tagError), strings.ToValidUTF8(v.Err.Error(), "\ufffd")...), nil
	}
	return r.value.Append(append(dst, tagValue), v.Value)
}

func (r result[V]) Decode(record []byte) (Result[V], error) {
	return parseResult(record, r.value.Decode)
}

func (r result[V]) DecodeStable(record []byte) (Result[V], error) {
	if r.stable == nil {
		return r.Decode(record)
	}
	return parseResult(record, r.stable.DecodeStable)
}

func parseResult[V any](record []byte, decode func([]byte) (V, error)) (v Result[V], err error) {
	switch {
	case len(record) == 0:
		return v, errors.New("it is empty: a Result begins with byte 0 (a value) or 1 (an error)")
	case record[0] == tagValue:
		v.Value, err = decode(record[1:])
	case record[0] != tagError:
		err = fmt.Errorf("its first byte is %d: it must be 0 (a value) or 1 (an error)", record[0])
	case !utf8.Valid(record[1:]):
		err = errors.New("its error text is not valid UTF-8")
	default:
		v.Err = errors.New(string(record[1:]))
	}
	return v, err
}

// ListOf returns typename list<T> for slices of typename T: each element is preceded by its length in bytes,
// as an unsigned LEB128 number.
func ListOf[V any](element Codec[V]) Codec[[]V] {
	stable, _ := element.(StableDecoder[V])
	return list[V]{element, stable}
}

type list[V any] struct {
	element Codec[V]
	stable  StableDecoder[V] // nil if element is not one
}

func (l list[V]) Typename() string { return "list<" + l.element.Typename() + ">" }

func (l list[V]) Append(dst []byte, v []V) (_ []byte, err error) {
	for i, e := range v {
		begin := len(dst)
		if dst, err = l.element.Append(dst, e); err != nil {
			return dst, fmt.Errorf("element %d: %w", i, err)
		}
		var size [binary.MaxVarintLen64]byte
		n := binary.PutUvarint(size[:], uint64(len(dst)-begin))
		dst = slices.Insert(dst, begin, size[:n]...)
	}
	return dst, nil
}

func (l list[V]) Decode(record []byte) ([]V, error) { return parseList(record, l.element.Decode) }

func (l list[V]) DecodeStable(record []byte) ([]V, error) {
	if l.stable == nil {
		return l.Decode(record)
	}
	return parseList(record, l.stable.DecodeStable)
}

func parseList[V any](record []byte, decode func([]byte) (V, error)) ([]V, error) {
	var values []V
	for len(record) > 0 {
		size, n := binary.Uvarint(record)
		if n <= 0 {
			return nil, fmt.Errorf("element %d: its length is truncated or exceeds 64 bits", len(values))
		}
		if record = record[n:]; size > uint64(len(record)) {
			return nil, fmt.Errorf("element %d: it should have %d bytes, but only %d are left",
				len(values), size, len(record))
		}
		v, err := decode(record[:size:size])
		if err != nil {
			return nil, fmt.Errorf("element %d: %w", len(values), err)
		}
		values, record = append(values, v), record[size:]
	}
	return values, nil
}
