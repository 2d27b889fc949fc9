package docfile

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// decode returns a text in UTF-8 without a byte-order mark. Some editors and shells write UTF-16.
func decode(raw []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(raw, []byte{0xff, 0xfe}):
		raw = fromUTF16(raw[2:], binary.LittleEndian)
	case bytes.HasPrefix(raw, []byte{0xfe, 0xff}):
		raw = fromUTF16(raw[2:], binary.BigEndian)
	}
	raw = document.TrimBOM(raw)
	if at := notText(raw); at >= 0 {
		line, column := document.Position(raw, at)
		return nil, problem.List{{
			Code: problem.NotJSON, Line: line, Column: column,
			Message: "the file is not UTF-8 text", Hint: "save it as UTF-8",
		}}
	}
	return raw, nil
}

// fromUTF16 returns UTF-8. Half a character at the end stays as a byte that is not UTF-8.
func fromUTF16(raw []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, 0, len(raw)/2)
	for ; len(raw) >= 2; raw = raw[2:] {
		units = append(units, order.Uint16(raw))
	}
	text := []byte(string(utf16.Decode(units)))
	if len(raw) > 0 {
		text = append(text, 0xff)
	}
	return text
}

// notText returns the offset of the first byte that is not valid UTF-8 or is NUL, as in UTF-16 without a mark and in
// UTF-32; or -1.
func notText(text []byte) int {
	for at := 0; at < len(text); {
		r, n := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && n == 1 || r == 0 {
			return at
		}
		at += n
	}
	return -1
}
