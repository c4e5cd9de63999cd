// What really went over the wire between Argo and Haldane, byte by byte.

package argo_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// wire passes connections on to a server and keeps what was said. It knows no HTTP while it does so: what a proxy would
// repair, such as an unescaped query, arrives as it was sent.
type wire struct {
	url         string
	mutex       sync.Mutex
	connections []*connection
}

type connection struct {
	client, server net.Conn
	sent, answered bytes.Buffer
}

// exchange is one request and its reply.
type exchange struct {
	method string
	// target is the path and query exactly as sent.
	target string
	body   string
	status int
	reply  string
}

// record listens on a port of its own, before the server at url.
func record(t *testing.T, url string) *wire {
	t.Helper()
	listener := listen(t)
	w := &wire{url: "http://" + listener.Addr().String()}
	address := strings.TrimPrefix(url, "http://")
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", address)
			if err != nil {
				client.Close()
				continue
			}
			c := &connection{client: client, server: server}
			w.mutex.Lock()
			w.connections = append(w.connections, c)
			w.mutex.Unlock()
			go w.pass(client, server, &c.sent)
			go w.pass(server, client, &c.answered)
		}
	}()
	t.Cleanup(func() {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		for _, c := range w.connections {
			c.client.Close()
			c.server.Close()
		}
	})
	return w
}

// pass copies one direction, each piece into the record before it is sent on. What the receiver no longer wants is recorded still.
func (w *wire) pass(from, to net.Conn, record *bytes.Buffer) {
	piece := make([]byte, 32<<10)
	for wanted := true; ; {
		n, err := from.Read(piece)
		w.mutex.Lock()
		record.Write(piece[:n])
		w.mutex.Unlock()
		if wanted && n > 0 {
			_, failed := to.Write(piece[:n])
			wanted = failed == nil
		}
		if err != nil {
			// The other direction goes on.
			if half, ok := to.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
			return
		}
	}
}

// sent is all that was sent to the server, in the order of connections.
func (w *wire) sent() string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var all strings.Builder
	for _, c := range w.connections {
		all.Write(c.sent.Bytes())
	}
	return all.String()
}

// exchanges are the requests and replies, in order: Argo sends one request at a time. It does not read the body of an error, so
// that may still be on its way.
func (w *wire) exchanges(t *testing.T) []exchange {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		all, err := w.parse()
		if err == nil {
			return all
		}
		if time.Now().After(deadline) {
			t.Fatalf("what went over the wire cannot be read: %v: %q", err, w.sent())
		}
	}
}

// parse reads what has been recorded so far; it fails where a reply is not complete.
func (w *wire) parse() ([]exchange, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	var all []exchange
	for _, c := range w.connections {
		sent, answered := bufio.NewReader(bytes.NewReader(c.sent.Bytes())), bufio.NewReader(bytes.NewReader(c.answered.Bytes()))
		for {
			request, err := http.ReadRequest(sent)
			if err == io.EOF {
				break
			} else if err != nil {
				return nil, err
			}
			body, err := io.ReadAll(request.Body)
			if err != nil {
				return nil, err
			}
			response, err := http.ReadResponse(answered, request)
			if err != nil {
				return nil, err
			}
			reply, err := io.ReadAll(response.Body)
			if err != nil {
				return nil, err
			}
			all = append(all, exchange{request.Method, request.RequestURI, string(body), response.StatusCode, string(reply)})
		}
	}
	return all, nil
}

// last is the latest exchange.
func (w *wire) last(t *testing.T) exchange {
	t.Helper()
	all := w.exchanges(t)
	if len(all) == 0 {
		t.Fatal("nothing was sent")
	}
	return all[len(all)-1]
}

// object is the reply as a JSON object.
func (e exchange) object(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(e.reply), &object); err != nil {
		t.Fatalf("%s %s answered %d with no JSON object: %v: %s", e.method, e.target, e.status, err, e.reply)
	}
	return object
}

// at is what lies at a path of a JSON object, nil where there is nothing.
func at(object any, path ...string) any {
	for _, name := range path {
		inner, ok := object.(map[string]any)
		if !ok {
			return nil
		}
		object = inner[name]
	}
	return object
}
