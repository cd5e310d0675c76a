package action

import (
	"fmt"
	"runtime/debug"
)

// Catch turns a panic into an error; it must be deferred.
func Catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
	}
}
