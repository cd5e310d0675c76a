package server

import (
	"bytes"
	"io"
	"sync/atomic"
	"time"
)

// A LogWriter writes log lines in the background, so that the code that logs
// never waits for a reader that stalls or for a slow disk. Lines for which
// there is no room are dropped and counted.
type LogWriter struct {
	// Dropped, if not nil, is called with the number of dropped lines once
	// there is room again, to log it in the log's own format.
	Dropped func(lines uint64)

	out   io.Writer
	lines chan []byte
	lost  atomic.Uint64
	ended chan struct{}
}

const (
	// waitingLines is the largest number of lines that wait to be written.
	waitingLines = 512
	// longestLine is how much of a line is written, in bytes.
	longestLine = 16 << 10
)

// NewLogWriter returns a LogWriter on top of a writer, which may block.
func NewLogWriter(out io.Writer) *LogWriter {
	w := &LogWriter{out: out, lines: make(chan []byte, waitingLines), ended: make(chan struct{})}
	go w.run()
	return w
}

// Write takes one line. It never fails and never waits.
func (w *LogWriter) Write(line []byte) (int, error) {
	own := bytes.Clone(line)
	if len(own) > longestLine {
		own = append(bytes.ToValidUTF8(own[:longestLine], nil), "…\n"...)
	}
	select {
	case w.lines <- own:
	default:
		w.lost.Add(1)
	}
	return len(line), nil
}

// Lost returns how many lines were dropped so far, or could not be written.
func (w *LogWriter) Lost() uint64 { return w.lost.Load() }

// run writes until Close.
func (w *LogWriter) run() {
	defer close(w.ended)
	told := uint64(0)
	for line := range w.lines {
		if line == nil {
			return
		}
		if _, err := w.out.Write(line); err != nil {
			w.lost.Add(1)
			continue
		}
		if lost := w.lost.Load(); lost != told && len(w.lines) < waitingLines/2 && w.Dropped != nil {
			w.Dropped(lost - told)
			told = lost
		}
	}
}

// Close writes the lines that wait, but takes only a moment for it. Lines that
// are logged after that are dropped.
func (w *LogWriter) Close() {
	late := time.NewTimer(300 * time.Millisecond)
	defer late.Stop()
	select {
	case w.lines <- nil:
	case <-late.C:
		return
	}
	select {
	case <-w.ended:
	case <-late.C:
	}
}
