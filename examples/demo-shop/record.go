package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/common/expfmt"
)

// begin is when every window starts, in seconds since 1970; scrape is the virtual time from one scrape to the next.
const (
	begin  = 1_700_000_400
	scrape = 30 * time.Second
	step   = 60
)

func record(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	out := flags.String("out", "../../fixtures/datasets", "`folder` that the recordings go to")
	seed := flags.Uint64("seed", 1, "of all that is random")
	if err := flags.Parse(args); err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "demo-shop-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	text := filepath.Join(folder, "scrapes.txt")
	file, err := os.Create(text)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(file, 1<<20)
	for _, s := range shops {
		for _, f := range faults {
			for _, arm := range []string{"baseline", "canary"} {
				if err := simulate(w, s, f, arm, *seed); err != nil {
					return err
				}
			}
		}
	}
	if _, err := expfmt.FinalizeOpenMetrics(w); err != nil {
		return err
	}
	if err := errors.Join(w.Flush(), file.Close()); err != nil {
		return err
	}
	data := filepath.Join(folder, "data")
	if output, err := exec.CommandContext(ctx, "promtool", "tsdb", "create-blocks-from", "openmetrics", text, data).CombinedOutput(); err != nil {
		return fmt.Errorf("promtool: %w\n%s", err, output)
	}
	p, stop, err := startPrometheus(ctx, folder, data)
	if err != nil {
		return err
	}
	defer stop()
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	return p.export(ctx, filepath.Join(*out, "canaries.jsonl"))
}

// simulate writes what every scrape of an arm finds, in OpenMetrics with times.
func simulate(w io.Writer, s shop, f fault, arm string, seed uint64) error {
	var all []*instance
	for number := range instances {
		all = append(all, newInstance(s, f, arm, number, seed))
	}
	from := -history - time.Minute
	if arm == "canary" {
		from = -scrape // it is new
	}
	encoder := expfmt.NewEncoder(w, expfmt.NewFormat(expfmt.TypeOpenMetrics))
	for at := from; at <= window; at += scrape {
		up := 0
		for _, i := range all {
			if i.up(at) {
				up++
			}
		}
		for _, i := range all {
			if !i.up(at) {
				continue
			}
			i.measure(at)
			families, err := i.registry.Gather()
			if err != nil {
				return err
			}
			ms := (begin + int64(at.Seconds())) * 1000
			for _, family := range families {
				for _, metric := range family.Metric {
					metric.TimestampMs = &ms
				}
				if err := encoder.Encode(family); err != nil {
					return err
				}
			}
			rate := i.rate(at, float64(instances)/float64(up))
			for next := at; ; {
				next += time.Duration(i.random.ExpFloat64() / rate * 1e9)
				if next >= at+scrape {
					break
				}
				i.serve(next)
			}
		}
	}
	return nil
}

type prometheusServer struct{ base string }

func startPrometheus(ctx context.Context, folder, data string) (*prometheusServer, func(), error) {
	config := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(config, []byte("{}\n"), 0o644); err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	address := listener.Addr().String()
	_ = listener.Close()
	process := exec.CommandContext(ctx, "prometheus", "--config.file="+config, "--storage.tsdb.path="+data, "--web.listen-address="+address,
		"--storage.tsdb.retention.time=100y", "--log.level=error")
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		_ = process.Wait()
	}
	for range 300 {
		if reply, err := http.Get("http://" + address + "/-/ready"); err == nil {
			_ = reply.Body.Close()
			if reply.StatusCode == http.StatusOK {
				return &prometheusServer{"http://" + address}, stop, nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	stop()
	return nil, nil, errors.New("prometheus is not ready after 30 s")
}

type series struct {
	Metric map[string]string
	Values [][2]any
}

// points puts a series on the grid of minutes that end within (from, to]; nil where there is none or it is no number.
func (s series) points(from, to int64) []*float64 {
	points := make([]*float64, (to-from)/step)
	for _, pair := range s.Values {
		at, _ := pair[0].(float64)
		text, _ := pair[1].(string)
		value, err := strconv.ParseFloat(text, 64)
		if err == nil && !math.IsNaN(value) && !math.IsInf(value, 0) {
			value, _ = strconv.ParseFloat(strconv.FormatFloat(value, 'g', 5, 64), 64)
			points[(int64(at)-from)/step-1] = &value
		}
	}
	return points
}

func (p *prometheusServer) query(ctx context.Context, query string, from, to int64) ([]series, error) {
	form := url.Values{"query": {query}, "start": {strconv.FormatInt(from+step, 10)}, "end": {strconv.FormatInt(to, 10)}, "step": {strconv.Itoa(step)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/api/v1/query_range?"+form.Encode(), nil)
	if err != nil {
		return nil, err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = reply.Body.Close() }()
	var body struct {
		Status, Error string
		Data          struct{ Result []series }
	}
	if err := json.NewDecoder(reply.Body).Decode(&body); err != nil {
		return nil, err
	}
	if body.Status != "success" {
		return nil, fmt.Errorf("%s: %s", query, body.Error)
	}
	return body.Data.Result, nil
}

// one is the only series of a query, all missing where it has none.
func (p *prometheusServer) one(ctx context.Context, query string, from, to int64) ([]*float64, error) {
	all, err := p.query(ctx, query, from, to)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		all = []series{{}}
	}
	return all[0].points(from, to), nil
}

type buckets struct {
	Bounds []float64    `json:"bounds"`
	Counts [][]*float64 `json:"counts"`
}

func (p *prometheusServer) buckets(ctx context.Context, selector string, from, to int64) (*buckets, error) {
	all, err := p.query(ctx, fmt.Sprintf("sum by (le) (increase(%s_bucket{%s}[1m]))", latencyName, selector), from, to)
	if err != nil {
		return nil, err
	}
	le := func(i int) float64 { x, _ := strconv.ParseFloat(all[i].Metric["le"], 64); return x }
	sort.Slice(all, func(a, b int) bool { return le(a) < le(b) })
	b := &buckets{Counts: make([][]*float64, (to-from)/step)}
	var below []*float64
	for i, each := range all {
		if !math.IsInf(le(i), 1) {
			b.Bounds = append(b.Bounds, le(i))
		}
		points := each.points(from, to)
		for at, point := range points {
			if point == nil {
				continue
			}
			count := *point
			if below != nil && below[at] != nil {
				count = max(0, count-*below[at])
			}
			count = math.Round(count*100) / 100
			b.Counts[at] = append(b.Counts[at], &count)
		}
		below = points
	}
	return b, nil
}

type metric map[string]any

func (p *prometheusServer) export(ctx context.Context, path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(file)
	for _, s := range shops {
		for _, f := range faults {
			label := "healthy"
			if f.Regressed {
				label = "regressed"
			}
			metrics, err := p.metrics(ctx, s.Name+"/"+f.Name)
			if err != nil {
				return err
			}
			if err := encoder.Encode(map[string]any{"id": s.Name + "/" + f.Name, "source": f.Name, "group": s.Name, "label": label,
				"pairing": "concurrent", "step_seconds": step, "metrics": metrics}); err != nil {
				return err
			}
		}
	}
	return file.Close()
}

func (p *prometheusServer) metrics(ctx context.Context, id string) ([]metric, error) {
	const start, end = begin, begin + int64(window/time.Second)
	past := start - int64(history/time.Second)
	latency := metric{"name": "latency_seconds", "role": "latency", "direction": "increase", "kind": "distribution", "unit": "seconds"}
	failures := metric{"name": "error_ratio", "role": "error_rate", "direction": "increase"}
	all := []metric{latency, failures}
	type span struct {
		key, arm string
		from, to int64
	}
	spans := []span{{"baseline", "baseline", start, end}, {"canary", "canary", start, end}, {"baseline_history", "baseline", past, start}}
	for _, s := range spans {
		selector := fmt.Sprintf("case=%q,arm=%q", id, s.arm)
		b, err := p.buckets(ctx, selector, s.from, s.to)
		if err != nil {
			return nil, err
		}
		latency[s.key+"_buckets"] = b
		for suffix, status := range map[string]string{"": `,http_response_status_code=~"5.."`, "_totals": ""} {
			points, err := p.one(ctx, fmt.Sprintf("sum(increase(http_server_requests_total{%s%s}[1m]))", selector, status), s.from, s.to)
			if err != nil {
				return nil, err
			}
			failures[s.key+suffix] = points
		}
	}
	for _, v := range []struct{ name, role, unit, query string }{
		{"latency_p95_seconds", "latency", "seconds", "histogram_quantile(.95, sum by (%s) (increase(" + latencyName + "_bucket{%s}[1m])))"},
		{"memory_bytes", "memory", "bytes", "avg by (%s) (process_memory_usage_bytes{%s})"},
		{"cpu_cores", "cpu", "cores", "avg by (%s) (rate(process_cpu_time_seconds_total{%s}[1m]))"},
		{"active_requests", "saturation", "requests", "avg by (%s) (http_server_active_requests{%s})"},
	} {
		m := metric{"name": v.name, "role": v.role, "unit": v.unit, "direction": "increase"}
		by, le := "", ""
		if v.role == "latency" {
			le, by = ", le", "le"
		}
		for _, s := range spans {
			selector := fmt.Sprintf("case=%q,arm=%q", id, s.arm)
			points, err := p.one(ctx, fmt.Sprintf(v.query, by, selector), s.from, s.to)
			if err != nil {
				return nil, err
			}
			m[s.key] = points
			if s.key == "baseline_history" || v.role == "saturation" || v.role == "cpu" {
				continue
			}
			single, err := p.query(ctx, fmt.Sprintf(v.query, "instance"+le, selector), s.from, s.to)
			if err != nil {
				return nil, err
			}
			named := map[string][]*float64{}
			for _, each := range single {
				named[each.Metric["instance"]] = each.points(s.from, s.to)
			}
			if len(named) > 0 {
				m[s.key+"_instances"] = named
			}
		}
		all = append(all, m)
	}
	return all, nil
}
