// Command gendocs generates files from the tables of events and metrics and the JSON Schemas: the
// AsyncAPI document (schemas/generated/asyncapi.json) and the pages docs/events.md and docs/metrics.md. `make generate`
// runs it in the repository's root; a test fails if the files there are outdated.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "the repository's root")
	flag.Parse()
	if err := write(*root); err != nil {
		fmt.Fprintln(os.Stderr, "gendocs:", err)
		os.Exit(1)
	}
}

// write generates every file under root.
func write(root string) error {
	files, err := generate()
	if err != nil {
		return err
	}
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the content of every generated file by its path from the root.
func generate() (map[string][]byte, error) {
	api, err := asyncAPI()
	if err != nil {
		return nil, err
	}
	page, err := eventsPage()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"schemas/generated/asyncapi.json": api,
		"docs/events.md":                  page,
		"docs/metrics.md":                 metricsPage(),
	}, nil
}
