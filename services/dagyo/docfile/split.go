package docfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// split reads the documents in a text: a sequence of JSON values, or a YAML stream.
func split(raw []byte, name string) ([]Document, error) {
	text, err := decode(raw)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, problem.List{{Code: problem.NotJSON, Message: "the file is empty"}}
	}
	all, bad := splitJSON(text)
	if bad == nil {
		return all, nil
	}
	all, err = splitYAML(text)
	switch named := strings.EqualFold(filepath.Ext(name), ".json"); {
	case named && !clearlyYAML(text, all):
		if !beginsLikeJSON(text) {
			bad.Hint = "if the file is YAML, name it .yaml"
		}
		return nil, problem.List{*bad}
	case err != nil && looksLikeJSON(text):
		return nil, problem.List{*bad}
	}
	return all, err
}

// clearlyYAML reports whether a text cannot be meant as JSON: its objects are in block style, or separated by ---.
func clearlyYAML(text []byte, all []Document) bool {
	return (!beginsLikeJSON(text) || len(all) > 1) && len(all) > 0 &&
		!slices.ContainsFunc(all, func(d Document) bool { return d.JSON[0] != '{' })
}

// beginsLikeJSON reports whether a text begins with a JSON object or array.
func beginsLikeJSON(text []byte) bool {
	first := bytes.TrimSpace(text)[0]
	return first == '{' || first == '['
}

// looksLikeJSON reports whether a text that is neither JSON nor YAML was probably meant as JSON.
func looksLikeJSON(text []byte) bool {
	text = bytes.TrimSpace(text)
	return text[0] == '{' && bytes.HasPrefix(bytes.TrimSpace(text[1:]), []byte(`"`))
}

// splitJSON reads JSON values. The problem contains the position of invalid text.
func splitJSON(text []byte) ([]Document, *problem.Problem) {
	var all []Document
	in := json.NewDecoder(bytes.NewReader(text))
	for {
		var value json.RawMessage
		err := in.Decode(&value)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, notJSON(text, int(in.InputOffset()))
		}
		end := int(in.InputOffset())
		if at := document.NotUnicode(value); at >= 0 {
			p := problem.Problem{Code: problem.NotJSON, Message: "not JSON: the text is not Unicode"}
			p.Line, p.Column = document.Position(text, end-len(value)+at)
			return nil, &p
		}
		line, _ := document.Position(text, end-len(value))
		all = append(all, Document{JSON: value, Line: line, origin: jsonOrigin{text, end - len(value)}})
	}
}

// notJSON returns why the text is not valid JSON after an offset.
func notJSON(text []byte, from int) *problem.Problem {
	var value json.RawMessage
	err := json.Unmarshal(text[from:], &value)
	if err == nil { // the decoder reported the error itself
		err = errors.New("unexpected data after the value")
	}
	p := problem.Problem{Code: problem.NotJSON, Message: "not JSON: " + err.Error()}
	if strings.Contains(err.Error(), "max depth") {
		p = tooDeep()
	}
	if at, ok := document.SyntaxErrorAt(text[from:], err); ok {
		p.Line, p.Column = document.Position(text, from+at)
	}
	return &p
}
