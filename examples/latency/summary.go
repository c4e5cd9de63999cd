package main

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// A bucket has the requests that took longer than Lower and no longer than Upper seconds. Classic buckets from 0 on, the last to
// infinity.
type bucket struct{ Lower, Upper, Count float64 }

// A reply, as far as buckets go.
type reply struct {
	Status string `json:"status"`
	Data   struct {
		Result []struct {
			Metric     map[string]string    `json:"metric"`
			Values     [][2]json.RawMessage `json:"values"`
			Histograms []histogramPoint     `json:"histograms"`
		} `json:"result"`
	} `json:"data"`
}

// A histogramPoint is `[1795215660, {"count": "8", "sum": "1.5", "buckets": [[0, "0.0625", "0.125", "3"], ...]}]`.
type histogramPoint struct {
	Time    float64
	Count   float64
	Buckets []bucket
}

func (p *histogramPoint) UnmarshalJSON(text []byte) error {
	var histogram struct {
		Count   string               `json:"count"`
		Buckets [][4]json.RawMessage `json:"buckets"`
	}
	if err := json.Unmarshal(text, &[2]any{&p.Time, &histogram}); err != nil {
		return err
	}
	var err error
	if p.Count, err = strconv.ParseFloat(histogram.Count, 64); err != nil {
		return err
	}
	for _, sent := range histogram.Buckets {
		var b bucket
		for i, to := range []*float64{&b.Lower, &b.Upper, &b.Count} {
			if *to, err = quoted(sent[i+1]); err != nil {
				return err
			}
		}
		p.Buckets = append(p.Buckets, b)
	}
	return nil
}

// quoted is the number in a JSON string.
func quoted(text json.RawMessage) (float64, error) {
	var number string
	if err := json.Unmarshal(text, &number); err != nil {
		return 0, err
	}
	return strconv.ParseFloat(number, 64)
}

// points is how many points the fullest series of a reply has.
func (r *reply) points() int {
	most := 0
	for _, series := range r.Data.Result {
		most = max(most, len(series.Values), len(series.Histograms))
	}
	return most
}

// buckets adds up a reply's points and series, by bucket, in rising order.
func (r *reply) buckets() ([]bucket, error) {
	cumulative := make(map[float64]float64)
	counts := make(map[[2]float64]float64)
	for _, series := range r.Data.Result {
		for _, point := range series.Histograms {
			for _, b := range point.Buckets {
				counts[[2]float64{b.Lower, b.Upper}] += b.Count
			}
		}
		if len(series.Values) == 0 {
			continue
		}
		upper, err := strconv.ParseFloat(series.Metric["le"], 64)
		if err != nil {
			return nil, fmt.Errorf("a series has no bound: %w", err)
		}
		for _, point := range series.Values {
			value, err := quoted(point[1])
			if err != nil {
				return nil, err
			}
			cumulative[upper] += value
		}
	}
	uppers := make([]float64, 0, len(cumulative))
	for upper := range cumulative {
		uppers = append(uppers, upper)
	}
	slices.Sort(uppers)
	lower, below := 0.0, 0.0
	for _, upper := range uppers {
		counts[[2]float64{lower, upper}] += cumulative[upper] - below
		lower, below = upper, cumulative[upper]
	}
	return sorted(counts), nil
}

func sorted(counts map[[2]float64]float64) []bucket {
	buckets := make([]bucket, 0, len(counts))
	for edges, count := range counts {
		buckets = append(buckets, bucket{edges[0], edges[1], count})
	}
	slices.SortFunc(buckets, func(a, b bucket) int { return cmp.Compare(a.Upper, b.Upper) })
	return buckets
}

func total(buckets []bucket) float64 {
	sum := 0.0
	for _, b := range buckets {
		sum += b.Count
	}
	return sum
}

// quantileOf is a quantile in seconds, on a straight line through its bucket, or, of native histograms, on a straight line of
// the logarithms. In the last classic bucket it is that bucket's lower bound.
func quantileOf(q float64, buckets []bucket, exponential bool) float64 {
	rank := q * total(buckets)
	for _, b := range buckets {
		if rank > b.Count {
			rank -= b.Count
			continue
		}
		share := rank / b.Count
		switch {
		case b.Count <= 0 || math.IsInf(b.Upper, 1):
			return b.Lower
		case exponential && b.Lower > 0:
			return b.Lower * math.Pow(b.Upper/b.Lower, share)
		default:
			return b.Lower + (b.Upper-b.Lower)*share
		}
	}
	return math.NaN()
}

// readRecorded reads one file of a recording.
func readRecorded(path string) ([]recorded, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	unpacked, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	text, err := io.ReadAll(unpacked)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var lines []recorded
	for line := range bytes.Lines(text) {
		var one recorded
		if err := json.Unmarshal(line, &one); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(lines)+1, err)
		}
		lines = append(lines, one)
	}
	return lines, nil
}

// summary prints a recording's quantiles: what was drawn, and what the buckets say.
func summary(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("summary", flag.ContinueOnError)
	folder := flags.String("from", "../../fixtures/distributions/real", "`folder` of a recording")
	if err := parse(flags, args); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(*folder, manifestName))
	if err != nil {
		return err
	}
	var about manifest
	if err := json.Unmarshal(text, &about); err != nil {
		return fmt.Errorf("%s: %w", manifestName, err)
	}
	_, err = fmt.Fprint(out, "| fault | arm | requests | by | counted | p50 ms | p95 ms | p99 ms |\n|---|---|---|---|---|---|---|---|\n")
	if err != nil {
		return err
	}
	layouts := make(map[string][]recorded)
	for _, name := range []string{classicFile, nativeFile} {
		if layouts[name], err = readRecorded(filepath.Join(*folder, name)); err != nil {
			return err
		}
	}
	for _, f := range append([]fault{healthy}, faults...) {
		for _, arm := range arms {
			requests := 0
			var drawn []distribution
			for i := range instances {
				drawn = append(drawn, latencyOf(pair{Fault: f}, arm, i))
			}
			for _, line := range layouts[classicFile] {
				if line.Fault == f.Name && line.Arm == arm {
					requests += about.Requests[line.Pair][arm]
				}
			}
			if requests == 0 {
				continue
			}
			_, err := fmt.Fprintf(out, "| %s | %s | %d | drawn | | %.1f | %.1f | %.1f |\n", f.Name, arm, requests,
				1e3*quantile(.5, drawn), 1e3*quantile(.95, drawn), 1e3*quantile(.99, drawn))
			if err != nil {
				return err
			}
			for _, layout := range []struct{ name, file string }{{"classic", classicFile}, {"native", nativeFile}} {
				buckets, err := group(layouts[layout.file], f.Name, arm)
				if err != nil {
					return err
				}
				native := layout.file == nativeFile
				_, err = fmt.Fprintf(out, "| | | | %s | %.0f | %.1f | %.1f | %.1f |\n", layout.name, total(buckets),
					1e3*quantileOf(.5, buckets, native), 1e3*quantileOf(.95, buckets, native), 1e3*quantileOf(.99, buckets, native))
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// group adds up the buckets of all pairs with a fault.
func group(lines []recorded, fault, arm string) ([]bucket, error) {
	counts := make(map[[2]float64]float64)
	for _, line := range lines {
		if line.Fault != fault || line.Arm != arm {
			continue
		}
		var r reply
		if err := json.Unmarshal(line.Reply, &r); err != nil {
			return nil, fmt.Errorf("%s %s: %w", line.Pair, arm, err)
		}
		buckets, err := r.buckets()
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", line.Pair, arm, err)
		}
		for _, b := range buckets {
			counts[[2]float64{b.Lower, b.Upper}] += b.Count
		}
	}
	return sorted(counts), nil
}
