package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
)

func say(format string, args ...any) { fmt.Printf("-- "+format+"\n", args...) }

func joinLines(lines []string) string { return strings.Join(lines, "\n  ") }

// command runs a program and returns what it writes, without the white space around it.
func command(dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

func git(dir string, args ...string) (string, error) { return command(dir, nil, "git", args...) }
