// Package store keeps typed records in one bbolt file.
//
// The promise: a write that was acknowledged is on disk (unless the store is
// temporary), a write that failed left nothing behind, and concurrent writes
// share one sync of the disk.
//
// Layout of the file, format 2. Every name below is a bucket at the root:
//
//	meta           "format" → the format's number in decimal
//	<table>        record key → the record in CBOR, its fields under the integer keys that their struct tags give
//	<table>.lists  list number (4) ‖ order (8) ‖ record key → nothing: the entries of every list, in order
//	<table>.index  list name → list number (4) ‖ how many entries the list has (8)
//
// Format 1 had a fourth bucket for each table with lists, <table>.marks, which
// is removed when the file is opened.
//
// All integers are big-endian, so that byte order is their order. The package
// knows tables and lists; what a record means is up to the packages that
// declare the tables.
package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Format is the number of the file layout that this build writes and reads.
const Format = 2

// FileName is the name of the one file in a data directory.
const FileName = "ssmlocal.db"

// The ways in which a data file is refused. The error that carries one says
// what to do.
var (
	ErrLocked  = errors.New("the data file is in use by another process")
	ErrDamaged = errors.New("the data file is damaged")
	ErrNewer   = errors.New("the data file has a newer format")
	ErrForeign = errors.New("the data file belongs to another program")
	ErrLost    = errors.New("the data file was removed or replaced while it was in use")
)

var (
	metaBucket = []byte("meta")
	formatKey  = []byte("format")
)

// A Bucketer names the buckets that must exist for it and checks what they
// hold; a Table is one.
type Bucketer interface {
	buckets() [][]byte
	check(tx *Tx, skip Skip) error
	rekey(*Tx) error
}

// DB is an open store. It is safe for concurrent use.
type DB struct {
	bolt   *bbolt.DB
	tables []Bucketer
	dir    string // the data directory, "" of a temporary store
	temp   string // the directory of a temporary store, removed by Close
	file   string
	opened os.FileInfo           // of file, when it was opened
	stuck  atomic.Pointer[error] // why no write can be made any more

	mu         sync.Mutex
	waiting    []*write // writers that the next commit will take along
	committing bool     // a leader is at work and will look at waiting before it stops
}

// OpenDir opens the store in the directory dir. It makes the directory (0700)
// if need be; a new file has mode 0600. An error wraps ErrLocked, ErrDamaged,
// ErrNewer or ErrForeign if one of these is the reason, and the file is then
// left as it was. A new file gets its name when it is complete, so a full disk
// leaves no half of one.
func OpenDir(dir string, tables ...Bucketer) (*DB, error) {
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is a file; --data takes a directory", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the data directory: %w; choose another with --data", err)
	}
	file := filepath.Join(dir, FileName)
	if info, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		if err := create(file, tables); err != nil {
			return nil, err
		}
	}
	db, err := open(file, false, tables)
	if err != nil {
		return nil, err
	}
	db.dir = dir
	if db.opened, err = os.Stat(file); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open the data file: %w", err), db.Close())
	}
	return db, nil
}

// OwnersAlone makes the file readable for its owner alone: everybody may be
// able to read one that was copied there. The error says that this process may
// not do that, because it isn't the owner; the file can be used anyway.
func (d *DB) OwnersAlone() error {
	if d.opened == nil || d.opened.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(d.file, 0o600); err != nil {
		return fmt.Errorf("others may read the data file (mode %o) and this process can't change that: %w", d.opened.Mode().Perm(), err)
	}
	return nil
}

// create makes an empty data file under another name and renames it when it is
// whole. Of two processes that do so at once, the later finds the earlier one's
// file locked.
func create(file string, tables []Bucketer) error {
	fresh, err := os.MkdirTemp(filepath.Dir(file), "new-")
	if err != nil {
		return fmt.Errorf("cannot make the data file: %w; choose another --data directory", err)
	}
	defer os.RemoveAll(fresh)
	name := filepath.Join(fresh, FileName)
	db, err := open(name, false, tables)
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		return fmt.Errorf("cannot make the data file: %w", err)
	}
	if info, err := os.Stat(file); err == nil && info.Size() > 0 {
		return nil // somebody else was faster
	}
	if err := errors.Join(os.Rename(name, file), syncDir(filepath.Dir(file))); err != nil {
		return fmt.Errorf("cannot make the data file: %w", err)
	}
	return nil
}

// OpenTemp opens an empty store that leaves nothing behind. Its file is
// unlinked as soon as it is open where the system allows that, so even a killed
// process leaves no file; nothing is synced.
func OpenTemp(tables ...Bucketer) (*DB, error) {
	dir, err := os.MkdirTemp("", "ssmlocal-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a temporary directory (set TMPDIR or use --data): %w", err)
	}
	db, err := open(filepath.Join(dir, FileName), true, tables)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if os.RemoveAll(dir) != nil {
		db.temp = dir // an open file can't be unlinked on this system: Close does it
	}
	return db, nil
}

// Size is the size of the file in bytes.
func (d *DB) Size() (bytes int64) {
	_ = d.bolt.View(func(tx *bbolt.Tx) error { bytes = tx.Size(); return nil })
	return bytes
}

// closing is how long Close waits for transactions that run.
const closing = time.Second

// Close waits for running transactions, but not for long, and closes the file.
// A transaction that doesn't end waits for the disk or has met a damaged page.
// bbolt's lock is then freed when the process ends, and everything that was
// acknowledged is on disk.
func (d *DB) Close() (err error) {
	closed := make(chan error, 1)
	if d.stuck.Load() == nil {
		go func() { closed <- d.bolt.Close() }()
	}
	late := time.NewTimer(closing)
	defer late.Stop()
	select {
	case err = <-closed:
	case <-late.C:
		err = errors.New("the data file is left open: a transaction doesn't end")
	}
	if d.temp != "" {
		err = errors.Join(err, os.RemoveAll(d.temp))
	}
	return err
}

func open(file string, temporary bool, tables []Bucketer) (_ *DB, err error) {
	if err := probe(file); err != nil {
		return nil, err
	}
	defer guard(file, &err)()
	options := &bbolt.Options{
		Timeout:         time.Second,
		FreelistType:    bbolt.FreelistMapType,
		NoSync:          temporary,
		NoGrowSync:      temporary,
		NoStatistics:    true,
		InitialMmapSize: mapped(),
	}
	b, err := bbolt.Open(file, 0o600, options)
	if errors.Is(err, syscall.ENOMEM) { // a bound on address space
		options.InitialMmapSize = 0
		b, err = bbolt.Open(file, 0o600, options)
	}
	if err != nil {
		return nil, explain(file, err)
	}
	b.AllocSize = grown
	d := &DB{bolt: b, tables: tables, file: file}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", file, err), b.Close())
	}
	return d, nil
}

// grown is by how many bytes the file grows at a time. Parts that are not
// written yet take no room on the disk.
const grown = 1 << 20

// mapped is how much of the file is mapped into memory from the start, most of
// it beyond the file's end. Until the file has grown to that size, a writer
// that needs more room never has to wait for a long read (a backup, an export),
// and so nobody else has to.
func mapped() int {
	var most int64 = 8 << 30
	if math.MaxInt <= most || runtime.GOOS == "windows" { // there the file would get that size
		return 0
	}
	return int(most)
}

// probe looks at what exists under the file's name.
func probe(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot open the data file: %w", err)
	case info.IsDir():
		return fmt.Errorf("cannot open the data file: %s is a directory", file)
	}
	return nil
}

// guard turns the fault of a damaged page, a panic or a memory fault beyond the
// end of the file, into ErrDamaged.
func guard(file string, err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if p := recover(); p != nil {
			*err = damaged(file, fmt.Sprint(p))
		}
	}
}

func damaged(file, why string) error {
	return fmt.Errorf("%w: %s: %s; move it away to start empty, or put a backup in its place", ErrDamaged, file, why)
}

func explain(file string, err error) error {
	var system *fs.PathError
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%w: %s; stop that process or choose another --data directory", ErrLocked, file)
	case errors.As(err, &system):
		return fmt.Errorf("cannot open the data file: %w; choose another --data directory", err)
	}
	return damaged(file, err.Error())
}

// prepare checks that the file is whole and ours, makes the buckets that are
// missing (all of them in a new file, none in most) and removes those of an
// older format.
func (d *DB) prepare() error {
	var missing, old [][]byte
	err := d.bolt.View(func(tx *bbolt.Tx) error {
		info, err := os.Stat(d.bolt.Path())
		if err != nil {
			return err
		}
		if info.Size() < tx.Size() {
			return fmt.Errorf("%w: %d bytes where %d are recorded; put a backup in its place", ErrDamaged, info.Size(), tx.Size())
		}
		if err := checkFormat(tx); err != nil {
			return err
		}
		for _, t := range d.tables {
			names := t.buckets()
			for _, name := range names {
				if tx.Bucket(name) == nil {
					missing = append(missing, name)
				}
			}
			if marks := append(bytes.Clone(names[0]), ".marks"...); tx.Bucket(marks) != nil {
				old = append(old, marks)
			}
		}
		return nil
	})
	if err != nil || len(missing)+len(old) == 0 {
		return err
	}
	return d.bolt.Update(func(tx *bbolt.Tx) error {
		for _, name := range missing {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		for _, name := range old {
			if err := tx.DeleteBucket(name); err != nil {
				return err
			}
		}
		meta, err := tx.CreateBucketIfNotExists(metaBucket)
		if err != nil {
			return err
		}
		if string(meta.Get(formatKey)) == "1" {
			for _, t := range d.tables {
				if err := t.rekey(&Tx{bolt: tx, writes: true}); err != nil {
					return err
				}
			}
		}
		return meta.Put(formatKey, []byte(strconv.Itoa(Format)))
	})
}

// checkFormat refuses a file that another program made or whose format this
// build can't read. A file without any bucket is a new one.
func checkFormat(tx *bbolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		if name, _ := tx.Cursor().First(); name != nil {
			return fmt.Errorf("%w: it has no format number; choose another --data directory", ErrForeign)
		}
		return nil
	}
	n, err := strconv.Atoi(string(meta.Get(formatKey)))
	switch {
	case err != nil || n < 1:
		return fmt.Errorf("%w: its format number is not a number; put a backup in its place", ErrDamaged)
	case n > Format:
		return fmt.Errorf("%w: format %d, this build reads up to %d; use a newer ssmlocal or another --data directory", ErrNewer, n, Format)
	}
	return nil
}

// syncDir makes the name of a new file as durable as what is written to the
// file.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" { // there a directory can't be synced
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// A Skip reports whether a record was left behind by a load that was given up,
// so that its list entries may be missing.
type Skip func(table string, key []byte) bool

// Check walks the whole file: bbolt's own structure, and every list against the
// records it lists, without those for which skip reports true (nil for none).
// It is for tests and for files that may be damaged; it costs as much as
// reading everything.
func (d *DB) Check(skip Skip) error {
	b, err := d.bolt.Begin(true) // bbolt's own check reads what writers change
	if err != nil {
		return err
	}
	defer func() { _ = b.Rollback() }()
	tx := &Tx{bolt: b, writes: true}
	var errs []error
	for err := range b.Check() {
		errs = append(errs, err)
	}
	for _, t := range d.tables {
		if err := t.check(tx, skip); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", bytes.Join(t.buckets(), []byte(", ")), err))
		}
	}
	return errors.Join(errs...)
}
