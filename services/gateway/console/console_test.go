package console

import (
	"regexp"
	"testing"
)

// mostFirst bounds what a browser loads before it shows a page: compressed, in bytes.
const mostFirst = 200_000

// The page stays small enough for slow connections, and all that it names is there.
func TestFirstLoad(t *testing.T) {
	all := assets()
	total := len(all["index.html"].compressed)
	for _, m := range regexp.MustCompile(`(?:src|href)="/(assets/[^"]+)"`).FindAllSubmatch(all["index.html"].content, -1) {
		a, ok := all[string(m[1])]
		if !ok {
			t.Errorf("the page names %s, which does not exist", m[1])
		}
		total += len(a.compressed)
	}
	if total < 50_000 || total > mostFirst {
		t.Errorf("a browser loads %d bytes first, want at most %d, and more than an empty page has", total, mostFirst)
	}
}
