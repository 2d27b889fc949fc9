package records

import (
	"fmt"
	"strings"
)

// Stdio means standard input as an input's file, and standard output as an output's file.
const Stdio = "-"

// A Spec is the file of a flow's input or output as the user wrote it: NAME=FILE or NAME=@FILE.
type Spec struct {
	// Name is the name of the flow's input or output.
	Name string
	Path string
	// Raw is true if the path was written with an @: each file is one record, unless it is text.
	Raw bool
	// Format is the format that the user chose; "" is the default of the typename.
	Format Format
}

// ParseSpec parses the text after NAME=.
func ParseSpec(name, value string, chosen Format) Spec {
	path, raw := strings.CutPrefix(value, "@")
	return Spec{Name: name, Path: path, Raw: raw, Format: chosen}
}

// String returns the spec as the user wrote it.
func (s Spec) String() string {
	if s.Raw {
		return s.Name + "=@" + s.Path
	}
	return s.Name + "=" + s.Path
}

// format returns the format of one file, or, with each, of the files in a folder.
func (s Spec) format(typename string, each bool) Format {
	switch {
	case s.Format != "":
		return s.Format
	case each, s.Raw && !IsText(typename):
		return Whole
	}
	return OnLines(typename)
}

// advise adds a hint to an error about the content of an input's file.
func (s Spec) advise(err error, f Format, typename string) error {
	switch {
	case s.Format != "" || s.Path == Stdio:
		return err
	case f == Base64:
		return fmt.Errorf("%w; to feed the file as one record, write --input %s=@%s", err, s.Name, s.Path)
	case f == Lines && typename == TypeJSON:
		return fmt.Errorf("%w; each line must be a record: to feed the file as one record, add "+
			"--input-format %s=%s", err, s.Name, Whole)
	}
	return err
}
