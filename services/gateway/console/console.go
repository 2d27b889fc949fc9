// Package console serves the web console: a page that uses the HTTP API, built from src into dist by `make console`.
package console

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed all:dist
var dist embed.FS

// policy allows what comes from the gateway itself only. Libraries of the page style elements by attributes.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src blob:; " +
	"connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// An asset is a file of the page.
type asset struct {
	content, compressed []byte
	kind                string
	// lasts is true if its name changes with its content.
	lasts bool
}

// assets are compressed when they are first needed: many a gateway serves no page.
var assets = sync.OnceValue(func() map[string]asset { return load(dist) })

// pages are the first parts of the paths of pages; src/App.svelte has the same ones. A provider sends browsers to sign-in.
var pages = []string{"", "flows", "compose", "catalogue", "capacity", "webhooks", "admin", "sign-in"}

// Handler serves the files of the console, and its page on the paths of all its pages.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assets := assets()
		a, ok := assets[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			if !slices.Contains(pages, first) {
				http.NotFound(w, r)
				return
			}
			a = assets["index.html"]
		}
		a.serve(w, r)
	})
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	if a.lasts {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	h.Add("Vary", "Accept-Encoding")
	body := a.content
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = a.compressed
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // an error means that the client has gone
}

// load reads the files of the page by their paths. It panics if the build of the page is not complete.
func load(files fs.FS) map[string]asset {
	out := make(map[string]asset)
	err := fs.WalkDir(files, "dist", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		var zipped bytes.Buffer
		z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := z.Write(content); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		name = strings.TrimPrefix(name, "dist/")
		out[name] = asset{content, zipped.Bytes(), mime.TypeByExtension(path.Ext(name)), strings.HasPrefix(name, "assets/")}
		return nil
	})
	if err != nil {
		panic(err)
	}
	if _, ok := out["index.html"]; !ok {
		panic("the console was not built: run `make console`")
	}
	return out
}
