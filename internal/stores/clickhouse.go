package stores

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pagebeacon/beacon/internal/clickhouse"
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

// HousePassword is that of the user "default".
const HousePassword = "s3cr3t&of=tests"

// StartClickHouse starts a server with its own defaults, but for less memory.
func StartClickHouse() (*Server, error) {
	s, err := newServer("clickhouse")
	if err != nil {
		return nil, err
	}
	s.admin, s.stop = "default", syscall.SIGKILL
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
		text := strings.NewReplacer("{port}", strconv.Itoa(s.port), "{dir}", s.dir, "{password}", strings.ReplaceAll(HousePassword, "&", "&amp;")).Replace(houseConfig)
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

// URL is that of the HTTP interface, with the password.
func (s *Server) URL() string {
	return fmt.Sprintf("http://default:%s@127.0.0.1:%d", strings.NewReplacer("&", "%26", "=", "%3D").Replace(HousePassword), s.port)
}

// house returns a database of ClickHouse.
func (s *Server) house(database string) (*sql.DB, error) {
	c, err := clickhouse.New(clickhouse.Options{URL: s.URL(), Database: database})
	if err != nil {
		return nil, err
	}
	return c.DB(), nil
}
