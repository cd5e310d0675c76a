package backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// A Spool holds a whole request or answer, so that nobody waits for a slow
// sender or reader. It is in memory if it is small, else in a file that has no
// name any more.
type Spool struct {
	dir    string // of the file, "" for that of temporary files
	memory bytes.Buffer
	file   *os.File
	name   string // of a file that can't be unlinked while it is open
	size   int64
}

// inMemory is how much a Spool keeps in memory, in bytes.
const inMemory = 1 << 20

// Write adds to the end.
func (s *Spool) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if s.file == nil && s.memory.Len()+len(p) <= inMemory {
		return s.memory.Write(p)
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	return s.file.Write(p)
}

// spill moves the spool into a file.
func (s *Spool) spill() error {
	f, err := os.CreateTemp(s.dir, "spool-*") // mode 0600
	if err != nil {
		return fmt.Errorf("cannot make a temporary file: %w; without --data, TMPDIR says where", err)
	}
	if os.Remove(f.Name()) != nil {
		s.name = f.Name()
	}
	s.file = f
	_, err = s.memory.WriteTo(f)
	return err
}

// Open reads from the beginning; it can be called again and again.
func (s *Spool) Open() (io.ReadCloser, error) {
	if s.file == nil {
		return io.NopCloser(bytes.NewReader(s.memory.Bytes())), nil
	}
	return io.NopCloser(io.NewSectionReader(s.file, 0, s.size)), nil
}

// Reset forgets what was written.
func (s *Spool) Reset() error {
	err := s.Close()
	*s = Spool{dir: s.dir}
	return err
}

// Size is how much was written, in bytes.
func (s *Spool) Size() int64 { return s.size }

// Close removes the spool.
func (s *Spool) Close() (err error) {
	if s.file != nil {
		err = s.file.Close()
	}
	if s.name != "" {
		err = errors.Join(err, os.Remove(s.name))
	}
	return err
}
