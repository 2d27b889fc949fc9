package document

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Suggest returns the candidate that word was most likely meant to be, or "" if none is close. Close
// means an edit distance of at most a third of the word's length, at least 1 and at most 3, ignoring
// case. Among equally close candidates it returns the alphabetically first.
func Suggest(word string, candidates []string) string {
	if word == "" || len(word) > 2*MaxName {
		return ""
	}
	lower := strings.ToLower(word)
	best, nearest := "", farthest(word)+1
	for _, c := range candidates {
		if d := len(c) - len(word); d > nearest || -d > nearest {
			continue
		}
		d := distance(lower, strings.ToLower(c))
		if d < nearest || d == nearest && best != "" && c < best {
			best, nearest = c, d
		}
	}
	return best
}

// distance is the edit distance, except that two transposed letters count as one edit.
func distance(a, b string) int {
	d := levenshtein.ComputeDistance(a, b)
	if d == 2 && len(a) == len(b) && letters(a) == letters(b) {
		return 1
	}
	return d
}

func letters(word string) string {
	sorted := []byte(word)
	slices.Sort(sorted)
	return string(sorted)
}

func farthest(word string) int { return min(max(len(word)/3, 1), 3) }

// DidYouMean returns a hint with the suggestion, or "" if there is none.
func DidYouMean(suggestion string) string {
	if suggestion == "" {
		return ""
	}
	return "did you mean " + Quote(suggestion) + "?"
}
