package hosts

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pagebeacon/beacon"
	"github.com/pagebeacon/beacon/beacontest"
)

const (
	endpoint = "/collect"
	listed   = "https://app.example"  // another origin, in Config.Origins
	unlisted = "https://evil.example" // and one that is not
)

// A host is a beacon.Handler, and all that can be seen of it from the outside.
type host struct {
	*beacon.Handler
	events beacontest.Recorder
	log    records

	mu      sync.Mutex
	refused []string // reasons that OnRefused was told
	reread  []string // bodies that next read once more behind Capture
}

func newHost(t *testing.T, changes ...func(*beacon.Config)) *host {
	t.Helper()
	h := &host{}
	c := beacon.Config{
		Sink:    &h.events,
		Path:    endpoint,
		Origins: []string{listed},
		Logger:  slog.New(&h.log),
		OnRefused: func(_ *http.Request, _ []byte, why *beacon.RequestError) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.refused = append(h.refused, why.Reason)
		},
	}
	for _, change := range changes {
		change(&c)
	}
	var err error
	if h.Handler, err = beacon.New(c); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) refusals() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.refused)
}

func (h *host) bodiesReread() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.reread)
}

// A way is one in which a host lets the handler in.
type way struct {
	name  string
	mount func(h *host) http.Handler
	// captured says that the answer is next's, which is always 202.
	captured bool
}

var ways = []way{
	{name: "handler", mount: func(h *host) http.Handler { return h.Handler }},
	{name: "middleware", mount: func(h *host) http.Handler { return h.Middleware(app) }},
	{name: "capture", mount: func(h *host) http.Handler { return h.Capture(h.next()) }, captured: true},
}

// taken is the status of a POST that was taken.
func (w way) taken() int {
	if w.captured {
		return http.StatusAccepted
	}
	return http.StatusNoContent
}

// app is what a beacon must not reach.
var app = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	http.Error(w, "the application got "+r.Method+" "+r.URL.Path, http.StatusTeapot)
})

// next is the host's own route behind Capture. It reads the body once more.
func (h *host) next() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || len(beacon.FromContext(r.Context())) == 0 {
			http.Error(w, "next has no events, or no body", http.StatusInternalServerError)
			return
		}
		h.mu.Lock()
		h.reread = append(h.reread, string(body))
		h.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
}

// records is a slog.Handler that keeps what it gets.
type records struct {
	mu   sync.Mutex
	kept []slog.Record
}

func (*records) Enabled(context.Context, slog.Level) bool { return true }
func (l *records) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *records) WithGroup(string) slog.Handler          { return l }
func (l *records) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, r.Clone())
	return nil
}

// withoutDeadline counts the records that say that the time to read a body cannot
// be enforced. The text of log records is free to change, so what they are about
// is recognised by whatever of it is likely to stay.
func (l *records) withoutDeadline() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.kept {
		text, found := r.Message, false
		r.Attrs(func(a slog.Attr) bool {
			err, ok := a.Value.Any().(error)
			found = found || ok && errors.Is(err, http.ErrNotSupported)
			text += " " + a.Value.String()
			return true
		})
		text = strings.ToLower(strings.ReplaceAll(text, " ", ""))
		if found || strings.Contains(text, "readtimeout") || strings.Contains(text, "readdeadline") {
			n++
		}
	}
	return n
}

// texts returns the records, one on each line, with their attributes.
func (l *records) texts() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all strings.Builder
	for _, r := range l.kept {
		all.WriteString(r.Message)
		r.Attrs(func(a slog.Attr) bool {
			all.WriteString(" " + a.Key + "=" + a.Value.String())
			return true
		})
		all.WriteString("\n")
	}
	return all.String()
}
