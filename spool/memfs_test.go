package spool

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// An op is one call on a memFS or a file in it.
type op struct {
	kind string // one of those below
	name string
	to   string // of a link
	node *inode
	off  int64
	size int64 // of a create, truncate or read
	data []byte
	at   time.Time
}

const (
	opCreate   = "create"
	opWrite    = "write"
	opSync     = "sync"
	opGiveUp   = "failed sync" // what it should have written may never be
	opTruncate = "truncate"
	opRemove   = "remove"
	opLink     = "link"
	opRename   = "rename"
	opSyncDir  = "sync directory"

	// These change nothing, and are seen by the hook only.
	opOpen  = "open"
	opRead  = "read"
	opList  = "list"
	opSize  = "size"
	opClose = "close"
)

func (o *op) String() string {
	return fmt.Sprintf("%s %s%s at %d, %d bytes", o.kind, o.name, o.to, o.off, max(o.size, int64(len(o.data))))
}

// An inode is a file, whatever its names are.
type inode struct {
	data  []byte
	base  []byte // what was durable when the memFS was made
	links int

	syncFailed bool
}

var _ fsys = (*memFS)(nil)

// A memFS is a file system in memory that records what would change a disk.
type memFS struct {
	mu    sync.Mutex
	names map[string]*inode
	base  map[string]*inode
	ops   []op

	// hook, if set, is called before every operation. If it returns an error the
	// operation fails; a partial error says how much of a write is done.
	hook func(*op) error

	// hang, if set, is called before that, and without the lock: what it holds up holds
	// up nothing else.
	hang func(*op)

	space    int64    // all files together; 0 for no limit
	handles  int      // open files
	breaches []string // writes to a file after its sync failed
}

// A partial error fails a write after some of it.
type partial struct {
	n   int
	err error
}

func (p partial) Error() string { return fmt.Sprintf("after %d bytes: %v", p.n, p.err) }
func (p partial) Unwrap() error { return p.err }

func newMemFS(names map[string]*inode) *memFS {
	if names == nil {
		names = map[string]*inode{}
	}
	m := &memFS{names: map[string]*inode{}, base: maps.Clone(names)}
	for _, n := range names {
		n.base, n.links = slices.Clone(n.data), 0
	}
	for name, n := range names {
		n.links++
		m.names[name] = n
	}
	return m
}

// contents makes a disk of file contents.
func contents(files map[string][]byte) map[string]*inode {
	nodes := map[string]*inode{}
	for name, data := range files {
		nodes[name] = &inode{data: slices.Clone(data)}
	}
	return nodes
}

// files returns what is in the files.
func (m *memFS) files() map[string][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	files := map[string][]byte{}
	for name, n := range m.names {
		files[name] = slices.Clone(n.data)
	}
	return files
}

// now returns how many operations there were.
func (m *memFS) now() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.ops)
}

// do runs an operation, if the hook lets it, and records it.
func (m *memFS) do(o op, run func() error) error {
	m.mu.Lock()
	hang := m.hang
	m.mu.Unlock()
	if hang != nil {
		hang(&o)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	o.at = time.Now()
	if len(m.ops) > 1<<15 { // a spool that goes round in circles would take all memory
		return errors.New("too many operations")
	}
	if m.hook != nil {
		if err := m.hook(&o); err != nil {
			var p partial
			switch {
			case o.kind == opSync && o.name != cursorName: // a stale cursor is no harm
				o.node.syncFailed = true
				o.kind = opGiveUp
				m.ops = append(m.ops, o)
			case o.kind == opClose:
				_ = run() // it is closed nevertheless
			case o.kind == opWrite && errors.As(err, &p) && p.n < len(o.data):
				o.data = o.data[:p.n]
				if run() == nil {
					o.node.write(o.off, o.data)
					m.ops = append(m.ops, o)
				}
			}
			return err
		}
	}
	if o.node != nil && o.node.syncFailed && (o.kind == opWrite || o.kind == opSync) {
		m.breaches = append(m.breaches, o.String())
	}
	if err := run(); err != nil {
		return err
	}
	switch o.kind {
	case opWrite:
		o.node.write(o.off, o.data)
		fallthrough
	case opCreate, opSync, opTruncate, opRemove, opLink, opRename, opSyncDir:
		m.ops = append(m.ops, o)
	}
	return nil
}

func (n *inode) write(off int64, b []byte) {
	if grow := off + int64(len(b)) - int64(len(n.data)); grow > 0 {
		n.data = append(n.data, make([]byte, grow)...)
	}
	copy(n.data[off:], b)
}

func (n *inode) resize(size int64) {
	if size <= int64(len(n.data)) {
		n.data = n.data[:size:size]
	} else {
		n.data = append(n.data, make([]byte, size-int64(len(n.data)))...)
	}
}

// room says whether there is space for so many bytes more.
func (m *memFS) room(more int64) error {
	if more > 0 && more > m.left() {
		return errNoSpace
	}
	return nil
}

// left is how much space is left. The lock is held.
func (m *memFS) left() int64 {
	if m.space == 0 {
		return math.MaxInt64
	}
	left := m.space
	seen := map[*inode]bool{}
	for _, n := range m.names {
		if !seen[n] {
			left -= int64(len(n.data))
		}
		seen[n] = true
	}
	return left
}

func (m *memFS) create(name string, size int64) (file, error) {
	n := &inode{data: make([]byte, size), links: 1}
	err := m.do(op{kind: opCreate, name: name, node: n, size: size}, func() error {
		if m.names[name] != nil {
			return os.ErrExist
		}
		if err := m.room(size); err != nil {
			return err
		}
		m.names[name] = n
		m.handles++
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &memFile{fs: m, name: name, node: n}, nil
}

func (m *memFS) openRW(name string) (file, error) {
	m.mu.Lock()
	there := m.names[name] != nil
	m.mu.Unlock()
	if !there {
		return m.create(name, 0)
	}
	f, err := m.open(name)
	if err == nil {
		f.(*memFile).readOnly = false
	}
	return f, err
}

func (m *memFS) open(name string) (file, error) {
	f := &memFile{fs: m, name: name, readOnly: true}
	err := m.do(op{kind: opOpen, name: name}, func() error {
		if f.node = m.names[name]; f.node == nil {
			return os.ErrNotExist
		}
		m.handles++
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (m *memFS) remove(name string) error {
	return m.do(op{kind: opRemove, name: name}, func() error {
		n := m.names[name]
		if n == nil {
			return os.ErrNotExist
		}
		n.links--
		delete(m.names, name)
		return nil
	})
}

func (m *memFS) link(from, to string) error {
	m.mu.Lock()
	n := m.names[from]
	m.mu.Unlock()
	return m.do(op{kind: opLink, name: from, to: to, node: n}, func() error {
		if n == nil {
			return os.ErrNotExist
		}
		if m.names[to] != nil {
			return os.ErrExist
		}
		n.links++
		m.names[to] = n
		return nil
	})
}

func (m *memFS) rename(from, to string) error {
	m.mu.Lock()
	n, over := m.names[from], m.names[to]
	m.mu.Unlock()
	return m.do(op{kind: opRename, name: from, to: to, node: n}, func() error {
		if n == nil {
			return os.ErrNotExist
		}
		if over != nil {
			over.links--
		}
		delete(m.names, from)
		m.names[to] = n
		return nil
	})
}

// intact says that all is well unless the file has no name any more.
func (m *memFS) intact(f file) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.(*memFile).node.links == 0 {
		return ErrLost
	}
	return nil
}

func (m *memFS) free() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left()
}

func (m *memFS) list() (entries []entry, err error) {
	err = m.do(op{kind: opList}, func() error {
		for _, name := range slices.Sorted(maps.Keys(m.names)) {
			entries = append(entries, entry{name, int64(len(m.names[name].data))})
		}
		return nil
	})
	return entries, err
}

func (m *memFS) sync() error {
	runtime.Gosched()
	return m.do(op{kind: opSyncDir}, func() error { return nil })
}

type memFile struct {
	fs       *memFS
	name     string
	node     *inode
	readOnly bool
	closed   bool
}

func (f *memFile) check() error {
	if f.closed {
		return os.ErrClosed
	}
	return nil
}

func (f *memFile) ReadAt(b []byte, off int64) (n int, err error) {
	err = f.fs.do(op{kind: opRead, name: f.name, node: f.node, off: off, size: int64(len(b))}, func() error {
		if err := f.check(); err != nil {
			return err
		}
		if off < int64(len(f.node.data)) {
			n = copy(b, f.node.data[off:])
		}
		if n < len(b) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (f *memFile) WriteAt(b []byte, off int64) (int, error) {
	err := f.fs.do(op{kind: opWrite, name: f.name, node: f.node, off: off, data: slices.Clone(b)}, func() error {
		if err := f.check(); err != nil || f.readOnly {
			return errors.Join(err, os.ErrPermission)
		}
		return f.fs.room(off + int64(len(b)) - int64(len(f.node.data)))
	})
	if p, ok := err.(partial); ok {
		return p.n, err
	}
	if err != nil {
		return 0, err
	}
	return len(b), nil
}

func (f *memFile) Truncate(size int64) error {
	return f.fs.do(op{kind: opTruncate, name: f.name, node: f.node, size: size}, func() error {
		if err := f.check(); err != nil {
			return err
		}
		f.node.resize(size)
		return nil
	})
}

func (f *memFile) sync() error {
	for range 20 { // others may join a group meanwhile
		runtime.Gosched()
	}
	return f.fs.do(op{kind: opSync, name: f.name, node: f.node}, f.check)
}

func (f *memFile) size() (size int64, err error) {
	err = f.fs.do(op{kind: opSize, name: f.name, node: f.node}, func() error {
		size = int64(len(f.node.data))
		return f.check()
	})
	return size, err
}

func (f *memFile) Close() error {
	return f.fs.do(op{kind: opClose, name: f.name, node: f.node}, func() error {
		if err := f.check(); err != nil {
			return err
		}
		f.closed = true
		f.fs.handles--
		return nil
	})
}

// A disk is what a power cut leaves of a memFS.
type disk struct {
	files map[*inode]*extent
	names map[string]*inode
	dir   []op // that no sync of the directory followed
}

// An extent is a file on disk.
type extent struct {
	data    []byte
	pending []op // that no sync followed
	lost    bool // a sync failed: what is pending may be lost even if another one succeeds
}

func newDisk(base map[string]*inode) *disk {
	d := &disk{files: map[*inode]*extent{}, names: maps.Clone(base)}
	for _, n := range base {
		d.files[n] = &extent{data: slices.Clone(n.base)}
	}
	return d
}

// apply brings the disk past an operation.
func (d *disk) apply(o *op) {
	switch o.kind {
	case opCreate:
		d.files[o.node] = &extent{}
		if o.size > 0 {
			d.files[o.node].pending = []op{{kind: opTruncate, size: o.size}}
		}
		d.dir = append(d.dir, *o)
	case opRemove, opLink, opRename:
		d.dir = append(d.dir, *o)
	case opSyncDir:
		for i := range d.dir {
			change(d.names, &d.dir[i])
		}
		d.dir = nil
	case opWrite, opTruncate:
		f := d.files[o.node]
		f.pending = append(f.pending, *o)
	case opGiveUp:
		d.files[o.node].lost = true
	case opSync:
		if f := d.files[o.node]; !f.lost {
			n := inode{data: f.data}
			for i := range f.pending {
				replay(&n, &f.pending[i], 0, keepAll, nil)
			}
			f.data, f.pending = n.data, nil
		}
	}
}

func change(names map[string]*inode, o *op) {
	switch o.kind {
	case opCreate:
		names[o.name] = o.node
	case opLink:
		names[o.to] = o.node
	case opRename:
		delete(names, o.name)
		names[o.to] = o.node
	case opRemove:
		delete(names, o.name)
	}
}

// A cut is a way in which a power cut treats what was not synced.
type cut int

const (
	loseAll cut = iota
	keepAll
	keepSome512  // sectors of 512 bytes in any order
	keepSome4096 // blocks of 4 KiB in any order
	tearLast     // all is kept but the end of the last write
	cuts
)

// crash returns a file system as a power cut would leave it. For tearLast, tear is how much
// of the last write is kept.
func (d *disk) crash(how cut, last *op, tear int, rng *rand.Rand) *memFS {
	keep := func() bool { return how == keepAll || how == tearLast || how != loseAll && rng.IntN(2) == 0 }
	names := maps.Clone(d.names)
	for i := range d.dir {
		if keep() {
			change(names, &d.dir[i])
		}
	}
	// In the order of their names, for the same seed to give the same disk.
	nodes := map[*inode]*inode{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old := names[name]
		if nodes[old] == nil {
			f := d.files[old]
			n := &inode{data: slices.Clone(f.data)}
			sector := int64(512)
			if how == keepSome4096 {
				sector = 4096
			}
			for i := range f.pending {
				o := f.pending[i]
				if how == tearLast && last != nil && o.node == last.node && i == len(f.pending)-1 && o.kind == opWrite {
					o.data = o.data[:min(tear, len(o.data))]
				}
				replay(n, &o, sector, how, rng)
			}
			nodes[old] = n
		}
		names[name] = nodes[old]
	}
	return newMemFS(names)
}

// replay does what is kept of a write or truncation.
func replay(n *inode, o *op, sector int64, how cut, rng *rand.Rand) {
	all := how == keepAll || how == tearLast
	switch {
	case how == loseAll:
	case o.kind == opTruncate:
		if all || rng.IntN(2) == 0 {
			n.resize(o.size)
		}
	case all:
		n.write(o.off, o.data)
	default:
		end := o.off + int64(len(o.data))
		size := int64(len(n.data))
		if end > size && rng.IntN(2) == 0 {
			n.resize(end)
			size = end
		}
		for from := o.off; from < end; {
			to := min(end, (from/sector+1)*sector)
			if rng.IntN(2) == 0 {
				n.write(from, o.data[from-o.off:to-o.off])
			}
			from = to
		}
		n.resize(min(size, int64(len(n.data)))) // what the file does not reach is not seen
	}
}
