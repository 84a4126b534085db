package faults

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// TestMemory holds connections open that have each sent a beacon, and reads how
// much memory the server has for that.
func TestMemory(t *testing.T) {
	speedOnly(t)
	connections := pick(2_000, 9_000)
	headers, body := chromium()
	var request strings.Builder
	fmt.Fprintf(&request, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", len(body))
	for k, v := range headers {
		fmt.Fprintf(&request, "%s: %s\r\n", k, v)
	}
	request.WriteString("\r\n" + body)

	for _, kind := range []string{"floor", "nil", "spool"} {
		c := start(t, job{Kind: kind, Dir: filepath.Join(realDisk(t), "spool"), Next: "nil"})
		before := resident(t, c.hello.PID)
		var open []net.Conn
		for range connections {
			conn, err := net.Dial("tcp", c.hello.Addr)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, conn)
			if _, err := conn.Write([]byte(request.String())); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Body.Close(); resp.StatusCode != http.StatusNoContent {
				t.Fatal(resp.Status)
			}
		}
		after := resident(t, c.hello.PID)
		t.Logf("memory, %s: %.1f MB at first, %.1f MB with %d idle connections: %.1f KB each",
			kind, float64(before)/1e6, float64(after)/1e6, connections, float64(after-before)/1e3/float64(connections))
		// 22 KB each is net/http's; what is configured on top is the events that wait for delivery.
		if limit := int64(20<<20 + 8<<20 + connections*24<<10); after > limit {
			t.Errorf("%s: %d bytes resident, want at most %d", kind, after, limit)
		}
		for _, conn := range open {
			conn.Close()
		}
		c.kill()
	}
}
