package browsers

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/example"
)

// TestExamples does in browsers what the examples say is to be tried.
func TestExamples(t *testing.T) {
	t.Parallel()
	programs := map[string]*example.Program{}
	for _, name := range []string{"page", "domains", "typed", "sqlite"} {
		programs[name] = example.Start(t, "../../examples/"+name)
	}
	for _, e := range Engines() {
		t.Run(string(e), func(t *testing.T) {
			b := Start(t, e)
			// open opens the page of an example that has said nothing yet.
			open := func(name string) (*example.Program, *Page) {
				was := programs[name]
				was.Signal(os.Kill)
				_ = was.End() // of which the error is the kill
				programs[name] = was.Next()
				programs[name].Listens()
				p := b.Open(was.URLs[0] + "/")
				p.WaitFor(`return typeof beacon === "object"`)
				return programs[name], p
			}

			x, p := open("page")
			p.Close()
			x.Says(x.URLs[0] + `/": here for [\d.]+m?s, engaged for [\d.]+m?s`)

			x, p = open("domains")
			p.Close()
			x.Says(`of "` + x.URLs[0] + `/", the first "session"`)

			x, p = open("typed")
			p.WaitFor(`return document.getElementById("like").onclick !== null`)
			p.Click("#order")
			x.Says(`an order of 2, "green": \[\]`)
			p.Click("#like")
			p.Close()
			x.Says(`a message: "I like tea"`)

			x, p = open("sqlite")
			known := strings.Count(x.Get(x.URLs[0]+"/"), "here for")
			p.Close()
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
				body := x.Get(x.URLs[0] + "/")
				if strings.Count(body, "here for") > known {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("nothing of it is stored: %s\n%s", body, x.Output())
				}
			}
		})
	}
}
