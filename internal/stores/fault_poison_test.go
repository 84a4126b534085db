package stores_test

import (
	"database/sql"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// TestPoison sends events that a database never takes between those that it does: such as
// a trigger of the host's refuses, since all that a Handler lets in is stored else, and at
// MariaDB also such as are longer than a packet may be. They are buried, by name, and
// those beside them are there within seconds.
func TestPoison(t *testing.T) {
	stores.All(t, func(t *testing.T, _ *sql.DB, d store.Dialect) {
		j := newJob(t, d)
		sizes := []int{100, 100}
		refuse := []string{}
		switch d {
		case store.PostgreSQL:
			refuse = []string{"ALTER TABLE beacon_events ADD CHECK (name <> 'poison')"}
		case store.SQLite:
			refuse = []string{"CREATE TRIGGER poison BEFORE INSERT ON beacon_events WHEN NEW.name = 'poison' BEGIN SELECT RAISE(ABORT, 'poison'); END"}
		case store.MySQL:
			j.run(t, "SET GLOBAL max_allowed_packet = 262144")
			t.Cleanup(func() { j.run(t, "SET GLOBAL max_allowed_packet = 16777216") })
			sizes[1] = 220 << 10
			refuse = []string{`CREATE TRIGGER poison BEFORE INSERT ON beacon_events FOR EACH ROW
				IF NEW.name = 'poison' AND length(NEW.event) < 10000 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'poison'; END IF`}
		case store.ClickHouse:
			refuse = []string{"ALTER TABLE beacon_events ADD COLUMN my_check UInt8 MATERIALIZED throwIf(name = 'poison')"}
		}
		g := newRig(t, j)
		j.run(t, refuse...)
		poison := func(n int) string { return fmt.Sprintf("p%d:s:1", n) }
		for n := range pick(10, 200) {
			body := fmt.Sprintf(`{"v":1,"m":"append","k":"s","sid":"s0-0","pv":"p%d","via":"now","at":%d,"ev":[{"n":1,"e":"poison","d":%q}]}`,
				n, time.Now().UnixMilli(), strings.Repeat("x", sizes[n%2]))
			g.load.set([]string{poison(n)}, sent)
			resp, err := http.Post(g.load.addrs()[n%2]+"/b", "text/plain", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusNoContent {
				t.Fatal(resp.Status)
			}
			g.load.set([]string{poison(n)}, acked)
			before := g.delivered()
			waitUntil(t, time.Minute, "events beside the poison", func() bool { return g.delivered() > before+20 })
		}
		waitUntil(t, 30*time.Second, "dead letters", func() bool {
			return g.receivers[0].spool.Stats().Dead+g.receivers[1].spool.Stats().Dead >= uint64(pick(10, 200))
		})
		for _, r := range g.receivers {
			if age := r.spool.Stats().Oldest; age > time.Minute {
				t.Errorf("events beside the poison wait for %v", age)
			}
		}
		g.settle(func(id string) bool { return strings.HasPrefix(id, "p") })
	})
}
