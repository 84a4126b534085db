package memconn

import (
	"bytes"
	"io"
	"net"
	"time"
)

var server = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80}

// conn is the server's end of the connection.
type conn struct {
	client *Client
	remote net.Addr
	off    int           // of the request, how much was read
	ended  chan struct{} // the server has said that this is the last answer, or closed it
}

func (c *conn) Read(p []byte) (int, error) {
	k := c.client
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.hasEnded() {
		return 0, io.EOF
	}
	if c.off == len(k.request) {
		if k.left == 0 {
			if err := c.wait(); err != nil {
				return 0, err
			}
		}
		k.left--
		c.off = 0
	}
	n := copy(p, k.request[c.off:])
	c.off += n
	return n, nil
}

// wait waits for requests to send. It has the lock when it comes and when it goes.
func (c *conn) wait() error {
	k := c.client
	k.mu.Unlock()
	defer k.mu.Lock()
	select {
	case n := <-k.more:
		k.mu.Lock()
		k.left, k.open = n, n
		k.mu.Unlock()
		return nil
	case <-c.ended:
	case <-k.closed:
	}
	return io.EOF
}

func (c *conn) Write(p []byte) (int, error) {
	if !bytes.HasPrefix(p, []byte("HTTP/1.1 ")) {
		return len(p), nil // the rest of an answer
	}
	k := c.client
	k.mu.Lock()
	defer k.mu.Unlock()
	last := bytes.Contains(p, []byte("\r\nConnection: close\r\n"))
	if last {
		close(c.ended) // before more requests can be there, which this connection must not take
	}
	k.wrote(p)
	if last {
		c.reconnect()
	}
	return len(p), nil
}

func (c *conn) Close() error {
	k := c.client
	k.mu.Lock()
	defer k.mu.Unlock()
	if !c.hasEnded() {
		close(c.ended)
		c.reconnect()
	}
	return nil
}

// reconnect sends over another connection what was not answered on this one. It does not
// wait for Close, which net/http delays by half a second where it did not read all.
func (c *conn) reconnect() {
	k := c.client
	k.left = k.open
	select {
	case <-k.closed:
	default:
		k.connect()
	}
}

func (c *conn) hasEnded() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// Deadlines never come to pass: a read that net/http would end so, because its handler has
// returned, ends with the next request.

func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) LocalAddr() net.Addr              { return server }
func (c *conn) RemoteAddr() net.Addr             { return c.remote }
