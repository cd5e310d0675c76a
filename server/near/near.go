// Package near finds the word that a person may have meant by a mistyped one.
package near

import (
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// alike is how much two words have in common that may be meant for each other,
// 1 for the same word. What is less alike only confuses.
const alike = 0.6

// Word returns the known word that may have been meant, "" if none is near.
// Upper and lower case don't matter, nor does the order of a few letters.
func Word(word string, known []string) (near string) {
	best := alike
	for _, k := range known {
		a, b := strings.ToLower(word), strings.ToLower(k)
		like := levenshtein.Similarity(a, b, nil)
		if sorted(a) == sorted(b) { // such as shwo
			like = max(like, 0.9)
		}
		if len(a) >= 4 && strings.HasPrefix(b, a) { // such as GetSecret
			like = max(like, 0.75)
		}
		if like > best || like == best && near == "" {
			near, best = k, like
		}
	}
	return near
}

func sorted(word string) string {
	letters := []rune(word)
	slices.Sort(letters)
	return string(letters)
}

// Hint asks in brackets whether a known word was meant, to be put behind the
// mistyped one in a message. It is "" if none is near.
func Hint(word string, known []string) string {
	if near := Word(word, known); near != "" && near != word {
		return " (did you mean " + near + "?)"
	}
	return ""
}
