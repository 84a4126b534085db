// Package deploy has the tests of the files with which docs/operations.md runs a program:
// a unit of systemd, a manifest for Kubernetes, and what the program does for them.
package deploy
