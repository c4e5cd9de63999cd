// Package argo_test drives Argo Rollouts' own metric providers against a running Haldane over a real Prometheus.
//
// TestMain starts one Prometheus for all tests; each test starts the Haldane it needs. Everything that is started here is ended
// here, also on failure and on interrupt.
package argo_test

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// began is the time that the recorded telemetry is made around.
var began = time.Now()

// prometheus is where the Prometheus of all tests answers.
var prometheus string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "haldane-argo-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	end := func() {
		endAll()
		os.RemoveAll(folder)
	}
	defer end()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		end()
		os.Exit(130)
	}()
	server, err := startPrometheus(folder)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	prometheus = server.url
	return m.Run()
}

// haldaneBinary is the program under test: HALDANE_BIN, or what `cargo build` made.
func haldaneBinary() (string, error) {
	path := os.Getenv("HALDANE_BIN")
	if path == "" {
		path = "../../../target/debug/haldane"
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(absolute); err != nil {
		return "", fmt.Errorf("no Haldane to test: %w; run `cargo build`, or name the program in HALDANE_BIN", err)
	}
	return absolute, nil
}
