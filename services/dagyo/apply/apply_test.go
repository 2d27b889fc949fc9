package apply

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/typedoc"
	"github.com/dagyo/dagyo/pkg/webhook"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
)

func asItIs(d docfile.Document, _ string) ([]byte, error) { return d.JSON, nil }

// folder writes files, by path, and returns their folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(all []Document) (out []string) {
	for _, d := range all {
		out = append(out, string(d.Kind)+" "+d.Name)
	}
	return out
}

const (
	catText   = "name: cat\ncommand: [cat]\ninputs: {in: word}\noutputs: {out: word}\n"
	twiceText = "name: again\nflow:\n  nodes: {a: {progdef: cat}}\n  inputs: {in: a.in}\n  outputs: {out: a.out}\n"
	wordText  = "name: word\ndescription: One word.\n"
	hookText  = "name: hook\nurl: https://example.com/\n"
)

func TestRead(t *testing.T) {
	dir := folder(t, map[string]string{
		"types/word.yaml": wordText, "progdefs/again.yml": twiceText, "progdefs/cat.yaml": catText, "webhooks/h.json": `{"name": "hook", "url": "https://example.com/"}`,
		"progdefs/data/config.yaml": "a: 1", "progdefs/cat.py": "print()", "flows/f.yaml": "nodes: {}", "README.md": "",
	})
	files, err := Read([]string{dir}, asItIs)
	if err != nil || len(files.Refused) > 0 {
		t.Fatal(files.Refused, err)
	}
	want := []string{"type word", "progdef cat", "progdef again", "webhook hook"}
	if got := names(files.Documents); !slices.Equal(got, want) || len(files.Has) != 3 {
		t.Errorf("%v, %v", got, files.Has)
	}
	some, err := Read([]string{filepath.Join(dir, "types"), filepath.Join(dir, "progdefs", "cat.yaml")}, asItIs)
	if got := names(some.Documents); err != nil || !slices.Equal(got, want[:2]) || some.Has[Progdef] || !some.Has[Type] {
		t.Errorf("%v, %v, %v", got, some.Has, err)
	}
	for _, wrong := range []string{"flows", "README.md", "nothing", "flows/f.yaml"} {
		if _, err := Read([]string{filepath.Join(dir, wrong)}, asItIs); err == nil {
			t.Errorf("%s was read", wrong)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	dir := folder(t, map[string]string{
		"progdefs/a.yaml": catText + "---\n" + catText, "progdefs/b.yaml": "name: [", "webhooks/h.yaml": "name: hook\nurl: x\n",
		"progdefs/c.yaml": "command: [a]\n---\ncommand: [b]\n", "types/cat.yaml": "name: cat\ndescription: no progdef\n",
	})
	files, err := Read([]string{dir, filepath.Join(dir, "types")}, asItIs)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range files.Refused {
		got = append(got, strings.TrimPrefix(r.Title, dir+"/")+" "+string(r.Problems[0].Code))
	}
	slices.Sort(got)
	want := []string{"progdefs/a.yaml:6 duplicate-name", "progdefs/b.yaml not-json", "types/cat.yaml:1 duplicate-name", "webhooks/h.yaml:1 bad-url"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	// Documents without a name are for the server to refuse.
	if got := names(files.Documents); !slices.Equal(got, []string{"type cat", "progdef cat", "progdef ", "progdef "}) {
		t.Errorf("%q", got)
	}
}

func published(t *testing.T, text string) contract.Published {
	t.Helper()
	d, err := docfile.Read(strings.NewReader(text), "x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, problems := progdef.Check(d.JSON, document.DefaultLimits())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return contract.Published{Pinned: progdef.Pinned{Revision: doc.Revision(), Document: doc}, By: "ada"}
}

func TestPlan(t *testing.T) {
	dir := folder(t, map[string]string{
		"types/word.yaml": wordText, "progdefs/again.yaml": twiceText, "progdefs/cat.yaml": catText, "webhooks/h.yaml": hookText,
	})
	files, err := Read([]string{dir}, asItIs)
	if err != nil {
		t.Fatal(err)
	}
	cat := published(t, catText)
	sub := published(t, twiceText)
	sub.Document.Inputs, sub.Document.Outputs = cat.Document.Inputs, cat.Document.Outputs
	sub.Revision = sub.Document.Revision()
	checked := map[string]contract.CheckedDocument{
		"cat": {Revision: cat.Revision}, "again": {Revision: sub.Revision, Document: &sub.Document},
	}
	hook, _ := webhook.Check([]byte(`{"name": "hook", "url": "https://example.com/"}`), document.DefaultLimits())
	word, _ := typedoc.Check([]byte(`{"name": "word", "description": "One word."}`), document.DefaultLimits())
	same := func() Current {
		return Current{
			Types:    map[string]typedoc.Document{"word": word},
			Progdefs: map[string]contract.Published{"cat": cat, "again": sub, "old": published(t, strings.Replace(catText, "cat", "old", 1))},
			Webhooks: map[string]webhook.Document{"hook": hook, "gone": hook},
		}
	}
	nothing := Prune{Name: func(string) bool { return false }}
	everything := Prune{Kinds: files.Has, Name: func(string) bool { return true }, Ours: func(p contract.Published) bool { return p.By != "platform" }}
	for name, c := range map[string]struct {
		change func(*Current)
		prune  Prune
		want   string
	}{
		"the same":        {func(*Current) {}, nothing, ""},
		"nothing there":   {func(c *Current) { *c = Current{} }, nothing, "type word new; progdef cat new; progdef again new; webhook hook new"},
		"a field differs": {func(c *Current) { p := cat; p.Document.Scaling.MaxExecutors = 3; c.Progdefs["cat"] = p }, nothing, "progdef cat changed scaling.maxExecutors"},
		// The ports of a subflow follow from what it uses.
		"a port differs":     {func(c *Current) { p := sub; p.Document.Inputs = nil; c.Progdefs["again"] = p }, nothing, "progdef again changed inputs"},
		"a revision differs": {func(c *Current) { p := sub; p.Revision = "x"; c.Progdefs["again"] = p }, nothing, "progdef again changed"},
		"a hook differs":     {func(c *Current) { h := hook; h.Users = []string{"eve"}; c.Webhooks["hook"] = h }, nothing, "webhook hook changed users"},
		"a type differs":     {func(c *Current) { w := word; w.Description = "?"; c.Types["word"] = w }, nothing, "type word changed description"},
		"prune":              {func(*Current) {}, everything, "webhook gone removed; progdef old removed"},
		"others prune":       {func(c *Current) { p := c.Progdefs["old"]; p.By = "platform"; c.Progdefs["old"] = p }, everything, "webhook gone removed"},
		"users before used": {func(c *Current) {
			for _, text := range []string{"name: used\ncommand: [x]\noutputs: {out: word}\n", strings.NewReplacer("cat", "used", "again", "a_user").Replace(twiceText)} {
				p := published(t, text)
				c.Progdefs[p.Document.Name] = p
			}
			delete(c.Progdefs, "old")
		}, everything, "webhook gone removed; progdef a_user removed; progdef used removed"},
		"no folder, no pruning": {func(*Current) {}, Prune{Kinds: map[Kind]bool{Type: true}, Name: everything.Name, Ours: everything.Ours}, ""},
	} {
		now := same()
		c.change(&now)
		var got []string
		for _, s := range Plan(files.Documents, checked, now, c.prune) {
			if s.Action != Keep {
				got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", s.Kind, s.Name, s.Action, strings.Join(s.Changed, ","))))
			}
		}
		if text := strings.Join(got, "; "); text != c.want {
			t.Errorf("%s: %s; want %s", name, text, c.want)
		}
	}
}
