package document

import "testing"

func TestDigest(t *testing.T) {
	const document = `{"nodes": {"a": {"with": {"n": [1, 1.50]}}}, "edges": []}`
	for other, same := range map[string]bool{
		` {"edges":[],"nodes":{"a":{"with":{"n":[1,1.50]}}}} `:          true,
		`{"nodes": {"a": {"with": {"n": [1, 1.5]}}}, "edges": []}`:      false,
		`{"nodes": {"a": {"with": {"n": [1, 1.50]}}}, "edges": []} {}`:  false,
		`{"nodes": {"a": {"with": {"n": [1, 1.50]}}}, "edges": [], }`:   false,
		`{"nodes": {"a": {"with": {"n": [1.50, 1]}}}, "edges": []}`:     false,
		`{"nodes": {"a": {"with": {"n": [1, 1.50]}}}, "edges": [null]}`: false,
	} {
		if (Digest([]byte(other)) == Digest([]byte(document))) != same {
			t.Errorf("the same as %s: want %v", other, same)
		}
	}
}
