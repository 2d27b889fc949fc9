package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../.."

func TestGeneratedFilesAreCurrent(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is outdated; run make generate (%v)", name, err)
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "docs", "events.md")); err != nil {
		t.Error(err)
	}
}

// TestReferencesResolve checks that every $ref of the AsyncAPI document resolves and has no siblings.
func TestReferencesResolve(t *testing.T) {
	raw, err := asyncAPI()
	if err != nil {
		t.Fatal(err)
	}
	var whole object
	if err := json.Unmarshal(raw, &whole); err != nil {
		t.Fatal(err)
	}
	count := 0
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case object:
			if pointer, ok := v["$ref"].(string); ok {
				count++
				if len(v) > 1 || !resolves(whole, pointer) {
					t.Errorf("%s of %v", pointer, v)
				}
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(whole)
	if count == 0 {
		t.Error("no references")
	}
}

func resolves(whole object, pointer string) bool {
	var at any = whole
	for _, token := range strings.Split(strings.TrimPrefix(pointer, "#/"), "/") {
		o, ok := at.(object)
		if !ok {
			return false
		}
		at = o[token]
	}
	return at != nil
}

// TestLinksLeadToHeadings checks every link within the page.
func TestLinksLeadToHeadings(t *testing.T) {
	raw, err := eventsPage()
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		marks, heading, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && strings.Trim(marks, "#") == "" {
			headings[anchor(heading)] = true
		}
	}
	for _, link := range strings.Split(string(raw), "](#")[1:] {
		if name, _, _ := strings.Cut(link, ")"); !headings[name] {
			t.Errorf("no heading for #%s", name)
		}
	}
}
