package docfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/dagyo/dagyo/pkg/document"
)

// Set returns the text of a document, JSON or YAML, with a member of the outermost object set to a string.
// The rest of the text does not change, including comments and white space. If the member does not exist, it is
// inserted before another member, which must exist.
func Set(text []byte, member, value, before string) ([]byte, error) {
	quoted, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	mark := text[:len(text)-len(document.TrimBOM(text))]
	text = text[len(mark):]
	edit := setYAML
	if json.Valid(text) {
		edit = setJSON
	}
	out, err := edit(text, member, string(quoted), before)
	if err == nil {
		err = onlyDiffers(text, out, member, value)
	}
	if err != nil {
		return nil, fmt.Errorf("set %q to %s: %w", member, quoted, err)
	}
	return slices.Concat(mark, out), nil
}

// onlyDiffers checks that an edit changed the member and nothing else.
func onlyDiffers(text, edited []byte, member, value string) error {
	was, err := members(text)
	if err != nil {
		return err
	}
	was[member] = value
	if is, err := members(edited); err != nil || !reflect.DeepEqual(was, is) {
		return errors.New("the document cannot be edited automatically; edit it by hand")
	}
	return nil
}

// members reads the members of the only document in a text.
func members(text []byte) (out map[string]any, err error) {
	doc, err := Read(bytes.NewReader(text), "")
	if err == nil {
		err = json.Unmarshal(doc.JSON, &out)
	}
	return out, err
}

func setJSON(text []byte, member, quoted, before string) ([]byte, error) {
	if bytes.TrimSpace(text)[0] != '{' {
		return nil, errors.New("the document is not an object")
	}
	members := make(map[string]part)
	for _, p := range partsOf(text, 0) {
		members[p.token] = p
	}
	if m, ok := members[member]; ok {
		return splice(text, m.value, m.end, quoted), nil
	}
	next, ok := members[before]
	if !ok {
		return nil, fmt.Errorf("field %q not found", before)
	}
	// Use the same white space as the neighbour.
	head := text[:next.key]
	space := head[len(bytes.TrimRight(head, " \t\r\n")):]
	colon := text[next.key+len(before)+len(`""`) : next.value]
	line := fmt.Sprintf("%q%s%s,%s", member, colon, quoted, space)
	return splice(text, next.key, next.key, line), nil
}

func setYAML(text []byte, member, quoted, before string) ([]byte, error) {
	lines, err := memberLines(text)
	if err != nil {
		return nil, err
	}
	all := bytes.SplitAfter(text, []byte("\n"))
	if n, ok := lines[member]; ok {
		all[n] = replaceScalar(all[n], member, quoted)
		return bytes.Join(all, nil), nil
	}
	n, ok := lines[before]
	if !ok {
		return nil, fmt.Errorf("field %q not found", before)
	}
	indent := all[n][:len(all[n])-len(bytes.TrimLeft(all[n], " "))]
	for n > 0 && bytes.HasPrefix(bytes.TrimLeft(all[n-1], " "), []byte("#")) {
		n-- // keep a comment with its field
	}
	line := fmt.Appendf(nil, "%s%s: %s\n", indent, member, quoted)
	all = append(all[:n:n], append([][]byte{line}, all[n:]...)...)
	return bytes.Join(all, nil), nil
}

// memberLines finds the line, counted from 0, of each member of the outermost mapping.
func memberLines(text []byte) (map[string]int, error) {
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, err
	}
	if len(f.Docs) != 1 {
		return nil, fmt.Errorf("got %d documents, want 1", len(f.Docs))
	}
	out := map[string]int{}
	switch body := f.Docs[0].Body.(type) {
	case *ast.MappingNode:
		for _, v := range body.Values {
			out[v.Key.String()] = v.Key.GetToken().Position.Line - 1
		}
	case *ast.MappingValueNode:
		out[body.Key.String()] = body.Key.GetToken().Position.Line - 1
	default:
		return nil, errors.New("the document is not a mapping")
	}
	return out, nil
}

// replaceScalar replaces the text after the member's name, up to a comment or the end of the line.
func replaceScalar(line []byte, member, quoted string) []byte {
	name, rest, _ := strings.Cut(string(line), ":")
	if trimmed := strings.TrimSpace(name); strings.Trim(trimmed, `"'`) != member {
		return line
	}
	end := "\n"
	if i := strings.Index(rest, " #"); i >= 0 {
		end = rest[i:]
	}
	return []byte(name + ": " + quoted + end)
}

func splice(text []byte, from, to int, with string) []byte {
	return slices.Concat(text[:from], []byte(with), text[to:])
}
