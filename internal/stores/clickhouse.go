package stores

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pagebeacon/beacon/internal/clickhouse"
	"github.com/pagebeacon/beacon/store"
)

// houseConfig is all that the server has to know. Its caches are small, and it logs what
// goes wrong.
const houseConfig = `<?xml version="1.0"?>
<yandex>
  <logger><level>error</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <path>{dir}/data/</path>
  <tmp_path>{dir}/tmp/</tmp_path>
  <user_files_path>{dir}/user_files/</user_files_path>
  <format_schema_path>{dir}/format_schemas/</format_schema_path>
  <mark_cache_size>67108864</mark_cache_size>
  <timezone>UTC</timezone>
  <users_config>{dir}/config.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <profiles><default>
    <max_memory_usage>2000000000</max_memory_usage>
    <max_threads>2</max_threads>
    <log_queries>0</log_queries>
  </default></profiles>
  <quotas><default></default></quotas>
  <users><default>
    <password>{password}</password>
    <networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile>
    <quota>default</quota>
  </default></users>
</yandex>
`

// housePassword is that of the user "default".
const housePassword = "s3cr3t&of=tests"

// StartClickHouse starts a server with its own defaults, but for less memory.
func StartClickHouse() (*Server, error) {
	s, err := newServer("clickhouse")
	if err != nil {
		return nil, err
	}
	s.driver, s.admin, s.stop = "clickhouse", "default", syscall.SIGKILL
	config := filepath.Join(s.dir, "config.xml")
	s.path, s.args = "/usr/sbin/clickhouse-server", []string{"--config-file=" + config}
	for _, dir := range []string{"data", "tmp", "user_files", "format_schemas"} {
		if err = os.Mkdir(filepath.Join(s.dir, dir), 0o700); err == nil && s.owner != nil {
			err = os.Chown(filepath.Join(s.dir, dir), int(s.owner.Uid), int(s.owner.Gid))
		}
		if err != nil {
			return s.started(err)
		}
	}
	// Somebody else may take the port until the server does.
	for range 5 {
		if s.port, err = freePort(); err != nil {
			break
		}
		text := strings.NewReplacer("{port}", strconv.Itoa(s.port), "{dir}", s.dir, "{password}", strings.ReplaceAll(housePassword, "&", "&amp;")).Replace(houseConfig)
		if err = os.WriteFile(config, []byte(text), 0o644); err != nil {
			break
		}
		if err = s.Start(); err == nil || !strings.Contains(string(s.tail()), "Address already in use") {
			break
		}
	}
	return s.ready(err)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// url is that of the HTTP interface, with the password.
func (s *Server) url(database string) string {
	return fmt.Sprintf("http://127.0.0.1:%d/?database=%s&user=default&password=%s", s.port, database, url.QueryEscape(housePassword))
}

func init() { sql.Register("clickhouse", houseDriver{}) }

// A houseDriver is one of database/sql, of which a name is a URL.
type houseDriver struct{ url string }

func (d houseDriver) Open(url string) (driver.Conn, error) {
	c, err := d.OpenConnector(url)
	if err != nil {
		return nil, err
	}
	return c.Connect(context.Background())
}

func (d houseDriver) OpenConnector(url string) (driver.Connector, error) {
	c, err := clickhouse.New(clickhouse.Options{URL: url})
	if err != nil {
		return nil, err
	}
	return houseConnector{c.Connector(), houseDriver{url}}, nil
}

type houseConnector struct {
	driver.Connector
	driver houseDriver
}

func (c houseConnector) Driver() driver.Driver { return c.driver }

// IsClickHouse says whether it is a database of ClickHouse, of which a test that asks by
// itself has to know that rows are merged later.
func IsClickHouse(db *sql.DB) bool {
	_, ok := db.Driver().(houseDriver)
	return ok
}

// Open opens a Store over what DB returned, or sql.Open of a DSN.
func Open(ctx context.Context, db *sql.DB, d store.Dialect, o store.Options) (*store.Store, error) {
	if h, ok := db.Driver().(houseDriver); ok {
		return store.OpenClickHouse(ctx, store.ClickHouseOptions{URL: h.url, Options: o})
	}
	return store.Open(ctx, db, d, o)
}

// Post sends a body to a server as it is.
func Post(db *sql.DB, body []byte) error {
	answer, err := http.Post(db.Driver().(houseDriver).url, "text/plain", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s, %w", answer.Status, text, err)
	}
	return nil
}
