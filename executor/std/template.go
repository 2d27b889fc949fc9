package std

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/itchyny/gojq"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/document"
)

// TemplateLimit is the maximum size of a text that template makes, in bytes.
const TemplateLimit = 16 << 20

// template fills a text with values of each record. Its placeholders are jq filters, and not actions of text/template,
// which could neither be stopped nor kept from looping forever.
func template() executor.Program {
	text := executor.Input("template", executor.String)
	in, out := executor.Input("in", jqValue), executor.Output("text", executor.String)
	return executor.Program{
		Ports: []executor.Port{text, in, out},
		Run: func(ctx context.Context, job *executor.Job) error {
			source, err := single(ctx, job, "template", text)
			if err != nil {
				return err
			}
			pieces, err := parseTemplate(source)
			if err != nil {
				return fmt.Errorf("input template: %w", err)
			}
			var n int64
			for v, err := range in.All(ctx, job) {
				if err != nil {
					return err
				}
				filled, err := fill(ctx, pieces, v, TemplateLimit)
				if err != nil {
					return &executor.PortError{Port: "in", Record: n, Err: err}
				}
				if err := out.Send(ctx, job, filled); err != nil {
					return err
				}
				n++
			}
			return nil
		},
	}
}

// A piece of a template is a text, or a filter whose result takes its place.
type piece struct {
	text   string // of a filter, its source
	filter *gojq.Code
}

// parseTemplate splits a template at its placeholders, {{FILTER}}.
func parseTemplate(text string) ([]piece, error) {
	var pieces []piece
	for at := 0; ; {
		before, rest, some := strings.Cut(text[at:], "{{")
		pieces = append(pieces, piece{text: before})
		if !some {
			return pieces, nil
		}
		at += len(before)
		source, _, closed := strings.Cut(rest, "}}")
		if !closed {
			return nil, fmt.Errorf("byte %d: {{ without }}", at)
		}
		if strings.TrimSpace(source) == "" {
			return nil, fmt.Errorf("byte %d: the placeholder is empty; write a jq filter between {{ and }}, such as {{.name}}", at)
		}
		filter, err := compile(source)
		if err != nil {
			return nil, fmt.Errorf("the placeholder at byte %d: %w", at, err)
		}
		pieces = append(pieces, piece{source, filter})
		at += len("{{") + len(source) + len("}}")
	}
}

// fill returns the text of a template for a record.
func fill(ctx context.Context, pieces []piece, v any, limit int) (string, error) {
	var b strings.Builder
	for _, p := range pieces {
		text := p.text
		if p.filter != nil {
			var err error
			if text, err = place(ctx, p.filter, v); err != nil {
				return "", fmt.Errorf("{{%s}}: %w", document.Shorten(p.text, 200), err)
			}
		}
		if b.Len()+len(text) > limit {
			return "", fmt.Errorf("the text is longer than %d bytes", limit)
		}
		b.WriteString(text)
	}
	return b.String(), nil
}

// place returns the text of a filter's only result: a string as it is, everything else as JSON.
func place(ctx context.Context, filter *gojq.Code, v any) (string, error) {
	result, err := one(ctx, filter, v)
	if err != nil {
		return "", err
	}
	switch result := result.(type) {
	case nil:
		return "", errors.New(`it is missing or null; write {{… // "text"}} for a text in its place`)
	case string:
		return result, nil
	}
	text, err := gojq.Marshal(result)
	return string(text), err
}
