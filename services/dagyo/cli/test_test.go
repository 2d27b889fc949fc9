package cli

import (
	"os"
	"path/filepath"
	"testing"
)

// Only the beginning of a file is read to see whether it is a report: the whole one here does not fit into memory.
func TestOtherFilesAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "records.bin")
	if err := os.WriteFile(path, []byte("no report"), 0o600); err != nil {
		t.Fatal(err)
	}
	const size = 1 << 40 // sparse
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	if f, err := createReport(path); err == nil {
		_ = f.Close()
		t.Error("a file that is not a report was emptied")
	}
	if info, err := os.Stat(path); err != nil || info.Size() != size {
		t.Errorf("the file was changed: %v, %v", info, err)
	}
	for name, text := range map[string]string{"old.xml": "<?xml version", "empty.xml": ""} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := createReport(path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = f.Close()
	}
}
