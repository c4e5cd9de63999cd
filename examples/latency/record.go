package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A recorded reply of Prometheus, one a line.
type recorded struct {
	Pair  string `json:"pair"`
	Fault string `json:"fault"`
	Arm   string `json:"arm"`
	Query string `json:"query"`
	// Unix seconds of the first and the last point; a point covers the `step` before it.
	Start int64           `json:"start"`
	End   int64           `json:"end"`
	Step  int64           `json:"step"` // seconds
	Reply json.RawMessage `json:"reply"`
}

// What is the same for all recorded replies.
type manifest struct {
	Prometheus    string                    `json:"prometheus"`
	ClientGolang  string                    `json:"client_golang"`
	Go            string                    `json:"go"`
	Seed          uint64                    `json:"seed"`
	MinuteSeconds int64                     `json:"minute_seconds"`
	Minutes       int64                     `json:"minutes"`
	ScrapeSeconds float64                   `json:"scrape_seconds"`
	PerMinute     float64                   `json:"requests_per_minute"`
	Start         int64                     `json:"start"`    // Unix seconds at which the window begins
	Requests      map[string]map[string]int `json:"requests"` // that left within the window, by pair and arm
}

const manifestName = "recording.json"

// The files of a recording.
const (
	classicFile   = "classic.jsonl.gz"
	nativeFile    = "native.jsonl.gz"
	instancesFile = "instances.jsonl.gz"
)

type recorder struct {
	program   string
	folder    string
	wire      string
	minute    time.Duration // as long as a minute lasts here
	minutes   int64
	scrapes   int64 // in a minute
	perMinute float64
	faults    []fault
	each      int // pairs of a fault
	seed      uint64
}

func record(ctx context.Context, args []string) error {
	r := recorder{}
	flags := flag.NewFlagSet("record", flag.ContinueOnError)
	flags.StringVar(&r.program, "prometheus", "prometheus", "`program` to record, 2.40 or newer")
	flags.StringVar(&r.folder, "out", "../../fixtures/distributions/real", "`folder` that the recording goes to")
	flags.StringVar(&r.wire, "wire", "", "`folder` for a few small replies as they are sent; none where it is empty")
	flags.DurationVar(&r.minute, "minute", 20*time.Second, "how long a compressed minute lasts, in whole seconds")
	flags.Int64Var(&r.minutes, "minutes", 20, "compressed minutes in the window")
	flags.Int64Var(&r.scrapes, "scrapes", 4, "scrapes in a compressed minute")
	flags.Float64Var(&r.perMinute, "rate", 60, "requests in a compressed minute to each arm")
	names := flags.String("faults", "x1.25,x1.5,tail,instance", "what is wrong with canaries")
	flags.IntVar(&r.each, "each", 10, "pairs of each fault; there are as many healthy ones as faulty ones")
	flags.Uint64Var(&r.seed, "seed", 1, "of the requests and their latencies")
	if err := parse(flags, args); err != nil {
		return err
	}
	var err error
	if r.faults, err = faultsNamed(*names); err != nil {
		return fmt.Errorf("-faults: %w", err)
	}
	switch {
	case r.minute < time.Second || r.minute%time.Second != 0:
		return fmt.Errorf("-minute %v: must be whole seconds, at least one", r.minute)
	case r.minutes < 1 || r.each < 1:
		return errors.New("-minutes and -each must be at least 1")
	case r.scrapes < 2:
		return fmt.Errorf("-scrapes %d: `increase` needs two in a minute", r.scrapes)
	case !(r.perMinute > 0):
		return fmt.Errorf("-rate %v: must be above 0", r.perMinute)
	}
	return r.record(ctx)
}

func (r *recorder) record(ctx context.Context) error {
	pairs := allPairs(r.faults, r.each)
	service := newServer(r.seed, pairs)
	if r.wire != "" {
		if err := observeFixed(service.registry); err != nil {
			return err
		}
	}
	base, closing, err := start("127.0.0.1:0", service.handler())
	if err != nil {
		return err
	}
	defer closing()
	scrape := r.minute / time.Duration(r.scrapes)
	major, minor, err := versionOf(ctx, r.program)
	if err != nil {
		return err
	}
	custom := major > 3 || major == 3 && minor >= 8
	store, stopping, err := startPrometheus(ctx, r.program, strings.TrimPrefix(base, "http://"), scrape, custom)
	if err != nil {
		return err
	}
	defer stopping()

	// The first requests come when every series has been seen at zero, twice.
	waiting, cancel := context.WithTimeout(ctx, time.Minute+4*scrape)
	defer cancel()
	for {
		seen, err := store.scalar(waiting, fmt.Sprintf("min(count_over_time(%s_count[1h]))", classicName))
		if err != nil {
			return err
		}
		if seen >= 2 {
			break
		}
		if err := sleep(waiting, scrape/4); err != nil {
			return fmt.Errorf("prometheus has not scraped the service twice: %w", err)
		}
	}
	loadStart := time.Now()
	begin := loadStart.Add(r.minute).Truncate(time.Second).Add(time.Second)
	end := begin.Add(time.Duration(r.minutes) * r.minute)
	perSecond := r.perMinute / r.minute.Seconds()
	fmt.Printf("%d pairs, %.0f requests/s, until %s\n", len(pairs), perSecond*float64(2*len(pairs)), end.Format(time.TimeOnly))
	generator := newLoad(base, r.seed, perSecond)
	if err := generator.run(ctx, pairs, loadStart, end.Sub(loadStart)); err != nil {
		return err
	}
	if err := sleep(ctx, 2*scrape); err != nil {
		return err
	}
	if err := r.checkCounts(ctx, store, pairs, perSecond, end.Sub(loadStart)); err != nil {
		return err
	}

	version, err := store.version(ctx)
	if err != nil {
		return err
	}
	about := manifest{
		Prometheus: version, ClientGolang: moduleVersion("github.com/prometheus/client_golang"), Go: runtime.Version(), Seed: r.seed,
		MinuteSeconds: int64(r.minute.Seconds()), Minutes: r.minutes, ScrapeSeconds: scrape.Seconds(), PerMinute: r.perMinute,
		Start: begin.Unix(), Requests: make(map[string]map[string]int),
	}
	for _, p := range pairs {
		about.Requests[p.Name] = make(map[string]int)
		for _, arm := range arms {
			about.Requests[p.Name][arm] = requestsWithin(r.seed, p, arm, perSecond, begin.Sub(loadStart), end.Sub(loadStart))
		}
	}
	if err := r.write(ctx, store, pairs, begin.Unix()); err != nil {
		return err
	}
	text, err := json.MarshalIndent(about, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.folder, manifestName), append(text, '\n'), 0o644); err != nil {
		return err
	}
	if r.wire != "" {
		return r.writeWire(ctx, store, begin.Unix(), fmt.Sprintf("%d.%d", major, minor), custom)
	}
	return nil
}

// checkCounts compares what Prometheus has counted in all with what was sent.
func (r *recorder) checkCounts(ctx context.Context, store *prometheusServer, pairs []pair, perSecond float64, length time.Duration) error {
	for _, p := range pairs {
		for _, arm := range arms {
			sent := requestsWithin(r.seed, p, arm, perSecond, 0, length)
			for _, query := range []string{
				fmt.Sprintf(`sum(%s_count{pair=%q,arm=%q})`, classicName, p.Name, arm),
				fmt.Sprintf(`histogram_count(sum(%s{pair=%q,arm=%q}))`, nativeName, p.Name, arm),
			} {
				counted, err := store.scalar(ctx, query)
				if err != nil {
					return err
				}
				if counted != float64(sent) {
					return fmt.Errorf("%s is %v, but %d requests were sent", query, counted, sent)
				}
			}
		}
	}
	return nil
}

func (r *recorder) stepSeconds() int64 { return int64(r.minute.Seconds()) }

func (r *recorder) classicQuery(p pair, arm, by string) string {
	return fmt.Sprintf(`sum by (%s) (increase(%s_bucket{pair=%q,arm=%q}[%ds]))`, by, classicName, p.Name, arm, r.stepSeconds())
}

func (r *recorder) nativeQuery(p pair, arm string) string {
	return fmt.Sprintf(`sum (increase(%s{pair=%q,arm=%q}[%ds]))`, nativeName, p.Name, arm, r.stepSeconds())
}

// write asks for every pair's arms and keeps the replies.
func (r *recorder) write(ctx context.Context, store *prometheusServer, pairs []pair, begin int64) error {
	if err := os.MkdirAll(r.folder, 0o755); err != nil {
		return err
	}
	// The pairs with one slow instance, and as many healthy ones.
	var byInstance []pair
	for _, f := range r.faults {
		if f.instanceFactor != 1 {
			byInstance = append(pairsOf(healthy, r.each), pairsOf(f, r.each)...)
		}
	}
	for _, file := range []struct {
		name  string
		pairs []pair
		query func(p pair, arm string) string
	}{
		{classicFile, pairs, func(p pair, arm string) string { return r.classicQuery(p, arm, "le") }},
		{nativeFile, pairs, r.nativeQuery},
		{instancesFile, byInstance, func(p pair, arm string) string { return r.classicQuery(p, arm, "le, instance") }},
	} {
		if len(file.pairs) == 0 {
			continue
		}
		var lines bytes.Buffer
		encoder := json.NewEncoder(&lines)
		encoder.SetEscapeHTML(false) // the reply stays as it was sent
		for _, p := range file.pairs {
			for _, arm := range arms {
				line := recorded{
					Pair: p.Name, Fault: p.Fault.Name, Arm: arm, Query: file.query(p, arm),
					Start: begin + r.stepSeconds(), End: begin + r.minutes*r.stepSeconds(), Step: r.stepSeconds(),
				}
				reply, err := store.queryRange(ctx, line.Query, line.Start, line.End, line.Step)
				if err != nil {
					return err
				}
				line.Reply = reply
				if err := encoder.Encode(line); err != nil {
					return err
				}
			}
		}
		if err := writeGzip(filepath.Join(r.folder, file.name), lines.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func writeGzip(path string, text []byte) error {
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := writer.Write(text); err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, packed.Bytes(), 0o644)
}

const (
	signedName = "signed_seconds"
	endsName   = "ends_seconds"
	idleName   = "idle_seconds"
)

// observeFixed adds histograms of all that latencies here do not have: a native one of negative values and a zero bucket, an
// empty one, and a classic one whose first and last buckets have something in them.
func observeFixed(registry *prometheus.Registry) error {
	signed := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:                         signedName,
		Help:                         "A few fixed values on both sides of zero.",
		NativeHistogramBucketFactor:  2,
		NativeHistogramZeroThreshold: 0.001,
	})
	for _, value := range []float64{-3, -0.6, 0, 0, 0.0005, 0.6, 0.7, 3} {
		signed.Observe(value)
	}
	idle := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:                        idleName,
		Help:                        "Nothing.",
		NativeHistogramBucketFactor: 2,
	})
	ends := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    endsName,
		Help:    "A few fixed values, some below the first bound and some above the last.",
		Buckets: []float64{0.5, 1, 2},
	})
	for _, value := range []float64{0.25, 0.25, 1.5, 3, 4, 5} {
		ends.Observe(value)
	}
	return errors.Join(registry.Register(signed), registry.Register(idle), registry.Register(ends))
}

// writeWire keeps a few short replies of every form, as they are sent.
func (r *recorder) writeWire(ctx context.Context, store *prometheusServer, begin int64, version string, custom bool) error {
	p, step := pairsOf(healthy, 1)[0], r.stepSeconds()
	both := fmt.Sprintf(`sum by (le) (increase({__name__=~"%s_bucket|%s",pair=%q,arm="canary"}[%ds]))`, classicName, nativeName, p.Name, step)
	type wireFile struct {
		name, query string
		points      int64
	}
	files := []wireFile{
		{"classic-histogram", r.classicQuery(p, "canary", "le"), 3},
		{"classic-histogram-by-instance", r.classicQuery(p, "canary", "le, instance"), 2},
		{"native-histogram", r.nativeQuery(p, "canary"), 3},
		{"native-histogram-signed", "sum by (job) (" + signedName + ")", 1},
		{"native-histogram-empty", "sum by (job) (" + idleName + ")", 2},
		{"mixed-histograms", both, 2},
	}
	if custom {
		query := fmt.Sprintf(`sum (increase(%s{pair=%q,arm="canary"}[%ds]))`, classicName, p.Name, step)
		files = append(files, wireFile{"custom-bounds-histogram", query, 3},
			wireFile{"custom-bounds-histogram-ends", "sum by (job) (" + endsName + ")", 1})
	}
	for _, file := range files {
		reply, err := store.queryRange(ctx, file.query, begin+step, begin+file.points*step, step)
		if err != nil {
			return err
		}
		path := filepath.Join(r.wire, fmt.Sprintf("prometheus-%s-%s.json", version, file.name))
		if err := os.WriteFile(path, append(reply, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A prometheusServer is a Prometheus that was started here.
type prometheusServer struct{ base string }

// startPrometheus starts the program in a folder of its own, which is gone when it is stopped.
// `custom`: it is new enough (3.8) to keep the classic histograms as native ones with custom bounds, too.
func startPrometheus(ctx context.Context, program, target string, scrape time.Duration, custom bool) (*prometheusServer, func(), error) {
	folder, err := os.MkdirTemp("", "latency-prometheus-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { _ = os.RemoveAll(folder) }
	// The service itself names the instances that it stands for: honor_labels.
	config := fmt.Sprintf("scrape_configs:\n- job_name: latency\n  honor_labels: true\n  scrape_interval: %dms\n  scrape_timeout: %dms\n"+
		"  static_configs:\n  - targets: [%q]\n", scrape.Milliseconds(), scrape.Milliseconds(), target)
	if custom {
		config += "  scrape_native_histograms: true\n  convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true\n"
	}
	path := filepath.Join(folder, "prometheus.yml")
	if err := os.WriteFile(path, []byte(config), 0o644); err != nil {
		remove()
		return nil, nil, err
	}
	address, err := freeAddress()
	if err != nil {
		remove()
		return nil, nil, err
	}
	var output bytes.Buffer
	process := exec.CommandContext(ctx, program, "--config.file="+path, "--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address="+address, "--enable-feature=native-histograms", "--log.level=warn")
	process.Stdout, process.Stderr = &output, &output
	process.Cancel = func() error { return process.Process.Signal(syscall.SIGTERM) }
	process.WaitDelay = 10 * time.Second
	if err := process.Start(); err != nil {
		remove()
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- process.Wait() }()
	stop := func() {
		_ = process.Process.Signal(syscall.SIGTERM)
		<-ended
		remove()
	}
	store := &prometheusServer{base: "http://" + address}
	for range 300 {
		if _, err := store.get(ctx, "/-/ready", nil); err == nil {
			return store, stop, nil
		}
		select {
		case err := <-ended:
			remove()
			return nil, nil, fmt.Errorf("%s ended: %w\n%s", program, err, output.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
	stop()
	return nil, nil, fmt.Errorf("%s is not ready after 30 s\n%s", program, output.String())
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (s *prometheusServer) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = reply.Body.Close() }()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return nil, err
	}
	if reply.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %s", path, reply.Status, body)
	}
	return body, nil
}

func (s *prometheusServer) queryRange(ctx context.Context, query string, start, end, step int64) ([]byte, error) {
	return s.get(ctx, "/api/v1/query_range", url.Values{
		"query": {query},
		"start": {strconv.FormatInt(start, 10)},
		"end":   {strconv.FormatInt(end, 10)},
		"step":  {strconv.FormatInt(step, 10)},
	})
}

// scalar is the one value of an instant query; 0 where there is none.
func (s *prometheusServer) scalar(ctx context.Context, query string) (float64, error) {
	body, err := s.get(ctx, "/api/v1/query", url.Values{"query": {query}})
	if err != nil {
		return 0, err
	}
	var reply struct {
		Data struct {
			Result []struct {
				Value [2]json.RawMessage `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return 0, err
	}
	if len(reply.Data.Result) == 0 {
		return 0, nil
	}
	var text string
	if err := json.Unmarshal(reply.Data.Result[0].Value[1], &text); err != nil {
		return 0, err
	}
	return strconv.ParseFloat(text, 64)
}

func (s *prometheusServer) version(ctx context.Context) (string, error) {
	body, err := s.get(ctx, "/api/v1/status/buildinfo", nil)
	if err != nil {
		return "", err
	}
	var reply struct {
		Data struct {
			Version string `json:"version"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return "", err
	}
	return reply.Data.Version, nil
}

// versionOf is what the program says of itself: `prometheus, version 2.42.0+ds (branch: ...)`.
func versionOf(ctx context.Context, program string) (major, minor int, err error) {
	text, err := exec.CommandContext(ctx, program, "--version").CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("%s --version: %w", program, err)
	}
	if _, err := fmt.Sscanf(string(text), "prometheus, version %d.%d", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("%s does not say its version: %q", program, firstLine(text))
	}
	return major, minor, nil
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == path {
				return module.Version
			}
		}
	}
	return "unknown"
}

func sleep(ctx context.Context, length time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(length):
		return nil
	}
}
