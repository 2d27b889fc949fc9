package std

import (
	"bytes"
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/dagyo/dagyo/executor"
)

// LineLimit is the maximum length of a line, in bytes.
const LineLimit = 16 << 20

// lines writes the lines of a text that arrives in pieces of any size. "\n" or "\r\n" ends a line, and the
// end of the input ends the last one.
func lines() executor.Program {
	in := executor.Input("in", value)
	line := executor.Output("line", executor.String)
	return generic(func(ctx context.Context, job *executor.Job) error {
		c := lineCutter{limit: LineLimit}
		err := batches(ctx, job, in, func(pieces [][]byte) error {
			whole, failed := c.cut(pieces)
			if err := line.SendBatch(ctx, job, whole); err != nil {
				return err
			}
			return failed
		})
		if err != nil {
			return err
		}
		last, err := c.last()
		if err != nil {
			return err
		}
		return line.SendBatch(ctx, job, last)
	}, in, line)
}

// A lineCutter splits pieces into lines.
type lineCutter struct {
	limit int
	rest  []byte // of a line that has not ended
	n     int    // lines so far
}

// cut returns the lines that end in the pieces; on an error, the lines before it.
func (c *lineCutter) cut(pieces [][]byte) (whole []string, err error) {
	for _, piece := range pieces {
		for {
			head, tail, ended := bytes.Cut(piece, []byte("\n"))
			if len(c.rest)+len(head) > c.limit {
				return whole, fmt.Errorf("line %d is longer than %d bytes", c.n+1, c.limit)
			}
			c.rest = append(c.rest, head...)
			if !ended {
				break
			}
			line, err := c.line()
			if err != nil {
				return whole, err
			}
			whole, piece = append(whole, line), tail
		}
	}
	return whole, nil
}

// line ends the current line.
func (c *lineCutter) line() (string, error) {
	c.n++
	line := string(bytes.TrimSuffix(c.rest, []byte("\r")))
	c.rest = c.rest[:0]
	if !utf8.ValidString(line) {
		return "", fmt.Errorf("line %d is not valid UTF-8", c.n)
	}
	return line, nil
}

// last returns the last line, if it has no line ending.
func (c *lineCutter) last() ([]string, error) {
	if len(c.rest) == 0 {
		return nil, nil
	}
	line, err := c.line()
	return []string{line}, err
}
