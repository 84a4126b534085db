package kafka

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A partition keeps account of what is settled of a partition that is ours, for as long as
// it is: when it comes again it is another one.
type partition struct {
	topic string
	id    int32

	mu        sync.Mutex
	closed    bool    // no more of it is handed on
	gone      bool    // it is somebody else's
	fresh     bool    // the group has committed nothing of it
	pending   []entry // from the first that is not settled on, by offset
	first     uint64  // the number of the first of them
	handed    uint64  // the number of the first that was not handed on
	next      int64   // the offset behind the last record that was read, or -1
	position  int64   // the first offset that is not settled, or -1
	epoch     int32   // of the leader that had the one before it
	committed int64   // or -1
	end       int64   // of the log, or -1
	idle      chan struct{}
}

// An entry is a record that was read.
type entry struct {
	offset  int64
	epoch   int32
	settled bool
}

func newPartition(topic string, id int32) *partition {
	return &partition{topic: topic, id: id, next: -1, position: -1, committed: -1, end: -1}
}

// add notes a record that was read, and returns its number.
func (p *partition) add(r *kgo.Record) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.position < 0 {
		p.position = r.Offset
	}
	p.pending = append(p.pending, entry{offset: r.Offset, epoch: r.LeaderEpoch})
	p.next = r.Offset + 1
	p.end = max(p.end, p.next)
	return p.first + uint64(len(p.pending)) - 1
}

// settle notes that a record needs us no more. Records are settled in any order, and what
// may be committed is what lies before the first that is not: offsets between may belong to
// no record at all.
func (p *partition) settle(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending[number-p.first].settled = true
	n := 0
	for n < len(p.pending) && p.pending[n].settled {
		p.epoch = p.pending[n].epoch
		n++
	}
	if n == 0 {
		return
	}
	p.first += uint64(n)
	p.pending = p.pending[n:]
	if p.position = p.next; len(p.pending) > 0 {
		p.position = p.pending[0].offset
	} else if p.pending = nil; p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// uncommitted returns what may be committed and is not, while the partition is ours.
func (p *partition) uncommitted() (offset kgo.EpochOffset, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone || p.first == 0 || p.position == p.committed {
		return offset, false
	}
	return kgo.EpochOffset{Epoch: p.epoch, Offset: p.position}, true
}

func (p *partition) wasCommitted(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed = offset
}

// hand notes that a record is in somebody's hands, who will say when it is settled.
func (p *partition) hand(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handed = number + 1
}

// close says that no more records are handed on.
func (p *partition) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

func (p *partition) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// trim forgets the records that were read and not handed on. The partition is closed.
func (p *partition) trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := int(max(p.handed, p.first) - p.first)
	if n == len(p.pending) {
		return
	}
	p.next = p.pending[n].offset
	if p.pending = p.pending[:n]; n == 0 {
		p.position = p.next
	}
}

// leave says that the partition is somebody else's, and returns how many records of it are
// not settled.
func (p *partition) leave() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	return len(p.pending)
}

func (p *partition) isGone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// quiet returns a channel that is closed once nothing is pending.
func (p *partition) quiet() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pending) == 0 {
		done := make(chan struct{})
		close(done)
		return done
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	return p.idle
}

// reach notes where the log ends.
func (p *partition) reach(end int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = max(p.end, end)
}

// lag returns how many offsets of the log are not settled, or false if that is not known.
func (p *partition) lag() (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.position < 0 || p.end < 0 {
		return 0, false
	}
	return max(0, p.end-p.position), true
}

// begin notes where the group was when the partition came; less than 0 is nowhere, which
// is at the oldest record. It makes no difference once a record was read.
func (p *partition) begin(offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.position < 0 {
		p.position, p.fresh = offset, offset < 0
	}
}

// isFresh says whether the group has committed nothing of it, and nothing was read.
func (p *partition) isFresh() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fresh && p.position < 0
}
