package main

import (
	"context"
	"encoding/json"
	"math"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

const fixture = "../../fixtures/distributions/real"

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if !(math.Abs(got-want) <= relative*math.Abs(want)) {
		t.Errorf("%s is %v, not within %v %% of %v", what, got, 100*relative, want)
	}
}

// With sigma .6 a log-normal's quantiles are median * exp(.6 * normal quantile); of two halves, one twice as slow, half of the
// requests are slower than the geometric mean of the two medians.
func TestQuantilesAreTheDistributions(t *testing.T) {
	plain := []distribution{{median: medianSeconds}}
	near(t, "the median", quantile(.5, plain), .060, 1e-9)
	near(t, "p95", quantile(.95, plain), .060*math.Exp(.6*1.6448536269514722), 1e-9)
	near(t, "p99", quantile(.99, plain), .060*math.Exp(.6*2.3263478740408408), 1e-9)
	near(t, "the median of two halves", quantile(.5, []distribution{{median: .060}, {median: .120}}), math.Sqrt(.060*.120), 1e-9)
	slow := distribution{median: medianSeconds, tail: 1}
	near(t, "a slow request's median", quantile(.5, []distribution{slow}), .600, 1e-9)
}

func TestDrawsFollowTheDistribution(t *testing.T) {
	for _, f := range append([]fault{healthy}, faults...) {
		var of []distribution
		var drawn []float64
		for i := range instances {
			d := latencyOf(pair{Fault: f}, "canary", i)
			of = append(of, d)
			random := randomOf(1, f.Name, instanceName("canary", i))
			for range 50_000 {
				drawn = append(drawn, d.draw(random).Seconds())
			}
		}
		slices.Sort(drawn)
		for _, q := range []float64{.5, .95, .99} {
			// The share below the quantile, whose standard error at 200,000 draws is at most .0011.
			below, _ := slices.BinarySearch(drawn, quantile(q, of))
			if share := float64(below) / float64(len(drawn)); math.Abs(share-q) > .005 {
				t.Errorf("%s: %v of the draws are below p%v", f.Name, share, 100*q)
			}
		}
	}
}

func TestTheBaselineIsHealthyWhateverTheFault(t *testing.T) {
	for _, f := range faults {
		for i := range instances {
			if got := latencyOf(pair{Fault: f}, "baseline", i); got != latencyOf(pair{Fault: healthy}, "canary", i) {
				t.Errorf("%s: the baseline's instance %d is %+v", f.Name, i, got)
			}
		}
	}
}

func TestAScheduleIsAPoissonProcessAndTheSameEveryTime(t *testing.T) {
	p := pairsOf(healthy, 1)[0]
	const perSecond, length = 100.0, 1000 * time.Second
	requests := requestsWithin(1, p, "canary", perSecond, 0, length)
	near(t, "the requests of 1,000 s", float64(requests), 100_000, .02)
	if again := requestsWithin(1, p, "canary", perSecond, 0, length); again != requests {
		t.Errorf("%d requests, then %d", requests, again)
	}
	if other := requestsWithin(1, p, "baseline", perSecond, 0, length); other == requests {
		t.Errorf("both arms have %d requests: the same draws?", other)
	}
	halves := requestsWithin(1, p, "canary", perSecond, 0, length/2) + requestsWithin(1, p, "canary", perSecond, length/2, length)
	if halves != requests {
		t.Errorf("the halves have %d requests, the whole %d", halves, requests)
	}
	// The gaps' standard deviation is their mean.
	var gaps, squares, n float64
	last := time.Duration(0)
	for a := range schedule(1, p, "canary", perSecond) {
		if a.At >= length {
			break
		}
		gap := (a.At - last).Seconds()
		last, gaps, squares, n = a.At, gaps+gap, squares+gap*gap, n+1
	}
	mean := gaps / n
	near(t, "the gaps' standard deviation", math.Sqrt(squares/n-mean*mean), mean, .02)
}

// counts are the requests that each of a pair's instances has in both histograms.
func counts(t *testing.T, registry *prometheus.Registry, arm, instance string) (classic, native uint64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			labels := make(map[string]string)
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["arm"] != arm || labels["instance"] != instance {
				continue
			}
			switch family.GetName() {
			case classicName:
				classic += metric.GetHistogram().GetSampleCount()
			case nativeName:
				native += nativeBuckets(metric.GetHistogram())
			}
		}
	}
	return classic, native
}

// nativeBuckets adds up a native histogram's buckets, which are sent as the differences from one to the next.
func nativeBuckets(h *dto.Histogram) uint64 {
	sum, count := h.GetZeroCount(), int64(0)
	for _, delta := range h.GetPositiveDelta() {
		count += delta
		sum += uint64(count)
	}
	return sum
}

func TestEveryRequestSentIsCountedInBothHistograms(t *testing.T) {
	pairs := pairsOf(faults[0], 1)
	service := newServer(7, pairs)
	served := httptest.NewServer(service.handler())
	defer served.Close()
	const perSecond, length = 200.0, 500 * time.Millisecond
	if err := newLoad(served.URL, 7, perSecond).run(t.Context(), pairs, time.Now(), length); err != nil {
		t.Fatal(err)
	}
	for _, arm := range arms {
		sent := make([]uint64, instances)
		for a := range schedule(7, pairs[0], arm, perSecond) {
			if a.At >= length {
				break
			}
			sent[a.Instance]++
		}
		for i := range instances {
			classic, native := counts(t, service.registry, arm, instanceName(arm, i))
			if sent[i] == 0 || classic != sent[i] || native != sent[i] {
				t.Errorf("%s: %d requests were sent, %d and %d counted", instanceName(arm, i), sent[i], classic, native)
			}
		}
	}
}

func TestSeriesAreThereBeforeTheFirstRequest(t *testing.T) {
	families, err := newServer(1, allPairs(faults, 1)).registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if got, want := len(family.GetMetric()), 8*len(arms)*instances; got != want {
			t.Errorf("%s has %d series, not %d", family.GetName(), got, want)
		}
	}
	if len(families) != 2 {
		t.Errorf("%d metrics, not 2", len(families))
	}
}

func TestARequestToNobodyEndsTheLoad(t *testing.T) {
	served := httptest.NewServer(newServer(1, pairsOf(healthy, 1)).handler())
	defer served.Close()
	err := newLoad(served.URL, 1, 1000).run(t.Context(), pairsOf(faults[0], 1), time.Now(), time.Hour)
	if err == nil {
		t.Error("requests to a pair that the server does not know were answered")
	}
}

func TestALoadStopsWhenItIsTold(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newLoad("http://127.0.0.1:1", 1, 1).run(ctx, pairsOf(healthy, 1), time.Now(), time.Hour); err == nil {
		t.Error("a load that was stopped says that it is done")
	}
}

func TestQuantilesOfBuckets(t *testing.T) {
	classic := []bucket{{0, 1, 10}, {1, 2, 80}, {2, math.Inf(1), 10}}
	near(t, "the median", quantileOf(.5, classic, false), 1.5, 1e-12)
	near(t, "a quantile in the last bucket", quantileOf(.95, classic, false), 2, 1e-12)
	near(t, "a native median", quantileOf(.5, []bucket{{1, 4, 3}}, true), 2, 1e-12)
}

func TestRepliesOfBothLayoutsAreRead(t *testing.T) {
	for text, want := range map[string][]bucket{
		`{"data":{"result":[{"metric":{"le":"+Inf"},"values":[[60,"5"],[120,"7"]]},{"metric":{"le":"0.5"},"values":[[60,"4"],[120,"5"]]}]}}`: {
			{0, .5, 9}, {.5, math.Inf(1), 3}},
		`{"data":{"result":[{"metric":{},"histograms":[[60,{"count":"8","sum":"1","buckets":[[0,"0.25","0.5","3"],[0,"0.5","1","5"]]}],` +
			`[120,{"count":"2","sum":"1","buckets":[[0,"0.5","1","2"]]}]]}]}}`: {{.25, .5, 3}, {.5, 1, 7}},
	} {
		var r reply
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		got, err := r.buckets()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has %v, not %v", text, got, want)
		}
	}
}

func TestFaultsAreFoundByName(t *testing.T) {
	if got, err := faultsNamed("tail,x1.5"); err != nil || len(got) != 2 || got[0].tail != .03 || got[1].factor != 1.5 {
		t.Errorf("tail,x1.5 is %+v, %v", got, err)
	}
	for _, wrong := range []string{"", "tail,", "tail,tail", "none"} {
		if got, err := faultsNamed(wrong); err == nil {
			t.Errorf("%q is %+v", wrong, got)
		}
	}
}

// The recordings hold what their README says of them.
func TestTheRecordingsAreWhole(t *testing.T) {
	for folder, replies := range map[string]map[string]int{
		fixture:                        {classicFile: 160, nativeFile: 160, instancesFile: 40},
		filepath.Join(fixture, "busy"): {classicFile: 40, nativeFile: 40},
	} {
		text, err := os.ReadFile(filepath.Join(folder, manifestName))
		if err != nil {
			t.Fatal(err)
		}
		var about manifest
		if err := json.Unmarshal(text, &about); err != nil {
			t.Fatal(err)
		}
		for name, want := range replies {
			lines, err := readRecorded(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			if len(lines) != want {
				t.Errorf("%s in %s has %d replies, not %d", name, folder, len(lines), want)
			}
			for _, line := range lines {
				checkReply(t, line, about)
			}
		}
	}
}

func checkReply(t *testing.T, line recorded, about manifest) {
	t.Helper()
	var r reply
	if err := json.Unmarshal(line.Reply, &r); err != nil {
		t.Fatal(err)
	}
	if r.Status != "success" || r.points() != int(about.Minutes) {
		t.Errorf("%s: %s, %d points", line.Query, r.Status, r.points())
	}
	buckets, err := r.buckets()
	if err != nil {
		t.Fatal(err)
	}
	// `increase` sees three quarters of every minute and extrapolates: within five standard errors of what was sent.
	sent := float64(about.Requests[line.Pair][line.Arm])
	if sent == 0 || math.Abs(total(buckets)-sent) > 5*math.Sqrt(sent) {
		t.Errorf("%s: %v requests counted, %v sent", line.Query, total(buckets), sent)
	}
}
