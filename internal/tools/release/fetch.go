package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Fetched is what the go command makes of a module that it fetches from a tag.
type fetched struct {
	Zip, Sum string
	size     int64
}

// fetch has the go command fetch a module of this repository from its tag in repo, as it
// would from the repository's address. What it gets is below dir, where [proxyEnv] finds it.
func fetch(dir, repo, path, version string) (fetched, error) {
	n, _ := strconv.Atoi(os.Getenv("GIT_CONFIG_COUNT"))
	out, err := command(dir, append(goEnv(), "GOPROXY=direct", "GOMODCACHE="+filepath.Join(dir, "mod"),
		fmt.Sprintf("GIT_CONFIG_COUNT=%d", n+1),
		fmt.Sprintf("GIT_CONFIG_KEY_%d=url.file://%s.insteadOf", n, filepath.ToSlash(repo)),
		fmt.Sprintf("GIT_CONFIG_VALUE_%d=https://%s", n, rootModule),
	), "go", "mod", "download", "-json", path+"@"+version)
	if err != nil {
		return fetched{}, err
	}
	var z fetched
	if err := json.Unmarshal([]byte(out), &z); err != nil {
		return fetched{}, err
	}
	info, err := os.Stat(z.Zip)
	if err != nil {
		return fetched{}, err
	}
	z.size = info.Size()
	return z, nil
}

// proxyEnv is the environment of a go command that takes what [fetch] has put below dir
// from there, and all other modules from where it always does: a module cache's downloads
// have the layout of a module proxy.
func proxyEnv(dir string) ([]string, error) {
	usual, err := command(dir, nil, "go", "env", "GOPROXY")
	if err != nil {
		return nil, err
	}
	return append(goEnv(), "GOPROXY=file://"+filepath.ToSlash(filepath.Join(dir, "mod", "cache", "download"))+","+usual), nil
}

// goEnv says that no proxy and no checksum database can know what is about to be released.
func goEnv() []string {
	return []string{"GOWORK=off", "GOPRIVATE=", "GONOPROXY=", "GONOSUMDB=" + rootModule,
		"GOFLAGS=" + strings.TrimSpace(os.Getenv("GOFLAGS")+" -modcacherw")}
}

// forget removes a version of the modules of this repository from a module cache.
func forget(cache, version string) {
	filepath.WalkDir(filepath.Join(cache, filepath.FromSlash(rootModule)+"@"+version), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			os.Chmod(path, 0o777) // go makes them read-only, unless it is told not to
		}
		return nil
	})
	below := filepath.FromSlash(rootModule)
	for _, pattern := range []string{
		below + "@" + version, below + "/*@" + version, below + "/*/*@" + version,
		"cache/download/" + below + "/@v/" + version + ".*",
		"cache/download/" + below + "/*/@v/" + version + ".*", "cache/download/" + below + "/*/*/@v/" + version + ".*",
	} {
		found, _ := filepath.Glob(filepath.Join(cache, pattern))
		for _, name := range found {
			os.RemoveAll(name)
			if dir := filepath.Dir(name); filepath.Base(dir) == "@v" {
				if left, _ := filepath.Glob(filepath.Join(dir, "*.info")); len(left) == 0 {
					os.RemoveAll(dir)
				}
			}
		}
	}
}
