package joblog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	// MaxText is the longest text of a line, in bytes. The rest is cut.
	MaxText = 4 << 10
	// MaxBatch is the size from which a batch takes no more lines.
	MaxBatch = 16 << 10
	// MaxMessage is the largest message with lines: a batch, and a last line of which each character is escaped.
	MaxMessage = MaxBatch + 6*MaxText + 1<<10
	// lineCost is how many bytes count as a line against the rate of a job.
	lineCost = 256
)

// Streams of lines.
const (
	Log    = "log"    // of the program's logger
	Stderr = "stderr" // of the standard error of a command
)

// A Line is a line that a job has logged.
type Line struct {
	Time   time.Time `json:"time"`
	Stream string    `json:"stream"`
	// Level is debug, info, warn or error, "" if the line has none.
	Level string `json:"level,omitempty"`
	Text  string `json:"text"`
	// Dropped is how many lines are missing in place of this one, which says so.
	Dropped int64 `json:"dropped,omitempty"`
}

// Missing is the line in place of lines that were dropped.
func Missing(at time.Time, n int64) Line {
	noun := "lines"
	if n == 1 {
		noun = "line"
	}
	return Line{Time: at, Stream: Log, Level: "warn", Text: fmt.Sprintf("… %s %s dropped", grouped(n), noun), Dropped: n}
}

// grouped formats a number with commas.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Cost is how many lines a text counts as.
func Cost(text string) int { return max(1, (len(text)+lineCost-1)/lineCost) }

// Cut returns a text as a line may have it: in UTF-8, and at most MaxText bytes long with the mark of what is cut. more is
// how many bytes were cut before.
func Cut(text string, more int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if more == 0 && len(text) <= MaxText {
		return text
	}
	const room = 40 // of the mark
	end := min(len(text), MaxText-room)
	for end > 0 && end < len(text) && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%s bytes cut)", text[:end], grouped(int64(len(text)-end+more)))
}

// Append appends a line to a batch.
func Append(batch []byte, l Line) []byte {
	line, err := json.Marshal(l)
	if err != nil { // a time outside of years 0 to 9999
		return batch
	}
	return append(append(batch, line...), '\n')
}

// Read returns the lines of a batch. It leaves out anything else, which no SDK has published.
func Read(batch []byte) (out []Line) {
	for text := range bytes.Lines(batch) {
		var l Line
		if json.Unmarshal(text, &l) == nil && !l.Time.IsZero() {
			l.Text = Cut(l.Text, 0)
			out = append(out, l)
		}
	}
	return out
}
