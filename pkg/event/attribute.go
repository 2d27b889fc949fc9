package event

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/problem"
)

// hints describe how to write each attribute of CloudEvents 1.0.
var hints = map[string]string{
	"specversion": `set specversion to the text 1.0`,
	"id":          "set id to a text that the source uses for one event only, such as a UUID",
	"source":      "set source to a URI reference that names the sender, such as /my-team/my-app",
	"type":        "set type to the subject that the event is published on, such as flow.submit",
	"subject":     "set subject to the name that the event is about, or leave it out",
	"time":        "write the time as RFC 3339, such as 2026-03-01T12:00:00Z, or leave it out",
	"datacontenttype": "set datacontenttype to " + mediaJSON +
		" (in binary mode the header content-type), or leave it out",
	"dataschema":  "set dataschema to an absolute URI, such as https://example.com/schema.json, or leave it out",
	"data_base64": "encode the data in base64 with the standard alphabet and padding (RFC 4648, section 4)",
}

// extensionHint is the hint for an attribute that CloudEvents 1.0 does not define.
const extensionHint = "the name of an extension is lower-case letters and digits; its value is a text, a boolean or " +
	"a whole number of 32 bits"

func hintFor(name string) string {
	if hint, ok := hints[name]; ok {
		return hint
	}
	return extensionHint
}

// missingAttribute reports a missing required attribute.
func missingAttribute(name string) problem.Problem {
	return problem.Problem{
		Code: problem.NotCloudEvent, Pointer: problem.Pointer(name),
		Message: "the CloudEvents attribute " + name + " is missing", Hint: hintFor(name),
	}
}

// badAttribute reports an attribute that an event may not have, or not in this form.
func badAttribute(name, why string) problem.Problem {
	short := clip(name)
	return problem.Problem{
		Code: problem.NotCloudEvent, Pointer: problem.Pointer(short),
		Message: clip("the CloudEvents attribute " + short + " is wrong: " + why), Hint: hintFor(name),
	}
}

// badValue reports an attribute by its value.
func (m message) badValue(name, why string) problem.Problem {
	value, ok := m.attrs[name]
	switch {
	case !ok:
		return missingAttribute(name)
	case value == "":
		return badAttribute(name, "it is empty")
	}
	return badAttribute(name, fmt.Sprintf("%q: %s", clip(fmt.Sprint(value)), why))
}

// shortReason returns an error about a value without the value, which the problem names itself.
func shortReason(name string, err error) string {
	var parse *url.Error
	switch text := err.Error(); {
	case errors.As(err, &parse):
		return parse.Err.Error()
	case strings.HasPrefix(text, "invalid value for "+name+":"), strings.HasPrefix(text, "invalid CloudEvents value:"):
		return "it has the wrong type"
	default:
		return text
	}
}

var errNotTime = errors.New("it is not a time of RFC 3339")

// parseTime parses a time of RFC 3339. "T" and "Z" may be lower-case letters, and a leap second is the second after it.
func parseTime(value any) (time.Time, error) {
	text, _ := value.(string)
	text = strings.ToUpper(text)
	if !timeForm(text) {
		return time.Time{}, errNotTime
	}
	const seconds = len("2006-01-02T15:04:")
	leap := text[seconds:seconds+2] == "60"
	if leap {
		text = text[:seconds] + "59" + text[seconds+2:]
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	switch utc := at.UTC(); {
	case err != nil, leap && (utc.Hour() != 23 || utc.Minute() != 59):
		return time.Time{}, errNotTime
	case leap:
		at = at.Add(time.Second)
	}
	return at, nil
}

// timeForm reports whether a text has the form of a time of RFC 3339. time.Parse also accepts a comma before the fraction
// of a second, hours with one digit, and offsets of 24 hours.
func timeForm(text string) bool {
	const form = "0000-00-00T00:00:00"
	if len(text) <= len(form) {
		return false
	}
	for i := range len(form) {
		if c := text[i]; c != form[i] && (form[i] != '0' || c < '0' || c > '9') {
			return false
		}
	}
	offset := text[len(text)-len("00:00"):]
	return text[len(form)] != ',' && (text[len(text)-1] == 'Z' || offset < "24")
}
