package document

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// Suggest returns the candidate that word was most likely meant to be, "" when none is near. Near
// is an edit distance of a third of the word's length, at least 1 and at most 3; letter case
// counts for nothing. Among equally near candidates it takes the alphabetically first.
func Suggest(word string, candidates []string) string {
	if word == "" || len(word) > 2*maxName {
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

// distance is the edit distance, except that two letters in the wrong order are one slip.
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

// maxName is the length of the longest name, in octets.
const maxName = 63

// DidYouMean is the hint with a suggestion, "" where there is none.
func DidYouMean(suggestion string) string {
	if suggestion == "" {
		return ""
	}
	return "did you mean " + Quote(suggestion) + "?"
}
