package attacks

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// An attack is what the attacker's process does until its time is over.
type attack struct {
	Addr     string
	What     string        // one of payloads
	How      string        // "" sends it, and again when it is answered; see run for others
	Conns    int           // connections
	Streams  int           // of each connection, of HTTP/2
	Networks int           // that it comes from; 0 is one
	Every    time.Duration // from an answer to the next request of a connection, or stream
	Requests int           // of each connection, at most; 0 is no bound
	For      time.Duration
}

// A tally is how an attack went.
type tally struct {
	Requests int         // sent, as far as they were to be
	Answers  map[int]int // by status
	Broken   int         // requests and connections without an answer
	CPU      time.Duration
}

func (t *tally) String() string {
	return fmt.Sprintf("%d requests, answers %v, %d broken", t.Requests, t.Answers, t.Broken)
}

// An attacker carries out an attack.
type attacker struct {
	attack
	payload payload
	until   time.Time

	mu    sync.Mutex
	tally tally
}

// run is the main function of the attacker's process. It begins when the other side
// says so.
func (a attack) run() error {
	made, ok := payloads[a.What]
	if !ok {
		return fmt.Errorf("no payload %q", a.What)
	}
	r := &attacker{attack: a, payload: made(), tally: tally{Answers: map[int]int{}}}
	conn := map[string]func(int){
		"":        r.send,
		"drip":    r.send,
		"streams": r.streams,
	}[a.How]
	if conn == nil {
		return fmt.Errorf("no way to attack %q", a.How)
	}
	if err := say(hello{}); err != nil {
		return err
	}
	r.until = time.Now().Add(a.For)
	var wg sync.WaitGroup
	for n := range a.Conns {
		wg.Go(func() { conn(n) })
	}
	wg.Wait()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	r.tally.CPU = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	return say(&r.tally)
}

// pause waits for as long as there is to be between two requests.
func (r *attacker) pause() { time.Sleep(min(r.Every, time.Until(r.until))) }

func (r *attacker) over() bool { return !time.Now().Before(r.until) }

// from is the address that the connection n comes from, as the proxy between has seen it.
func (r *attacker) from(n int) string {
	n %= max(r.Networks, 1)
	return fmt.Sprintf("11.0.%d.%d", n>>8, n&255)
}

func (r *attacker) count(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.Requests++
	if status == 0 {
		r.tally.Broken++
	} else {
		r.tally.Answers[status]++
	}
}

// send is one connection of HTTP/1, and another one when it was closed.
func (r *attacker) send(n int) {
	head := r.payload.head(r.from(n))
	for sent := 0; !r.over() && (r.Requests == 0 || sent < r.Requests); {
		c, err := net.DialTimeout("tcp", r.Addr, 5*time.Second)
		if err != nil {
			r.count(0)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		_ = c.(*net.TCPConn).SetLinger(0) // or the ports run out
		_ = c.SetDeadline(r.until)        // an open connection always takes one
		in := bufio.NewReaderSize(c, 512) // there may be thousands
		for again := true; again && !r.over() && (r.Requests == 0 || sent < r.Requests); sent++ {
			status := 0
			status, again = r.exchange(c, in, head)
			if status == 0 && r.over() {
				break // it was cut off by this side
			}
			r.count(status)
			if again {
				r.pause()
			}
		}
		c.Close()
		r.pause() // the server keeps a connection that it closes for a moment
	}
}

// exchange sends a request and reads its answer. again says whether the connection may
// be used for another one.
func (r *attacker) exchange(c net.Conn, in *bufio.Reader, head []byte) (status int, again bool) {
	parts := net.Buffers{head, r.payload.body}
	if _, err := parts.WriteTo(c); err != nil {
		return 0, false
	}
	if r.How == "drip" {
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					_, _ = c.Write([]byte("a")) // the answer tells
				case <-stop:
					return
				}
			}
		}()
	}
	res, err := http.ReadResponse(in, &http.Request{Method: r.payload.method})
	if err != nil {
		return 0, false
	}
	_, err = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	whole := len(r.payload.body) >= r.payload.length
	return res.StatusCode, err == nil && !res.Close && whole
}
