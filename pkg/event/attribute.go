package event

import (
	"fmt"
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

// plainTime rewrites a time of RFC 3339 in the form that Go parses: "T" and "Z" may be lower-case letters, and a
// leap second is the second after it. Any other text is unchanged.
func plainTime(text string) string {
	upper := strings.ToUpper(text)
	const seconds = len("2006-01-02T15:04:")
	if len(upper) < len("2006-01-02T15:04:60Z") || upper[seconds:seconds+2] != "60" {
		return keepUnlessTime(text, upper)
	}
	before, err := time.Parse(time.RFC3339Nano, upper[:seconds]+"59"+upper[seconds+2:])
	if utc := before.UTC(); err != nil || utc.Hour() != 23 || utc.Minute() != 59 {
		return text
	}
	return before.Add(time.Second).Format(time.RFC3339Nano)
}

// keepUnlessTime returns the upper-case form of a text that is a time, else the text.
func keepUnlessTime(text, upper string) string {
	if _, err := time.Parse(time.RFC3339Nano, upper); err != nil {
		return text
	}
	return upper
}
