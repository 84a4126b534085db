package stores_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pagebeacon/beacon/internal/stores"
	"github.com/pagebeacon/beacon/store"
)

// A volume is a file system of its own, in memory, and in it a file that leaves as little
// room as a test wants.
type volume struct{ dir string }

func newVolume(t *testing.T, megabytes int) *volume {
	t.Helper()
	dir, err := os.MkdirTemp(stores.Shared, "beacon-volume-")
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("mode=755,size=%dm", megabytes), "tmpfs", dir)
	t.Cleanup(func() {
		run("umount", "-l", dir) // what still has a file open there may end later
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return &volume{dir}
}

func (v *volume) free(t *testing.T) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(v.dir, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// fill leaves so many bytes.
func (v *volume) fill(t *testing.T, left int64) {
	t.Helper()
	f, err := os.Create(filepath.Join(v.dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := v.free(t) - left
	if n <= 0 {
		return
	}
	// Others write there, too, and may have taken some of it meanwhile.
	if _, err = f.Write(make([]byte, n)); errors.Is(err, syscall.ENOSPC) {
		at, _ := f.Seek(0, io.SeekCurrent)
		err = f.Truncate(max(0, at-left))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// relieve makes room.
func (v *volume) relieve(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(v.dir, "ballast")); err != nil {
		t.Fatal(err)
	}
}

// fullOf loads receivers until the disk of their database is full and their spools are,
// too; then there is room again. Nothing may be buried: it is no event's fault.
func fullOf(t *testing.T, j job, vol *volume, left int64, mend func(), says ...string) {
	t.Helper()
	j.MaxBytes = 512 << 10
	g := newRig(t, j)
	for range pick(1, 5) {
		before, refused := g.seen(says...), g.load.answers[503].Load()
		vol.fill(t, left)
		waitUntil(t, 60*time.Second, "a full disk", func() bool {
			return g.seen(says...) > before+5 && g.load.answers[503].Load() > refused+20
		})
		vol.relieve(t)
		mend()
		g.goesOn("after the disk was full", 30*time.Second)
		taken := g.load.answers[204].Load()
		waitUntil(t, 30*time.Second, "requests are taken again", func() bool { return g.load.answers[204].Load() > taken+50 })
	}
	for i, r := range g.receivers {
		if dead := r.spool.Stats().Dead; dead > 0 {
			t.Errorf("receiver %d buried %d events", i, dead)
		}
	}
	g.settle(nil)
}

// TestFullDisk fills the disk of a database.
func TestFullDisk(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) { // of a tablespace
		vol := newVolume(t, 24)
		server := startOn(t, nil, func() (*stores.Server, error) { return stores.StartPostgreSQL() })
		j := jobOn(t, server, store.PostgreSQL, "postgres")
		space := filepath.Join(vol.dir, "space")
		if err := os.Mkdir(space, 0o700); err != nil {
			t.Fatal(err)
		}
		var owner syscall.Stat_t
		if err := errors.Join(syscall.Stat(homeOf(j), &owner), os.Chown(space, int(owner.Uid), int(owner.Gid))); err != nil {
			t.Fatal(err)
		}
		j.run(t, "CREATE TABLESPACE space LOCATION '"+space+"'", "CREATE DATABASE filled TABLESPACE space")
		j.DSN = server.DSN("filled")
		fullOf(t, j, vol, 128<<10, func() {}, "53100")
	})
	t.Run("PostgreSQL's log", func(t *testing.T) { // without which it cannot live
		vol := newVolume(t, 80)
		server := startOn(t, nil, func() (*stores.Server, error) { return stores.StartPostgreSQL() })
		j := jobOn(t, server, store.PostgreSQL, "postgres")
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		logs := filepath.Join(homeOf(j), "data", "pg_wal")
		if out, err := exec.Command("cp", "-a", logs, vol.dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if err := errors.Join(os.RemoveAll(logs), os.Symlink(filepath.Join(vol.dir, "pg_wal"), logs), server.Start()); err != nil {
			t.Fatal(err)
		}
		fullOf(t, j, vol, 0, func() { revive(t, server) }, "57P", "EOF", "conn closed", "failed to connect")
	})
	t.Run("MariaDB", func(t *testing.T) {
		vol := newVolume(t, 250)
		server := startOn(t, vol, func() (*stores.Server, error) {
			return stores.StartMariaDB("--innodb-log-file-size=8M", "--innodb-buffer-pool-size=32M")
		})
		j := jobOn(t, server, store.MySQL, "")
		j.run(t, "CREATE DATABASE filled")
		j.DSN = server.DSN("filled")
		fullOf(t, j, vol, 256<<10, func() { revive(t, server) }, "1114", "1021", "1030", "No space", "invalid connection", "refused")
	})
	t.Run("SQLite", func(t *testing.T) {
		vol := newVolume(t, 24)
		j := newJob(t, store.SQLite)
		j.DSN = "file:" + filepath.Join(vol.dir, "beacon.db") + j.DSN[strings.Index(j.DSN, "?"):]
		fullOf(t, j, vol, 128<<10, func() {}, "disk is full", "disk I/O error")
	})
}

// startOn starts a server of this test's own, on a volume if there is one.
func startOn(t *testing.T, vol *volume, start func() (*stores.Server, error)) *stores.Server {
	t.Helper()
	if vol != nil {
		was := stores.Shared
		stores.Shared = vol.dir
		defer func() { stores.Shared = was }()
	}
	server, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// homeOf returns the directory of a server of PostgreSQL.
func homeOf(j job) string { return regexp.MustCompile(`host=(\S+)`).FindStringSubmatch(j.DSN)[1] }

func jobOn(t *testing.T, server *stores.Server, d store.Dialect, database string) job {
	t.Helper()
	driver := "pgx"
	if d == store.MySQL {
		driver = "mysql"
	}
	dir, err := os.MkdirTemp(stores.Shared, "beacon-spool-") // not on the volume
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return job{Dialect: d, Driver: driver, DSN: server.DSN(database), Dir: filepath.Join(dir, "spool")}
}

// revive starts a server again that has ended for want of room.
func revive(t *testing.T, server *stores.Server) {
	t.Helper()
	time.Sleep(time.Second) // it may be about to
	if server.Running() {
		return
	}
	t.Log("the server has ended, and is started again")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
}
