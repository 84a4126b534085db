package fleet

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// TestMistakes: what a host can do wrong is seen by the other tests, so that they prove
// something. The same with no mistake is one of the rows.
func TestMistakes(t *testing.T) {
	parallel(t)
	for _, c := range []struct{ name, mistake, sign string }{
		{"none", "", ""},
		{"a queue in memory in place of the spool", "volatile", "lost"},
		{"committed before the store has it", "early", "lost"},
		{"events without an ID that stays", "nameless", "nobody sent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			parallel(t)
			f := begin(t, plan{log: "kafka", store: "sqlite", receivers: 1, consumers: 1, mistake: c.mistake})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			w := wanted(t, 2_000)
			l := f.browsers(w)
			l.rate = 1_000
			ended := make(chan error, 1)
			go func() { ended <- l.run(ctx) }()
			await(t, "half is sent", func() bool { return l.taken.Load() > int64(w.requests/2) })

			if c.mistake == "early" { // it leaves in order, with all that it has answered committed
				await(t, "something is answered", func() bool {
					var r ConsumerReport
					return stats(f.consumers.get(0), &r) == nil && r.Delivered > 0
				})
				if err := f.consumers.get(0).stop(); err != nil {
					t.Fatal(err)
				}
			}
			// The log first, so that the receiver has something that it cannot get rid of.
			f.log.processes().kill()
			taken := l.taken.Load()
			await(t, "more is taken meanwhile", func() bool { return l.taken.Load() > taken+100 })
			f.receivers.kill()
			f.consumers.kill()
			if err := errors.Join(f.log.processes().start(0), f.receivers.start(0), f.consumers.start(0)); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			idle := patience
			if c.mistake != "" {
				idle = 5 * time.Second
			}
			wrong := f.outcome(ctx, w, idle)
			switch all := strings.Join(wrong, "\n"); {
			case c.mistake == "" && len(wrong) > 0:
				t.Error(all)
			case !strings.Contains(all, c.sign):
				t.Errorf("that went well: %q", all)
			case c.mistake != "":
				t.Logf("%s: %s", c.mistake, wrong[len(wrong)-1])
			}
		})
	}
}
