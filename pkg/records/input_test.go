package records

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// inFolder makes files in a new folder and works there; a name with a slash at its end is a folder.
func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			continue
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// fed is what an input feeds.
func fed(in *Input, typename string) (out []string, err error) {
	for record, err := range in.Records(typename) {
		if err != nil {
			return out, err
		}
		out = append(out, string(record))
	}
	return out, nil
}

func TestInputs(t *testing.T) {
	inFolder(t, map[string]string{
		"names.txt": "Ada\nGrace\n", "doc.json": "{\n\"a\": 1}\n", "scan.png": "\x89PNG\r\n\x1a\n", "b64": "AAH/\n",
		"pages/b.png": "B", "pages/a.png": "A\n", "pages/.hidden.png": "H", "pages/c.txt": "C", "pages/below/d.png": "D",
		".dot/x.png": "X", "odd[1].txt": "odd\n", "odd1.txt": "other\n", "a=b,c.txt": "comma\n",
	})
	for _, c := range []struct {
		value    string
		format   Format
		typename string
		want     []string
	}{
		{"names.txt", "", TypeText, []string{"Ada", "Grace"}},
		{"@names.txt", "", TypeText, []string{"Ada", "Grace"}},
		{"names.txt", Whole, TypeText, []string{"Ada\nGrace\n"}},
		{"doc.json", Whole, TypeJSON, []string{"{\n\"a\": 1}\n"}},
		{"b64", "", "octets", []string{"\x00\x01\xff"}},
		{"@scan.png", "", "octets", []string{"\x89PNG\r\n\x1a\n"}},
		{"scan.png", Whole, "octets", []string{"\x89PNG\r\n\x1a\n"}},
		{"@scan.png", Lines, "octets", []string{"\x89PNG", "\x1a"}},
		{"@pages", "", "octets", []string{"A\n", "B", "C"}},
		{"@pages/", "", TypeText, []string{"A\n", "B", "C"}},
		{"@pages", Lines, TypeText, []string{"A", "B", "C"}},
		{"@pages/*.png", "", "octets", []string{"A\n", "B"}},
		{"@./pages/?.png", "", "octets", []string{"A\n", "B"}},
		{"@*/*.png", "", "octets", []string{"A\n", "B"}},
		{"@pages/.*.png", "", "octets", []string{"H"}},
		{"@.*/*.png", "", "octets", []string{"X"}},
		{"@odd[1].txt", "", TypeText, []string{"odd"}}, // a file of that name comes first
		{"@odd[1-9].txt", "", TypeText, []string{"other\n"}},
		{"a=b,c.txt", "", TypeText, []string{"comma"}},
	} {
		in, err := OpenInput(ParseSpec("i", c.value, c.format), nil)
		if err != nil {
			t.Errorf("%s: %v", c.value, err)
			continue
		}
		if err := in.Check(t.Context(), c.typename); err != nil {
			t.Errorf("%s: check: %v", c.value, err)
		}
		if got, err := fed(in, c.typename); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v; want %q", c.value, got, err, c.want)
		}
	}
}

func TestInputsThatCannotBeOpened(t *testing.T) {
	inFolder(t, map[string]string{"pages/.hidden": "", "pages/below/a.png": "", "special/a.png": "", "empty/": ""})
	if err := syscall.Mkfifo("special/b.png", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", "dangling"); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"":           "input i: no file: write --input i=FILE, or i=- for standard input",
		"@":          "input i: no file",
		"missing":    "input i: stat missing: no such file or directory",
		"@missing":   "input i: stat missing: no such file or directory",
		"*.png":      "input i: stat *.png: no such file or directory",
		"dangling":   "input i: stat dangling: no such file or directory",
		"@*.png":     "input i: no file matches *.png (hidden files and folders are skipped)",
		"@[.png":     "input i: [.png: syntax error in pattern",
		"pages":      "input i: pages is a folder: write --input i=@pages to feed each file in it as a record",
		"@pages":     "input i: pages has no files (hidden files and folders are skipped)",
		"@empty":     "input i: empty has no files (hidden files and folders are skipped)",
		"@special":   "input i: special/b.png is not a regular file",
		"@*":         "input i: stat dangling: no such file or directory",
		"@special/*": "input i: special/b.png is not a regular file",
	} {
		_, err := OpenInput(ParseSpec("i", value, ""), nil)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", value, err, want)
		}
	}
}

// What is wrong with a file is found before it is fed, with the file and the line.
func TestInputsAreChecked(t *testing.T) {
	inFolder(t, map[string]string{
		"scan.png": "\x89PNG\r\n\x1a\n", "doc.json": "{\n\"a\": 1}\n", "pages/a.txt": "a", "pages/b.txt": "\xff",
		"good.txt": "a\nb\n",
	})
	huge, err := os.Create("huge")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(huge.Truncate(FileLimit+1), huge.Close()); err != nil { // takes no room
		t.Fatal(err)
	}
	for _, c := range []struct{ value, typename, want string }{
		{"scan.png", "octets", "input i: scan.png: line 1: not base64: illegal base64 data at input byte 0; " +
			"to feed the file as one record, write --input i=@scan.png"},
		{"scan.png", TypeText, "input i: scan.png: line 1: not valid UTF-8: byte 1 is 0x89"},
		{"@doc.json", TypeJSON, `input i: doc.json: line 1: not a JSON value: unexpected end of JSON input at column 2; it begins with "{"; ` +
			"each line must be a record: to feed the file as one record, add --input-format i=file"},
		{"@pages", TypeText, "input i: pages/b.txt: not valid UTF-8: byte 1 is 0xff"},
		{"@huge", "octets", "input i: huge: the file is larger than the limit of a record, 1073741824 bytes"},
		{"huge", "octets", "input i: huge: line 1 is longer than the limit of 67108864 bytes; " +
			"to feed the file as one record, write --input i=@huge"},
	} {
		in, err := OpenInput(ParseSpec("i", c.value, ""), nil)
		if err == nil {
			err = in.Check(t.Context(), c.typename)
		}
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %s", c.value, err, c.want)
		}
	}
	in, err := OpenInput(ParseSpec("i", "good.txt", ""), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(io.ErrClosedPipe)
	if err := in.Check(ctx, TypeText); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a context that has ended: %v", err)
	}
}

// Only so much is read twice.
func TestTheCheckIsBounded(t *testing.T) {
	inFolder(t, map[string]string{"late.txt": "abcdefgh\nx\n\xff\n", "pages/a": "abcdefghij", "pages/b": "\xff"})
	for value, limit := range map[string]int64{"late.txt": 10, "@pages": 10} {
		in, err := OpenInput(ParseSpec("i", value, ""), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := in.check(t.Context(), TypeText, limit); err != nil {
			t.Errorf("%s, the first %d bytes: %v", value, limit, err)
		}
		if err := in.check(t.Context(), TypeText, limit+10); err == nil {
			t.Errorf("%s: no error in the first %d bytes", value, limit+10)
		}
		if _, err := fed(in, TypeText); err == nil || !strings.Contains(err.Error(), "not valid UTF-8") {
			t.Errorf("%s: fed with %v", value, err)
		}
	}
}

// Standard input that is a file is looked at, and still fed from where it stands.
func TestStandardInput(t *testing.T) {
	inFolder(t, map[string]string{"f": "before\nAda\n"})
	f, err := os.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(int64(len("before\n")), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	in, err := OpenInput(ParseSpec("i", "-", ""), f)
	if err != nil || !in.Stdin() {
		t.Fatal(err)
	}
	if err := in.Check(t.Context(), TypeJSON); err == nil || !strings.HasPrefix(err.Error(), "input i: standard input: line 1: not a JSON") {
		t.Errorf("check: %v", err)
	}
	if got, err := fed(in, TypeText); err != nil || !slices.Equal(got, []string{"Ada"}) {
		t.Errorf("got %q, %v", got, err)
	}
	for value, want := range map[string]string{"-": "AP8=\n", "@-": "\x00\xff"} {
		in, err := OpenInput(ParseSpec("i", value, ""), strings.NewReader(want))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fed(in, "octets"); err != nil || !slices.Equal(got, []string{"\x00\xff"}) {
			t.Errorf("%s: got %q, %v", value, got, err)
		}
	}
}

// A pipe is not read before its time, and has one reader whatever it is called.
func TestPipesAreOpenedWhenTheyAreFed(t *testing.T) {
	inFolder(t, nil)
	if err := syscall.Mkfifo("p", 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := OpenInput(ParseSpec("i", "p", ""), nil)
	if err == nil {
		err = in.Check(t.Context(), TypeText)
	}
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile("p", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipe.WriteString("Ada\n"); err != nil {
		t.Fatal(err)
	}
	for record, err := range in.Records(TypeText) {
		if string(record) != "Ada" || err != nil {
			t.Errorf("got %q, %v", record, err)
		}
		break
	}
	same, err := OpenInput(ParseSpec("i", "p", ""), pipe)
	if err != nil || !same.Stdin() {
		t.Errorf("another name of standard input: %v, %v", same, err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
}
