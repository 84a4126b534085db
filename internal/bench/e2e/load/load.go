// Package load sends one HTTP/1.1 request again and again over many kept
// connections, as fast as the server answers, and measures what that took.
//
// It is one loop over epoll that writes bytes and looks for the end of an
// answer: a client that costs more than the server would measure itself, and
// net/http's does. Each connection has one request under way at a time, so a
// latency is mostly the time in which the server works on those of the other
// connections.
package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pagebeacon/beacon/internal/bench/pair"
)

// Options say what is sent, where to, and how long. A run ends after Requests
// if that is set, and otherwise after Window, but not before there is an answer.
type Options struct {
	Addr    string // IPv4 and port
	Request []byte // as it goes over the wire
	Conns   int

	// Next is what a connection sends as its n-th request, from 0, if they are not to
	// be all the same.
	Next func(conn, n int) []byte `json:"-"`

	Warm     time.Duration // of load that is not measured, before Window
	Window   time.Duration
	Requests int

	// Enough ends Window before its time: CPU time of PID.
	Enough time.Duration

	// Keep leaves the connections open for the next run with the same Addr and Conns of
	// the same process, see [Serve].
	Keep bool

	// PID is the server's process, whose CPU time is read as the measured part begins
	// and ends; zero leaves that out.
	PID int
}

// A Result is what a run measured. The first part is of Window alone; Total and
// Refused also count what came before and after it, so that they can be compared
// with what the server says it got.
type Result struct {
	Answers  int
	Elapsed  time.Duration
	CPU      time.Duration // of the server
	P50, P99 time.Duration

	Total   int
	Refused int    // answers that are not 2xx
	Status  int    // of the last of these
	Said    string // how that began
}

// Rate is the answers per second.
func (r Result) Rate() float64 { return float64(r.Answers) / r.Elapsed.Seconds() }

// CPUEach is the CPU time that the server spent on an answer.
func (r Result) CPUEach() time.Duration { return r.CPU / time.Duration(max(r.Answers, 1)) }

// stalled is how long no connection may hear anything.
const stalled = 20 * time.Second

// A conn is a connection with a request under way.
type conn struct {
	fd      int
	n       int // of its requests
	sent    time.Time
	unsent  []byte // of the request under way
	answer  []byte // what came of an answer that is not whole yet
	waiting bool   // for an answer
	polled  uint32 // what epoll tells of
}

// A run is a Run under way.
type run struct {
	books
	epoll   int
	conns   []conn
	waiting int // connections with a request under way
	buf     []byte
}

// books are kept of one run alone.
type books struct {
	Options
	started int // requests
	result  Result

	// Of what is measured.
	begun, ended bool
	begin        time.Time
	looked       time.Time // at the server's CPU time
	cpu          time.Duration
	latency      Latency
}

// Run sends until it is time to end, waits for the answers that are missing
// then, and returns what it measured. While it waits it keeps one of the GOMAXPROCS
// processors of Go to itself, so a process of its own is best. A connection that breaks is an error, an
// answer that is not 2xx is counted.
func Run(o Options) (Result, error) {
	if err := o.check(); err != nil {
		return Result{}, err
	}
	r, err := dial(o)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	err = r.measure()
	return r.result, err
}

func (o *Options) check() error {
	if o.Conns <= 0 || (len(o.Request) == 0) == (o.Next == nil) || (o.Requests > 0) == (o.Window > 0) || o.Requests > 0 && o.Warm > 0 {
		return fmt.Errorf("load: makes no sense: %d connections, %d bytes, %v and %v or %d requests",
			o.Conns, len(o.Request), o.Warm, o.Window, o.Requests)
	}
	return nil
}

// dial opens the connections.
func dial(o Options) (*run, error) {
	r := &run{books: books{Options: o}, buf: make([]byte, 64<<10)}
	if err := r.connect(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *run) connect() (err error) {
	addr, err := netip.ParseAddrPort(r.Addr)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if !addr.Addr().Is4() {
		return fmt.Errorf("load: %s is not an IPv4 address", r.Addr)
	}
	if err := files(r.Conns); err != nil {
		return err
	}
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("load: epoll: %w", err)
	}
	r.conns = make([]conn, 0, r.Conns)
	to := unix.SockaddrInet4{Addr: addr.Addr().As4(), Port: int(addr.Port())}
	for i := range r.Conns {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("load: connection %d: %w", i, err)
		}
		r.conns = append(r.conns, conn{fd: fd})
		c := &r.conns[i]
		if err := unix.Connect(fd, &to); err != nil {
			return fmt.Errorf("load: connection %d: %w", i, err)
		}
		err = errors.Join(
			unix.SetNonblock(fd, true),
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
			// No TIME_WAIT: rounds that follow each other would run out of ports.
			unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}),
			unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}),
		)
		if err != nil {
			return fmt.Errorf("load: connection %d: %w", i, err)
		}
		c.polled = unix.EPOLLIN
	}
	return nil
}

func (r *run) close() {
	for _, c := range r.conns {
		unix.Close(c.fd)
	}
	if r.epoll > 0 {
		unix.Close(r.epoll)
	}
}

// files sees to it that this process may have that many connections.
func files(conns int) error {
	need := uint64(conns) + 64
	var have unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &have); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if have.Cur >= need {
		return nil
	}
	have.Cur = need
	have.Max = max(have.Max, need)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &have); err != nil {
		return fmt.Errorf("load: %d open files, for %d connections: %w; ulimit -n tells what is allowed", need, conns, err)
	}
	return nil
}

// measure is the loop: the part that is not measured, the one that is, and the
// answers that are missing at its end.
func (r *run) measure() error {
	start := time.Now()
	heard := start
	if r.Warm == 0 {
		if err := r.open(start); err != nil {
			return err
		}
	}
	for i := range r.conns {
		if err := r.send(i); err != nil {
			return err
		}
	}
	events := make([]unix.EpollEvent, 512)
	for r.waiting > 0 {
		n, err := rawWait(r.epoll, events)
		if err == unix.EINTR { // by Go's scheduler, every few hundredths of a second
			n, err = 0, nil
		} else if err != nil {
			return fmt.Errorf("load: epoll: %w", err)
		}
		for _, e := range events[:n] {
			if err := r.ready(int(e.Fd), e.Events); err != nil {
				return err
			}
		}
		now := time.Now()
		if n > 0 {
			heard = now
		} else if now.Sub(heard) > stalled {
			return fmt.Errorf("load: %d connections wait for an answer for %v", r.waiting, stalled)
		}
		switch {
		case !r.begun && now.Sub(start) >= r.Warm:
			err = r.open(now)
		case r.begun && !r.ended && r.Window > 0:
			var over bool
			if over, err = r.over(now); over && err == nil {
				err = r.balance(now)
			}
		}
		if err != nil {
			return err
		}
	}
	if r.ended {
		return nil
	}
	return r.balance(time.Now()) // all of Requests are answered
}

// open begins the books of what is measured, and balance ends them.
func (r *run) open(now time.Time) (err error) {
	r.begun, r.begin = true, now
	r.cpu, err = r.serverCPU()
	return err
}

// over tells whether what is measured is at its end, which it is not without an answer: then
// others have had the processor, or the disk. It does not ask for the CPU time of another
// process at each answer, which is a system call.
func (r *run) over(now time.Time) (bool, error) {
	if r.latency.n == 0 {
		return false, nil
	}
	if now.Sub(r.begin) >= r.Window {
		return true, nil
	}
	if r.Enough == 0 || now.Sub(r.looked) < time.Millisecond {
		return false, nil
	}
	r.looked = now
	cpu, err := r.serverCPU()
	return cpu-r.cpu >= r.Enough, err
}

func (r *run) balance(now time.Time) error {
	cpu, err := r.serverCPU()
	if err != nil {
		return err
	}
	r.ended = true
	r.result.Elapsed = now.Sub(r.begin)
	r.result.CPU = cpu - r.cpu
	r.result.Answers = r.latency.n
	r.result.P50, r.result.P99 = r.latency.Quantile(0.50), r.latency.Quantile(0.99)
	return nil
}

func (r *run) serverCPU() (time.Duration, error) {
	if r.PID == 0 {
		return 0, nil
	}
	return pair.CPUOf(r.PID)()
}

// send begins a request, unless it is time to end.
func (r *run) send(i int) error {
	if r.ended || r.Requests > 0 && r.started == r.Requests {
		return nil
	}
	c := &r.conns[i]
	r.started++
	r.waiting++
	c.waiting = true
	c.unsent = r.Request
	if r.Next != nil {
		c.unsent = r.Next(i, c.n)
	}
	c.n++
	c.sent = time.Now()
	return r.write(i)
}

// write sends what there is room for, and has epoll tell when there is more.
func (r *run) write(i int) error {
	c := &r.conns[i]
	n, err := raw(unix.SYS_WRITE, c.fd, c.unsent)
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		return fmt.Errorf("load: connection %d: %w", i, err)
	}
	c.unsent = c.unsent[max(n, 0):]
	want := uint32(unix.EPOLLIN)
	if len(c.unsent) > 0 {
		want |= unix.EPOLLOUT
	}
	if want == c.polled {
		return nil
	}
	c.polled = want
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_MOD, c.fd, &unix.EpollEvent{Events: want, Fd: int32(i)}); err != nil {
		return fmt.Errorf("load: connection %d: %w", i, err)
	}
	return nil
}

// ready goes on with a connection that epoll has told of.
func (r *run) ready(i int, events uint32) error {
	c := &r.conns[i]
	if events&unix.EPOLLOUT != 0 && len(c.unsent) > 0 {
		if err := r.write(i); err != nil {
			return err
		}
	}
	if events&^unix.EPOLLOUT == 0 {
		return nil
	}
	n, err := raw(unix.SYS_READ, c.fd, r.buf)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return nil
	case err != nil:
		return fmt.Errorf("load: connection %d: %w", i, err)
	case n == 0:
		return fmt.Errorf("load: the server closed connection %d after %d answers in all", i, r.result.Total)
	}
	got := r.buf[:n]
	if len(c.answer) > 0 {
		c.answer = append(c.answer, got...)
		got = c.answer
	}
	status, size, err := answer(got)
	switch {
	case err != nil:
		return err
	case size == 0:
		if len(c.answer) == 0 {
			c.answer = append(c.answer, got...)
		}
		return nil
	case size != len(got) || !c.waiting || len(c.unsent) > 0:
		return fmt.Errorf("load: connection %d: an answer that nobody asked for: %.80q", i, got[min(size, len(got)):])
	}
	c.answer = c.answer[:0]
	c.waiting = false
	r.waiting--
	r.result.Total++
	if status < 200 || status > 299 {
		r.result.Refused++
		r.result.Status, r.result.Said = status, string(got[:min(len(got), 400)])
	}
	if r.begun && !r.ended {
		r.latency.Add(time.Since(c.sent))
	}
	return r.send(i)
}
