package browsers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

// object is what parameters are made of.
type object = map[string]any

// conn speaks the message format that the Chrome DevTools Protocol and
// WebDriver BiDi have in common: numbered JSON commands, each answered by one
// reply with the same number, and events without a number in between.
type conn struct {
	ws     *websocket.Conn
	closed chan struct{} // closed when the reader ends, after err is set
	err    error

	mu        sync.Mutex
	last      int // number of the last command or listener
	listeners map[int]func(message)
}

// message is a reply or an event.
type message struct {
	ID      int
	Session string `json:"sessionId"` // CDP only: the tab it comes from
	Method  string
	Params  json.RawMessage
	Result  json.RawMessage
	Error   json.RawMessage // CDP: an object; BiDi: a code, explained by Message
	Message string
}

func dial(ctx context.Context, url string) (*conn, error) {
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(-1) // screenshots are large, and the peer is ours
	c := &conn{ws: ws, closed: make(chan struct{}), listeners: make(map[int]func(message))}
	go c.read()
	return c, nil
}

func (c *conn) read() {
	defer close(c.closed)
	for {
		var m message
		if err := wsjson.Read(context.Background(), c.ws, &m); err != nil {
			c.err = fmt.Errorf("connection to the browser: %w", err)
			return
		}
		c.mu.Lock()
		listeners := slices.Collect(maps.Values(c.listeners))
		c.mu.Unlock()
		for _, f := range listeners {
			f(m)
		}
	}
}

func (c *conn) number() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	return c.last
}

// listen has f called with every message until stop is called. The calls come
// from the goroutine that reads, so f must not wait for another message.
func (c *conn) listen(f func(message)) (stop func()) {
	id := c.number()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners[id] = f
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.listeners, id)
	}
}

// expect watches for the first message that match accepts. It is called before
// the command that brings the message about, which could else be missed.
func (c *conn) expect(match func(message) bool) (wait func(context.Context) (message, error), stop func()) {
	found := make(chan message, 1)
	stop = c.listen(func(m message) {
		if match(m) {
			select {
			case found <- m:
			default:
			}
		}
	})
	return func(ctx context.Context) (message, error) {
		select {
		case m := <-found:
			return m, nil
		case <-c.closed:
			return message{}, c.err
		case <-ctx.Done():
			return message{}, ctx.Err()
		}
	}, stop
}

// call sends a command and decodes its result into out unless out is nil. The
// session is empty except for commands to a tab in CDP.
func (c *conn) call(ctx context.Context, session, method string, params, out any) error {
	if params == nil {
		params = object{} // BiDi insists on one
	}
	id := c.number()
	wait, stop := c.expect(func(m message) bool { return m.ID == id })
	defer stop()
	command := object{"id": id, "method": method, "params": params}
	if session != "" {
		command["sessionId"] = session
	}
	if err := wsjson.Write(ctx, c.ws, command); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	m, err := wait(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	if m.Error != nil {
		return fmt.Errorf("%s: %s %s", method, m.Error, m.Message)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(m.Result, out); err != nil {
		return fmt.Errorf("%s: result: %w", method, err)
	}
	return nil
}
