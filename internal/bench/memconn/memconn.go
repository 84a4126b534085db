// Package memconn lets a whole http.Server answer requests without a network: what a
// handler costs is then not lost in what the kernel does.
package memconn

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Peer is the address that the server sees: one of the internet, as most clients have.
const Peer = "203.0.113.7"

// A Client sends one request to a server of its own, again and again. It is pipelined:
// the next request is there as soon as the server reads for it. It keeps its connection
// for as long as the server does, and opens another when it does not.
type Client struct {
	request []byte
	status  []byte
	server  *http.Server
	conns   chan net.Conn // to be accepted
	closed  chan struct{}
	close   func()

	more     chan int   // requests to be sent
	answered chan error // all of them were

	mu    sync.Mutex
	left  int   // not sent yet
	open  int   // not answered yet
	wrong error // the first answer that was not as expected
	port  int   // of the connection, a new one for each
}

// New starts a server for h, whose answers to request have to have that status.
func New(h http.Handler, request []byte, status int) *Client {
	closed := make(chan struct{})
	c := &Client{
		request:  request,
		status:   []byte("HTTP/1.1 " + strconv.Itoa(status) + " "),
		server:   &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute},
		conns:    make(chan net.Conn, 1),
		closed:   closed,
		close:    sync.OnceFunc(func() { close(closed) }),
		more:     make(chan int, 1),
		answered: make(chan error, 1),
	}
	c.connect()
	go func() { _ = c.server.Serve(listener{c}) }()
	return c
}

// Do sends the request n times, waits for the answers, and fails if one has another
// status than expected. It is for one goroutine at a time.
func (c *Client) Do(n int) error {
	if n <= 0 {
		return nil
	}
	c.more <- n
	return <-c.answered
}

// Close ends the server.
func (c *Client) Close() error {
	c.close()
	return c.server.Close()
}

func (c *Client) connect() {
	c.port++
	c.conns <- &conn{
		client: c,
		remote: &net.TCPAddr{IP: net.ParseIP(Peer), Port: c.port},
		off:    len(c.request),
		ended:  make(chan struct{}),
	}
}

// wrote is told of the beginning of each answer.
func (c *Client) wrote(answer []byte) {
	if !bytes.HasPrefix(answer, c.status) && c.wrong == nil {
		c.wrong = fmt.Errorf("answered %.300q, not %s", answer, c.status)
	}
	if c.open--; c.open == 0 {
		c.answered <- c.wrong
		c.wrong = nil
	}
}

type listener struct{ client *Client }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.client.conns:
		return c, nil
	case <-l.client.closed:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error { l.client.close(); return nil }
func (listener) Addr() net.Addr { return server }
