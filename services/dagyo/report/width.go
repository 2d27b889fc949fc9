package report

import (
	"strings"
	"unicode"
)

// Truncate cuts a line so that it does not wrap on a terminal with this many columns.
func Truncate(line string, columns int) string {
	used := 0
	cut := 0 // the length of a line that is too long
	for i, r := range line {
		if used <= columns-2 {
			cut = i
		}
		if used += columnsOf(r); used >= columns && columns > 1 {
			return line[:cut] + "…"
		}
	}
	return line
}

// width returns the number of columns that a text takes on a terminal.
func width(text string) (columns int) {
	for _, r := range text {
		columns += columnsOf(r)
	}
	return columns
}

// pad appends spaces to a text up to a number of columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-width(text)))
}

// leadsTo is between the two ends of an edge's name.
const leadsTo = " → "

// shortened cuts a name in the middle, or both ends of an edge's name, so that it takes at most this many columns.
func shortened(name string, columns int) string {
	from, to, edge := strings.Cut(name, leadsTo)
	switch {
	case width(name) <= columns:
		return name
	case !edge:
		return middle(name, columns)
	}
	room := max(columns-width(leadsTo), 2)
	left := max(room/2, room-width(to)) // a short end leaves its room to the other one
	from = middle(from, left)
	return from + leadsTo + middle(to, room-width(from))
}

// middle cuts a text in the middle so that it takes at most this many columns, 1 or more.
func middle(text string, columns int) string {
	if width(text) <= columns {
		return text
	}
	runes := []rune(text)
	room := columns - 1 // for the ellipsis
	head, tail := 0, len(runes)
	for used := 0; used+columnsOf(runes[head]) <= (room+1)/2; head++ {
		used += columnsOf(runes[head])
	}
	for used := 0; used+columnsOf(runes[tail-1]) <= room/2; tail-- {
		used += columnsOf(runes[tail-1])
	}
	return string(runes[:head]) + "…" + string(runes[tail:])
}

// wide are the ranges of runes that take two columns: East Asian characters and emoji.
var wide = [][2]rune{
	{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f},
	{0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f000, 0x3fffd},
}

func columnsOf(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) { // combined with the character before it
		return 0
	}
	for _, w := range wide {
		if r >= w[0] && r <= w[1] {
			return 2
		}
	}
	return 1
}
