package intake

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const whole = 1 << 20 // the budget

func gate(maxBody int64) *Gate {
	return New(Limits{MaxBody: maxBody, Budget: whole, Share: whole, Making: whole, Requests: 100, Timeout: time.Minute, NoDeadline: func() {}})
}

func post(body io.Reader, length int64) *http.Request {
	r := httptest.NewRequest("POST", "/", body)
	r.ContentLength = length
	return r
}

// TestHeldIsWhatIsInMemory: whatever the length says, what a body holds of the budget is
// the room that was made for it, and all of it comes back.
func TestHeldIsWhatIsInMemory(t *testing.T) {
	for _, n := range []int{0, 1, 511, 512, 513, 8191, 8192, 8193, 65535, 65537, 300_000} {
		for _, length := range []int64{int64(n), -1, 0, 1, 100, int64(n) * 2, int64(n) / 2} {
			g := gate(400_000)
			b := g.Body(httptest.NewRecorder(), post(strings.NewReader(strings.Repeat("x", n)), length), netip.Prefix{})
			err := b.Read(true)
			if n == 0 && length > 0 {
				if !errors.Is(err, ErrReadBefore) {
					t.Errorf("%d bytes of %d: %v", n, length, err)
				}
			} else if err != nil || len(b.Bytes) != n || !b.Complete {
				t.Errorf("%d bytes of %d: %d, %v", n, length, len(b.Bytes), err)
			}
			if held := whole - g.bytes.free; n == 0 && held != 0 {
				t.Errorf("nothing holds %d", held)
			} else if n > 0 && (held != b.held || held < int64(cap(b.Bytes))-probe-1 || held > int64(cap(b.Bytes))) {
				t.Errorf("%d bytes of %d: %d held for a buffer of %d", n, length, held, cap(b.Bytes))
			}
			if err := b.Hold(1000); err != nil || g.bytes.free != whole-b.held {
				t.Error(err, g.bytes.free)
			}
			b.Release()
			b.Release()
			if g.bytes.free != whole || g.bytes.small != 0 {
				t.Errorf("%d bytes of %d: %d of the budget is left, %d small", n, length, g.bytes.free, g.bytes.small)
			}
		}
	}
}

// TestClaimsFollowBytes: a length alone claims nothing.
func TestClaimsFollowBytes(t *testing.T) {
	for came, most := range map[int]int64{0: 0, 1: waitingRoom, 512: firstChunk, 600: firstChunk, 8000: firstChunk, 8500: secondChunk, 60_000: secondChunk, 70_000: 500_000} {
		g := gate(500_000)
		b := g.Body(httptest.NewRecorder(), post(io.MultiReader(strings.NewReader(strings.Repeat("x", came)), broken{}), 500_000), netip.Prefix{})
		if err := b.Read(true); !errors.Is(err, ErrBroken) || len(b.Bytes) != came {
			t.Errorf("%d: %v", came, err)
		}
		if b.held > most {
			t.Errorf("%d bytes hold %d", came, b.held)
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		body   io.Reader
		length int64
		want   error
		read   int
	}{
		"one too many":           {strings.NewReader("123456"), -1, ErrTooLarge, 5},
		"one too many, unsaid":   {strings.NewReader("123456"), 5, ErrTooLarge, 5},
		"as long as can be":      {strings.NewReader("12345"), -1, nil, 5},
		"a limit of the host's":  {http.MaxBytesReader(nil, io.NopCloser(strings.NewReader("1234")), 3), 4, ErrTooLarge, 3},
		"closed by somebody":     {failing{http.ErrBodyReadAfterClose}, 4, ErrReadBefore, 0},
		"broken":                 {io.MultiReader(strings.NewReader("12"), broken{}), 4, ErrBroken, 2},
		"nothing, for ever":      {failing{nil}, 4, ErrBroken, 0},
		"the end with the bytes": {withEOF{}, 2, nil, 2},
	} {
		g := gate(5)
		b := g.Body(httptest.NewRecorder(), post(c.body, c.length), netip.Prefix{})
		if err := b.Read(true); !errors.Is(err, c.want) || len(b.Bytes) != c.read || b.Complete != (c.want == nil) {
			t.Errorf("%s: %v, %q, complete %v", name, err, b.Bytes, b.Complete)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type withEOF struct{}

func (withEOF) Read(b []byte) (int, error) { return copy(b, "ab"), io.EOF }

// TestDeadlineIsTakenBack: a body that comes through in the last moment leaves no deadline
// on the connection, which would end what comes after.
func TestDeadlineIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{MaxBody: 100, Budget: whole, Share: whole, Making: whole, Requests: 1, Timeout: time.Second, NoDeadline: func() { t.Error("there is one") }})
		pr, pw := io.Pipe()
		go func() {
			time.Sleep(3 * time.Second) // and the reader does not mind the deadline
			_, _ = io.WriteString(pw, "x")
			_ = pw.Close()
		}()
		w := &deadlines{ResponseWriter: httptest.NewRecorder()}
		b := g.Body(w, post(pr, -1), netip.Prefix{})
		if err := b.Read(true); err != nil {
			t.Error(err)
		}
		if len(w.set) != 2 || w.set[0].IsZero() || !w.set[1].IsZero() {
			t.Errorf("deadlines %v", w.set)
		}
	})
}

type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

// TestHeaders: the walk finds what look-ups would, whatever the order of the map.
func TestHeaders(t *testing.T) {
	r := &http.Request{RequestURI: "/b?x", Header: http.Header{
		"Content-Type": {"text/plain", "text/html"}, "Content-Encoding": {"gzip"}, "Origin": {""}, "Sec-Fetch-Site": {"none"},
		"Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}, "User-Agent": {"u"}, "Referer": {"r"}, "Idempotency-Key": {"k"},
		"Ping-To": {"t"}, "Ping-From": {"f"}, "Sec-Gpc": {"0", "1"}, "Dnt": {"2"}, "X-Moz": {"moz"}, "Purpose": {"older"},
		"Sec-Purpose": {"prefetch"}, "Accept": {}, "X-Other": {"1234"},
	}}
	weight := len("/b?x")
	for name, values := range r.Header {
		weight += 64 + len(name)
		for _, v := range values {
			weight += 24 + len(v)
		}
	}
	want := Headers{
		ContentType: "text/plain", ContentEncoding: "gzip", HasOrigin: true, FetchSite: "none", FetchMode: "cors", FetchDest: "empty",
		UserAgent: "u", Referer: "r", Purpose: "prefetch", IdempotencyKey: "k", PingTo: "t", PingFrom: "f", HasPingTo: true, GPC: true,
		weight: weight,
	}
	for range 20 {
		if got := ReadHeaders(r); got != want {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	}
	if got := want.Uncommon(); got != int64(weight)-4096 {
		t.Errorf("uncommon: %d", got)
	}
	for _, gone := range []struct{ name, purpose string }{{"Sec-Purpose", "older"}, {"Purpose", "moz"}, {"X-Moz", ""}} {
		delete(r.Header, gone.name)
		for range 20 {
			if got := ReadHeaders(r).Purpose; got != gone.purpose {
				t.Fatalf("without %s: %q", gone.name, got)
			}
		}
	}
}
