package browsers

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestKilledWhileHidden is the usual end on a phone: people turn to something else,
// and a moment later the browser is gone, all of it.
func TestKilledWhileHidden(t *testing.T) {
	for _, c := range configs {
		t.Run(c.name, func(t *testing.T) {
			s, r := newStore(t), newTable(c, "hidden-killed")
			for _, i := range batches() {
				b := Start(t, c.engine)
				for _, p := range (&trial{s: s, b: b, c: c, r: r}).fillBatch(i) {
					p.Hide()
				}
				time.Sleep(time.Second)
				b.Kill()
				s.settle()
				b.Close()
			}
			for _, i := range batches() {
				r.addBatch(s, i)
			}
			r.print("")
			r.check(t, 0.98, nil)
		})
	}
}

// TestQuit ends the whole browser while its pages are in use, and visits them again
// where that is possible: WebKit under automation keeps no profile. A browser has
// several ways to end. The one that its driver knows, and is the default here, gives
// pages of Chromium hardly any time. Closing all windows is what most people do. The
// system's SIGTERM is not judged: no page hears of it in Chromium.
func TestQuit(t *testing.T) {
	ways := map[string]func(b *Browser, pages []*Page){
		"quit":       func(b *Browser, _ []*Page) { b.Quit() },
		"windows":    func(b *Browser, pages []*Page) { closeAll(pages); b.Quit() },
		"terminated": func(b *Browser, _ []*Page) { b.Terminate() },
	}
	for _, c := range configs {
		for _, way := range []string{"quit", "windows", "terminated"} {
			if way == "windows" && c.engine != Chromium || way != "quit" && trials() < 50 {
				continue
			}
			t.Run(c.name+"/"+way, func(t *testing.T) {
				s, once, later := newStore(t), newTable(c, way), newTable(c, way)
				for _, i := range batches() {
					b := Start(t, c.engine)
					pages := (&trial{s: s, b: b, c: c, r: once}).fillBatch(i)
					ways[way](b, pages)
					s.settle()
					once.addBatch(s, i)
					if c.engine != WebKit {
						b.Restart()
						s.nextVisit(b, c.query)
					}
					later.addBatch(s, i)
					b.Close()
				}
				once.print(" at once")
				later.print(" and next visit")
				if way != "terminated" {
					later.check(t, 0.9, raw)
				}
			})
		}
	}
}

// closeAll closes all pages at once.
func closeAll(pages []*Page) {
	var wait sync.WaitGroup
	for _, p := range pages {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			if err := p.b.driver.closeTab(ctx, p.tab); err != nil {
				p.b.t.Errorf("close: %v", err)
			}
		})
	}
	wait.Wait()
}

// TestClosedUnderLoad closes tabs of Firefox on a machine that has better things to do:
// what goes by one of the browser's functions only was lost then.
func TestClosedUnderLoad(t *testing.T) {
	c := config{"firefox", Firefox, ""}
	s, b, r := newStore(t), Start(t, c.engine), newTable(c, "close-under-load")
	n := 3 * trials()
	if n >= 150 {
		var done atomic.Bool
		defer done.Store(true)
		for range 2 * runtime.NumCPU() {
			go func() {
				for !done.Load() {
				}
			}()
		}
	}
	e := end{name: r.end, run: simple(func(_ *trial, p *Page) { p.Close() })}
	x := &trial{s: s, b: b, c: c, r: r}
	for i := range n {
		e.run(x, i)
	}
	s.settle()
	for i := range n {
		for _, kind := range kinds {
			r.add(s, kind, r.mark(i))
		}
	}
	r.print("")
	r.check(t, 148.0/150, nil)
	fmt.Printf("delivery: %-28s load %s\n", c.name, load())
}
