package records

import (
	"fmt"
	"strings"
)

// Stdio names standard input as an input's file, and standard output as an output's.
const Stdio = "-"

// A Spec says where the records of a flow's input come from, or where those of an output go to, as
// the user has written it: NAME=FILE or NAME=@FILE.
type Spec struct {
	// Name is that of the flow's input or output.
	Name string
	Path string
	// Raw is true where an @ stands before the path: the files are records, unless they are text.
	Raw bool
	// Format is the one that the user has chosen; "" follows from the typename.
	Format Format
}

// ParseSpec parses what stands behind NAME=.
func ParseSpec(name, value string, chosen Format) Spec {
	path, raw := strings.CutPrefix(value, "@")
	return Spec{Name: name, Path: path, Raw: raw, Format: chosen}
}

// String is the spec as the user has written it.
func (s Spec) String() string {
	if s.Raw {
		return s.Name + "=@" + s.Path
	}
	return s.Name + "=" + s.Path
}

// format is that of one file, or with each of the files in a folder.
func (s Spec) format(typename string, each bool) Format {
	switch {
	case s.Format != "":
		return s.Format
	case each, s.Raw && !IsText(typename):
		return Whole
	}
	return OnLines(typename)
}

// advise adds to an error about the content of an input's file how the user may have meant it.
func (s Spec) advise(err error, f Format, typename string) error {
	switch {
	case s.Format != "" || s.Path == Stdio:
		return err
	case f == Base64:
		return fmt.Errorf("%w; to feed the file as one record write --input %s=@%s", err, s.Name, s.Path)
	case f == Lines && typename == TypeJSON:
		return fmt.Errorf("%w; each line has to be a record: to feed the file as one record add "+
			"--input-format %s=%s", err, s.Name, Whole)
	}
	return err
}
