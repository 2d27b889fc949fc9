package process

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tree makes directories (with a mode), files and links, from lines such as "dir 700", "dir/file" and "link -> target".
func tree(t *testing.T, lines ...string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		path, mode, isDir := strings.Cut(line, " ")
		target, isLink := strings.CutPrefix(mode, "-> ")
		full := filepath.Join(root, path)
		switch {
		case isLink:
			err = os.Symlink(strings.ReplaceAll(target, "ROOT", root), full)
		case isDir:
			if err = os.Mkdir(full, 0o755); err == nil && mode == "700" {
				err = os.Chmod(full, 0o700)
			}
		default:
			err = os.WriteFile(full, nil, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestView(t *testing.T) {
	root := tree(t, "home 700", "home/app 755", "home/app/main", "home/app/lib 755", "home/app/lib/inner 700",
		"home/app/lib/inner/tool", "home/file", "home/.local 700", "home/.local/share 755", "home/.local/share/py",
		"home/venv 755", "home/venv/bin 755", "home/venv/bin/python -> ROOT/home/.local/share/py",
		"home/alias -> venv", "home/app/loop -> loop", "home/app/up -> ../file",
		"open 755", "open/tool", "store 755", "store/secret", "open/leak -> ../store/secret")
	for name, c := range map[string]struct {
		same   bool // executors have no user of their own
		reach  string
		exact  bool
		covers string
		shows  string
		err    string
		to     string
	}{
		"open":               {reach: "open/tool", to: "open/tool"},
		"beside its files":   {reach: "home/app/main", covers: "home", shows: "home/app", to: "home/app/main"},
		"exact":              {reach: "home/app/main", exact: true, covers: "home", shows: "home/app/main", to: "home/app/main"},
		"a file":             {reach: "home/file", covers: "home", shows: "home/file", to: "home/file"},
		"a closed directory": {reach: "home", covers: "home", to: "home"},
		"closed in closed":   {reach: "home/.local", covers: "home home/.local", to: "home/.local"},
		"two closed":         {reach: "home/.local/share/py", covers: "home home/.local", shows: "home/.local/share", to: "home/.local/share/py"},
		"closed in open":     {reach: "home/app/lib/inner/tool", covers: "home home/app/lib/inner", shows: "home/app/lib/inner/tool", to: "home/app/lib/inner/tool"},
		"a link":             {reach: "home/venv/bin/python", covers: "home home/.local", shows: "home/.local/share home/venv", to: "home/.local/share/py"},
		"a link to a folder": {reach: "home/alias/bin/python", covers: "home home/.local", shows: "home/.local/share home/alias home/venv", to: "home/.local/share/py"},
		"a relative link":    {reach: "home/app/up", covers: "home", shows: "home/app home/file", to: "home/file"},
		"a link in a circle": {reach: "home/app/loop", covers: "home", shows: "home/app", err: "too many"},
		"private":            {reach: "store/secret", err: "do not see"},
		"a link to private":  {reach: "open/leak", err: "do not see"},
		"nothing":            {reach: "open/none", err: "no such file"},
		"its user may":       {same: true, reach: "home/app/main", to: "home/app/main"},
		"its user may not":   {same: true, reach: "store/secret", err: "do not see"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newViewer([]string{filepath.Join(root, "store"), filepath.Join(root, "none")}, !c.same, UIDs{})
			// The temporary directory itself may be closed, depending on the system.
			above := newViewer(nil, !c.same, UIDs{})
			above.show(filepath.Join(root, "x"), true)
			to, err := v.reach(filepath.Join(root, c.reach), c.exact)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("reach: %v, want %q", err, c.err)
			}
			if c.to != "" && to != filepath.Join(root, c.to) {
				t.Errorf("it leads to %s, want %s", to, c.to)
			}
			got := v.view()
			within := func(paths []string) string {
				var out []string
				for _, p := range paths {
					if rel, ok := strings.CutPrefix(p, root+"/"); ok && rel != "store" && !slices.Contains(above.view().Shows, p) {
						out = append(out, rel)
					}
				}
				return strings.Join(out, " ")
			}
			if got := within(got.Covers); got != c.covers {
				t.Errorf("covers %q, want %q", got, c.covers)
			}
			if got := within(got.Shows); got != c.shows {
				t.Errorf("shows %q, want %q", got, c.shows)
			}
		})
	}
}

// An executor could replace what is in its own directories between the making of a view and its use.
func TestViewOfChangeableDirectories(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to another user")
	}
	var uids UIDs
	if err := uids.UnmarshalText([]byte("300000-300009")); err != nil {
		t.Fatal(err)
	}
	root := tree(t, "theirs 755", "theirs/closed 700", "theirs/closed/file", "all 755", "all/closed 700", "all/closed/file",
		"ours 755", "ours/closed 700", "ours/closed/file")
	if err := os.Chown(filepath.Join(root, "theirs"), 300005, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "all"), 0o777); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{"theirs": false, "all": false, "ours": true} {
		v := newViewer(nil, true, uids)
		path := filepath.Join(root, dir, "closed", "file")
		if _, err := v.reach(path, false); err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(v.view().Shows, path); got != want {
			t.Errorf("%s: shown is %v, want %v", dir, got, want)
		}
	}
}

func TestMentioned(t *testing.T) {
	root := tree(t, "home 700", "home/a 755", "home/a/x", "home/b 755", "home/c")
	v := newViewer(nil, true, UIDs{})
	v.mentioned("sh -c 'cat " + root + "/home/a/x|wc' --to=" + root + "/home/b:/usr/bin " + root + "/home/none")
	if got := strings.Join(v.view().Shows, " "); !strings.Contains(got, root+"/home/a "+root+"/home/b") ||
		strings.Contains(got, root+"/home/c") {
		t.Errorf("shows %s", got)
	}
}

func TestUIDs(t *testing.T) {
	for text, ok := range map[string]bool{
		"none": true, "200000-265535": true, "7-7": true,
		"": false, "7": false, "0-7": false, "7-6": false, "a-b": false, "-1-7": false, "1-4294967295": false,
	} {
		var u UIDs
		if err := u.UnmarshalText([]byte(text)); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if got, _ := u.MarshalText(); ok && string(got) != text {
			t.Errorf("%q is written as %q", text, got)
		}
	}
	if got, _ := (UIDs{}).MarshalText(); string(got) != DefaultUIDs {
		t.Errorf("the zero value is %s", got)
	}
	var u UIDs
	_ = u.UnmarshalText([]byte("10-12"))
	taken := map[uint32]bool{}
	for range 3 {
		id, err := u.choose("x", taken)
		if err != nil || id < 10 || id > 12 || taken[id] {
			t.Fatalf("%d, %v; taken %v", id, err, taken)
		}
		taken[id] = true
	}
	if _, err := u.choose("x", taken); err == nil {
		t.Error("a fourth of three")
	}
}

func TestExceeded(t *testing.T) {
	b := bounds{Limits: Limits{Memory: 64 << 20, Processes: 100}, MemoryFrom: "resources.limits.memory"}
	for want, u := range map[string]use{
		"": {memory: 64 << 20, processes: 99},
		"it used more memory than its limit of 64Mi (resources.limits.memory)":     {memory: 64<<20 + 1},
		"it reached its limit of 100 processes and threads (--executor-processes)": {processes: 100},
	} {
		if got := b.exceeded(u); got != want {
			t.Errorf("%+v: %q, want %q", u, got, want)
		}
	}
}

func TestPause(t *testing.T) {
	b := bounds{Limits: Limits{Memory: 8 << 30}}
	for used, want := range map[int64]time.Duration{
		0: time.Second, 6 << 30: 500 * time.Millisecond, 8 << 30: minPause, 9 << 30: minPause,
	} {
		if got := b.pause(use{memory: used}); got != want {
			t.Errorf("%d bytes used: %v, want %v", used, got, want)
		}
	}
}
