package image

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree creates a folder with files by path and content. A path that ends in a slash is an empty folder.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, []byte(content), 0o640)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// sent returns the sent files of a folder.
func sent(t *testing.T, dir, dockerfile string) (names []string, headers map[string]*tar.Header) {
	t.Helper()
	f, err := openFolder(dir, dockerfile, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	r, stop := f.stream()
	headers = map[string]*tar.Header{}
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		headers[h.Name] = h
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return names, headers
}

func TestContextOmitsIgnoredFiles(t *testing.T) {
	files := map[string]string{
		"Dockerfile": "FROM scratch", "a": "a", "b/c": "c", "b/d/e": "e", "b/d/f": "f", "empty/": "",
		".git/HEAD": "x", "secret.pem": "s",
	}
	tests := []struct {
		name, ignore string
		want         []string
	}{
		{"everything", "", []string{
			".dockerignore", ".git/", ".git/HEAD", "Dockerfile", "a", "b/", "b/c", "b/d/", "b/d/e", "b/d/f",
			"empty/", "secret.pem"}},
		{"without a folder and a type of file", "# no history\n.git\n**/*.pem\n", []string{
			".dockerignore", "Dockerfile", "a", "b/", "b/c", "b/d/", "b/d/e", "b/d/f", "empty/"}},
		{"only the files that the builder reads", "*\n", []string{".dockerignore", "Dockerfile"}},
		{"an exception in an ignored folder", "b\n!b/d/e\nempty\n.git\n", []string{
			".dockerignore", "Dockerfile", "a", "b/d/e", "secret.pem"}},
		{"an exception by pattern", "*\n!**/f\n", []string{".dockerignore", "Dockerfile", "b/d/f"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files[".dockerignore"] = tt.ignore
			if got, _ := sent(t, tree(t, files), "Dockerfile"); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDockerfileHasItsOwnIgnoreFile(t *testing.T) {
	dir := tree(t, map[string]string{
		"docker/Dev": "FROM scratch", "docker/Dev.dockerignore": "*\n!b", ".dockerignore": "b", "a": "", "b": "",
	})
	want := []string{"b", "docker/Dev", "docker/Dev.dockerignore"}
	if got, _ := sent(t, dir, "docker/Dev"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestContextKeepsModesAndLinks(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "", "run": "#!"})
	if err := errors.Join(
		os.Chmod(filepath.Join(dir, "run"), 0o755),
		os.Symlink("/etc/passwd", filepath.Join(dir, "link")),
	); err != nil {
		t.Fatal(err)
	}
	_, headers := sent(t, dir, "Dockerfile")
	if h := headers["run"]; h.FileInfo().Mode().Perm() != 0o755 || h.Uid != 0 || h.Uname != "" {
		t.Errorf("run: mode %v of %d (%q)", h.FileInfo().Mode(), h.Uid, h.Uname)
	}
	if h := headers["link"]; h.Typeflag != tar.TypeSymlink || h.Linkname != "/etc/passwd" {
		t.Errorf("link: %c to %q", h.Typeflag, h.Linkname)
	}
}

func TestContextIsRejected(t *testing.T) {
	socket := tree(t, map[string]string{"Dockerfile": ""})
	l, err := net.Listen("unix", filepath.Join(socket, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := []struct{ name, dir, dockerfile, want string }{
		{"no folder", filepath.Join(t.TempDir(), "x"), "Dockerfile", "cannot be read: no such file or directory"},
		{"no Dockerfile", tree(t, nil), "Dockerfile", `has no Dockerfile "Dockerfile": no such file`},
		{"outside", tree(t, nil), "../Dockerfile", `the Dockerfile "../Dockerfile": it must be inside`},
		{"a socket", socket, "Dockerfile", "contains s, which is not a file, folder or link"},
		{"too large", tree(t, map[string]string{
			"Dockerfile": "FROM scratch", "data/a": strings.Repeat("x", 900), "data/b": strings.Repeat("x", 900),
			"m": strings.Repeat("x", 200), "n": "x",
		}), "Dockerfile", "has 1.966KiB; the limit is 1000B; its largest parts: " +
			"data (1.758KiB), m (200B), Dockerfile (12B); name files that the image does not need in its .dockerignore"},
		{"a bad pattern", tree(t, map[string]string{"Dockerfile": "", ".dockerignore": "a[\n"}), "Dockerfile",
			"has a bad pattern in its .dockerignore"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := openFolder(tt.dir, tt.dockerfile, 1000)
			var refused *ContextError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want a ContextError with %q", err, tt.want)
			}
		})
	}
}

// If a file changes or is removed while it is sent, the build fails instead of producing a wrong image.
func TestContextThatChanges(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"grows":   func(p string) error { return os.WriteFile(p, []byte("longer than before"), 0o600) },
		"shrinks": func(p string) error { return os.Truncate(p, 1) },
		"goes":    os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, map[string]string{"Dockerfile": "", "a": "12345"})
			f, err := openFolder(dir, "Dockerfile", 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			defer f.close()
			if err := change(filepath.Join(dir, "a")); err != nil {
				t.Fatal(err)
			}
			r, stop := f.stream()
			_, _ = io.Copy(io.Discard, r)
			if err := stop(); err == nil || !strings.Contains(err.Error(), "send a of the build context") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// When the builder stops reading, the writer ends.
func TestStreamStops(t *testing.T) {
	f, err := openFolder(tree(t, map[string]string{"Dockerfile": strings.Repeat("x", 1<<19)}), "Dockerfile", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	r, stop := f.stream()
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestCauseNamesNoPath(t *testing.T) {
	_, err := os.Open(filepath.Join(t.TempDir(), "x"))
	if got := cause(err); !errors.Is(got, fs.ErrNotExist) || strings.Contains(got.Error(), "/") {
		t.Errorf("got %v", got)
	}
}
