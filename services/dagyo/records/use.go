package records

import (
	"fmt"
	"io/fs"
	"os"
)

// A Use is a file that a command reads or writes.
type Use struct {
	// Who is the name for messages, such as "input names (names.txt)".
	Who string
	// Info identifies the file, whatever its paths and links are; nil never conflicts.
	Info   fs.FileInfo
	Writes bool
}

// destroys reports whether a use writes to the file of another one.
func (u Use) destroys(other Use) bool {
	if !u.Writes || u.Info == nil || other.Info == nil {
		return false
	}
	// Terminals and devices such as /dev/null may be shared. What is in a file or a pipe would be lost.
	kept := u.Info.Mode().IsRegular() || u.Info.Mode()&fs.ModeNamedPipe != 0
	return kept && os.SameFile(u.Info, other.Info)
}

// Conflict reports a file that is written and also used for anything else.
func Conflict(uses []Use) error {
	for n, u := range uses {
		if !u.Writes {
			continue
		}
		for m, other := range uses {
			if m == n || !u.destroys(other) {
				continue
			}
			if other.Writes { // then u is the earlier one
				u, other = other, u
			}
			return fmt.Errorf("%s and %s are the same file, which would be destroyed: write to another file",
				other.Who, u.Who)
		}
	}
	return nil
}

// StreamUse is the use of a standard stream. One that is not a file never conflicts.
func StreamUse(stream any, who string, writes bool) Use {
	u := Use{Who: who, Writes: writes}
	if f, ok := stream.(*os.File); ok {
		u.Info, _ = f.Stat() // nil if it is closed
	}
	return u
}

// isSameStream reports whether a path is another name of a stream that can be read once only.
func isSameStream(stream any, path string) bool {
	u := StreamUse(stream, "", false)
	if u.Info == nil || u.Info.Mode().IsRegular() || isNull(u.Info) {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && os.SameFile(u.Info, info)
}

func isNull(info fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(null, info)
}
