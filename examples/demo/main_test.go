package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pagebeacon/beacon"
)

// TestMain runs the demo itself in the process that TestSurvivesKill starts.
func TestMain(m *testing.M) {
	if os.Getenv("BEACON_DEMO") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// TestSurvivesKill kills the demo in the middle of its work, and looks for the events
// that it had acknowledged in the next one.
func TestSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	sent := map[string]bool{}
	for run := range 3 {
		cmd := exec.Command(os.Args[0], "-addr", "127.0.0.1:0", "-data", dir)
		cmd.Env = append(os.Environ(), "BEACON_DEMO=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		line, err := bufio.NewReader(out).ReadString('\n')
		url, found := strings.CutPrefix(strings.TrimSpace(line), "Listening on ")
		if !found {
			t.Fatal(line, err)
		}
		for i := range 20 {
			text := fmt.Sprint("run ", run, " event ", i)
			res, err := http.Post(url+"log-tracking", "text/plain", strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusNoContent {
				t.Fatal(res.Status)
			}
			sent[text] = true
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // "signal: killed"
	}
	d, err := newDemo(log.New(io.Discard, "", 0), dir)
	if err != nil {
		t.Fatal(err)
	}
	stored(t, d)
	shown := map[string]bool{}
	for _, data := range d.recent.all() {
		var e beacon.Event
		if err := json.Unmarshal(data, &e); err != nil {
			t.Fatal(err)
		}
		text := string(e.Body.(beacon.Text))
		if shown[text] {
			t.Errorf("%q is shown twice", text)
		}
		shown[text] = true
	}
	if diff := cmp.Diff(sent, shown); diff != "" {
		t.Error(diff)
	}
	if err := d.events.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestServe(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	d, err := newDemo(log.New(io.Discard, "", 0), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- d.serve(ctx, ln) }()

	res, err := http.Get("http://" + ln.Addr().String() + "/live/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if line, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil {
		t.Fatal(line, err)
	}
	stop()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("serve: %v", err)
		}
	case <-time.After(4 * time.Second):
		t.Error("an open event stream keeps the server from ending")
	}
}
