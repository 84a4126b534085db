package intake

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	one   = netip.MustParsePrefix("203.0.113.7/32")
	other = netip.MustParsePrefix("2001:db8::/64")
)

// A waiting claim of a test.
type asked struct {
	name string
	claim
	patience time.Duration
}

// ask makes claims one after the other, each while those before wait, and returns the
// names of those served, in order.
func ask(b *budget, claims ...asked) (served func() string) {
	var mu sync.Mutex
	var names []string
	for _, a := range claims {
		go func() {
			granted := b.wait(a.claim, a.patience, nobody)
			mu.Lock()
			defer mu.Unlock()
			if granted {
				names = append(names, a.name)
			} else {
				names = append(names, "-"+a.name)
			}
		}()
		synctest.Wait()
	}
	return func() string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(names, " ")
	}
}

func nobody(netip.Prefix) {}

// TestLineIsFair: large claims are served in order, and who gives up holds nobody back.
func TestLineIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(10, 10, 0, math.MaxInt)
		if !b.wait(claim{n: 8}, time.Second, nobody) {
			t.Fatal("nobody holds anything")
		}
		served := ask(&b, asked{"large", claim{n: 9}, time.Second}, asked{"next", claim{n: 2}, time.Minute})
		if got := served(); got != "" {
			t.Errorf("%s: past the line", got)
		}
		time.Sleep(time.Second)
		if got := served(); got != "-large next" {
			t.Error(got)
		}
		b.release(netip.Prefix{}, 10, 0)
		if b.free != 10 || b.waiting != 0 || !b.lines.empty() {
			t.Errorf("%+v", &b)
		}
	})
}

// TestSmallOvertakeForAWhile: small claims go past a large one that waits, then they have
// the room that is kept for them, and it gets all the rest.
func TestSmallOvertakeForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		little := claim{n: 10, kind: small}
		b := newBudget(160, 160, 10, math.MaxInt)
		if !b.wait(claim{n: 100}, time.Second, nobody) || b.wait(claim{n: 51}, 0, nobody) {
			t.Fatal("large claims get all but what is kept")
		}
		served := ask(&b, asked{"large", claim{n: 90}, time.Minute}, asked{"a", little, time.Minute}, asked{"b", little, time.Minute})
		if got := served(); got != "a b" {
			t.Errorf("%q: small ones wait behind a large one", got)
		}
		time.Sleep(overtake)
		served2 := ask(&b, asked{"c", little, time.Minute})
		if got := served2(); got != "" {
			t.Error("small ones starve a large one")
		}
		b.release(netip.Prefix{}, 20, 20) // a, b
		if got := served2(); got != "c" {
			t.Errorf("%q: nothing is kept for small ones", got)
		}
		b.release(netip.Prefix{}, 100, 0)
		if got := served(); got != "a b large" {
			t.Error(got)
		}
		b.release(netip.Prefix{}, 100, 10)
		if b.free != 160 || b.small != 0 {
			t.Errorf("%+v", &b)
		}
	})
}

// TestShares: a network that has its share waits, and holds nobody else up.
func TestShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 30, 0, math.MaxInt)
		if !b.wait(claim{n: 30, network: one}, time.Second, nobody) {
			t.Fatal("its share is free")
		}
		served := ask(&b,
			asked{"one", claim{n: 1, network: one}, time.Minute},
			asked{"gives up", claim{n: 1, network: one}, time.Second},
			asked{"late", claim{n: 1, network: one}, time.Minute},
			asked{"other", claim{n: 30, network: other}, time.Second},
			asked{"anybody", claim{n: 40}, time.Second})
		if got := served(); got != "other anybody" {
			t.Errorf("served %q", got)
		}
		time.Sleep(2 * time.Second)
		b.release(one, 30, 0)
		if got := served(); got != "other anybody -gives up one late" && got != "other anybody -gives up late one" {
			t.Errorf("served %q", got)
		}
		b.release(one, 2, 0)
		b.release(other, 30, 0)
		b.release(netip.Prefix{}, 40, 0)
		if b.free != 100 || len(b.networks) != 0 || b.waiting != 0 {
			t.Errorf("%+v", &b)
		}
	})
}

// TestLeavesRoom: what is read leaves room for what is made of it, so that bodies that
// hold all they may do not wait for each other.
func TestLeavesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, of := range []netip.Prefix{{}, one} {
			b := newBudget(100, 100, 0, math.MaxInt)
			leave := [kinds]int64{finishing: 25, beginning: 60}
			if of.IsValid() {
				b.leaveShare = leave
			} else {
				b.leave = leave
			}
			for _, left := range []struct {
				kind kind
				free int64
			}{{beginning, 60}, {finishing, 30}, {making, 0}} {
				for b.wait(claim{n: 10, kind: left.kind, network: of}, 0, nobody) {
				}
				if b.free != left.free {
					t.Errorf("%d are free after claims of kind %d", b.free, left.kind)
				}
			}
		}
	})
}

// TestCrowd: no more may wait than that.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(1, 1, 0, 2)
		c := claim{n: 1, network: one}
		served := ask(&b, asked{"a", c, time.Second}, asked{"b", c, time.Second}, asked{"c", c, time.Second}, asked{"d", c, time.Second})
		if got := served(); got != "a -d" {
			t.Error(got)
		}
		b.release(one, 1, 0)
		if got := served(); got != "a -d b" {
			t.Error(got)
		}
		time.Sleep(2 * time.Second)
		b.release(one, 1, 0)
		if len(b.networks) != 0 {
			t.Error("it is not forgotten")
		}
	})
}

// TestPress: who waits makes room by ending bodies that are slow, and no others.
func TestPress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 1 << 20
		g := New(Limits{MaxBody: size, Budget: 6 * size, Share: 6 * size, Making: size, Requests: 100, Timeout: 10 * time.Second, NoDeadline: func() {}})
		upload := func(piece int, pause time.Duration) chan error {
			done := make(chan error, 1)
			pr, pw := io.Pipe()
			go func() {
				for left := size; left > 0; left -= piece {
					if _, err := pw.Write(make([]byte, min(piece, left))); err != nil {
						return
					}
					time.Sleep(pause)
				}
				_ = pw.Close()
			}()
			go func() {
				b := g.Body(interrupts{httptest.NewRecorder(), pw}, post(pr, size), netip.Prefix{})
				err := b.Read(true)
				b.Release()
				done <- err
			}()
			synctest.Wait()
			return done
		}
		stalls := upload(70_000, 30*time.Second) // it claims all of the room, and stops
		steady := []chan error{upload(70_000, 500*time.Millisecond), upload(70_000, 500*time.Millisecond)}
		time.Sleep(1500 * time.Millisecond)
		quick := upload(size, 0)
		select {
		case <-quick:
			t.Error("there was room all the time")
		default:
		}
		if err := <-quick; err != nil {
			t.Errorf("the one that waits: %v", err)
		}
		if err := <-stalls; !errors.Is(err, ErrTooSlow) {
			t.Errorf("the one that stalls: %v", err)
		}
		for _, s := range steady {
			if err := <-s; err != nil {
				t.Errorf("one that will be in time: %v", err)
			}
		}
		if g.bytes.free != 6*size {
			t.Errorf("%d free", g.bytes.free)
		}
		time.Sleep(time.Minute) // until the clock has stopped
	})
}

// TestPressOwn: a network that has used up its share presses its own bodies only.
func TestPressOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100, 10, 0, math.MaxInt)
		b.try(claim{n: 10, network: one})
		var pressed []netip.Prefix
		press := func(of netip.Prefix) { pressed = append(pressed, of) }
		if b.wait(claim{n: 5, network: one}, time.Second, press) {
			t.Error("its share is used up")
		}
		b.try(claim{n: 90})
		if b.wait(claim{n: 5, network: other}, time.Second, press) {
			t.Error("all of it is used up")
		}
		if len(pressed) != 2 || pressed[0] != one || pressed[1].IsValid() {
			t.Errorf("pressed %v", pressed)
		}
	})
}

// interrupts ends the reading of a pipe as a deadline does that of a connection.
type interrupts struct {
	http.ResponseWriter
	pw *io.PipeWriter
}

func (i interrupts) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		_ = i.pw.CloseWithError(os.ErrDeadlineExceeded)
	}
	return nil
}

// TestMinPace: a byte now and then does not hold a connection for as long as an upload
// may take, and one that was quick before may pause.
func TestMinPace(t *testing.T) {
	for name, c := range map[string]struct {
		first int
		pause time.Duration
		want  time.Duration
	}{
		"nothing": {0, time.Hour, 7 * time.Second},
		"trickle": {0, 100 * time.Millisecond, 7 * time.Second}, // 10 bytes a second
		"slow":    {0, 50 * time.Millisecond, 12 * time.Second}, // 20
		"a pause": {500, time.Hour, 13 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := New(Limits{MaxBody: 1000, Budget: whole, Share: whole, Making: whole, Requests: 1, Timeout: 10 * time.Second, NoDeadline: func() {}})
			pr, pw := io.Pipe()
			defer pw.Close()
			go func() {
				_, err := pw.Write(make([]byte, c.first))
				for err == nil {
					time.Sleep(c.pause)
					_, err = pw.Write([]byte{0})
				}
			}()
			begun := time.Now()
			b := g.Body(interrupts{httptest.NewRecorder(), pw}, post(pr, -1), netip.Prefix{})
			if err := b.Read(true); !errors.Is(err, ErrTooSlow) {
				t.Errorf("%s: %v", name, err)
			}
			if took := time.Since(begun); took > c.want || took < c.want-2500*time.Millisecond {
				t.Errorf("%s: ended after %v", name, took)
			}
			pr.Close()
			time.Sleep(2 * time.Hour)
		})
	}
}

// TestBudgetComesBack whatever claims do at a time.
func TestBudgetComesBack(t *testing.T) {
	b := newBudget(1000, 200, 60, 50)
	b.leave, b.leaveShare = [kinds]int64{finishing: 100, beginning: 200}, [kinds]int64{finishing: 20, beginning: 40}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 300 {
				c := claim{n: rand.Int64N(150), kind: kind(rand.IntN(int(kinds)))}
				switch rand.IntN(3) {
				case 0:
					c.network = one
				case 1:
					c.network = other
				}
				if b.wait(c, time.Duration(rand.IntN(3))*time.Millisecond, nobody) {
					little := int64(0)
					if c.kind == small {
						little = c.n
					}
					b.release(c.network, c.n, little)
				}
			}
		})
	}
	all.Wait()
	if b.free != 1000 || b.small != 0 || b.waiting != 0 || len(b.networks) != 0 {
		t.Errorf("%+v", &b)
	}
}
