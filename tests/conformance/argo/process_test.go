// Programs that serve HTTP on a port of 127.0.0.1, and the two that are needed here: Prometheus and Haldane.

package argo_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

const (
	// patience is long enough for a busy machine; nothing is measured by it.
	patience = 60 * time.Second
	// attempts: another program may take a free port between its being found and its being used.
	attempts = 5
)

// server is a program that serves HTTP.
type server struct {
	url     string
	process *os.Process
	// ended is closed when the program has ended.
	ended chan struct{}
}

// running holds what has to be ended.
var running struct {
	sync.Mutex
	servers map[*server]bool
	// over says that nothing is to be started any more.
	over bool
}

// start runs what command makes of a free address, and waits until path answers with 200. Its output goes to the file log.
func start(log, path string, command func(address string) *exec.Cmd) (*server, error) {
	for range attempts {
		address := freeAddress()
		output, err := os.Create(log)
		if err != nil {
			return nil, err
		}
		cmd := command(address)
		cmd.Stdout, cmd.Stderr = output, output
		s, err := begin(cmd, "http://"+address)
		output.Close()
		if err != nil {
			return nil, err
		}
		if s.becomesReady(path) {
			return s, nil
		}
		s.end()
	}
	words, err := os.ReadFile(log)
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("did not become ready; its last words:\n%s", words)
}

// begin starts the program, unless all are being ended.
func begin(cmd *exec.Cmd, url string) (*server, error) {
	running.Lock()
	defer running.Unlock()
	if running.over {
		return nil, errors.New("interrupted")
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{url: url, process: cmd.Process, ended: make(chan struct{})}
	go func() {
		// How it ended is of no interest: it is killed, or it says why in its log.
		_ = cmd.Wait()
		close(s.ended)
	}()
	if running.servers == nil {
		running.servers = map[*server]bool{}
	}
	running.servers[s] = true
	return s, nil
}

// becomesReady is false when the program ended or never answered.
func (s *server) becomesReady(path string) bool {
	client := http.Client{Timeout: 5 * time.Second}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case <-s.ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
		reply, err := client.Get(s.url + path)
		if err != nil {
			continue
		}
		reply.Body.Close()
		if reply.StatusCode == http.StatusOK {
			return true
		}
	}
	return false
}

// end kills the program and waits for it.
func (s *server) end() {
	// It may have ended by itself, which is as good.
	_ = s.process.Kill()
	<-s.ended
	running.Lock()
	delete(running.servers, s)
	running.Unlock()
}

// endAll ends what runs and lets nothing start after it.
func endAll() {
	running.Lock()
	running.over = true
	var servers []*server
	for s := range running.servers {
		servers = append(servers, s)
	}
	running.Unlock()
	for _, s := range servers {
		s.end()
	}
}

// freeAddress is an address of this machine at which nothing listens.
func freeAddress() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// listen listens on a free port, until the test ends.
func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener
}

// startPrometheus makes blocks of the telemetry and starts a Prometheus over them, which scrapes nothing.
func startPrometheus(folder string) (*server, error) {
	samples, settings, data := filepath.Join(folder, "samples.txt"), filepath.Join(folder, "prometheus.yml"), filepath.Join(folder, "data")
	if err := os.WriteFile(samples, []byte(openmetrics(began)), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(settings, []byte("global: {}\n"), 0o600); err != nil {
		return nil, err
	}
	if said, err := exec.Command("promtool", "tsdb", "create-blocks-from", "openmetrics", samples, data).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("promtool made no blocks (`make tools` installs it): %w: %s", err, said)
	}
	return start(filepath.Join(folder, "log"), "/-/ready", func(address string) *exec.Cmd {
		return exec.Command("prometheus", "--config.file="+settings, "--storage.tsdb.path="+data,
			"--web.listen-address="+address, "--log.level=warn")
	})
}

// haldane starts a Haldane that offers the configs of a folder and reads metric stores, by account name. All of them share one
// key, as replicas do.
func haldane(t *testing.T, configs string, stores map[string]string) *server {
	t.Helper()
	binary, err := haldaneBinary()
	if err != nil {
		t.Fatal(err)
	}
	configs, err = filepath.Abs(configs)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	key, file, log := filepath.Join(folder, "id-key"), filepath.Join(folder, "haldane.yaml"), filepath.Join(folder, "log")
	sources := map[string]any{}
	for name, url := range stores {
		sources[name] = map[string]any{"kind": "prometheus", "url": url}
	}
	settings, err := yaml.Marshal(map[string]any{"configs": configs, "id_key_file": key, "sources": sources})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, []byte(strings.Repeat("k", 48)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, settings, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := start(log, "/health/ready", func(address string) *exec.Cmd {
		cmd := exec.Command(binary, "serve", "--settings", file, "--listen", address)
		// Whatever the person who runs the tests has set for their own Haldane.
		for _, variable := range os.Environ() {
			if !strings.HasPrefix(variable, "HALDANE_") {
				cmd.Env = append(cmd.Env, variable)
			}
		}
		return cmd
	})
	if err != nil {
		t.Fatalf("haldane: %v", err)
	}
	t.Cleanup(func() {
		s.end()
		if t.Failed() {
			if words, err := os.ReadFile(log); err == nil {
				t.Logf("haldane said:\n%s", words)
			}
		}
	})
	return s
}
