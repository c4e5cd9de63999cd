// Argo's `kayenta` provider against Haldane's Kayenta API, through Run and Resume, on bytes recorded between them.

package argo_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/argoproj/argo-rollouts/metricproviders/kayenta"
	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/sirupsen/logrus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// goldenID is the `id` of the config `golden`; the others have none and go by their names.
	goldenID = "5d1d2c60-7c1a-4a06-b0a8-4f0e2a1d9b11"

	successful   = v1alpha1.AnalysisPhaseSuccessful
	inconclusive = v1alpha1.AnalysisPhaseInconclusive
	failed       = v1alpha1.AnalysisPhaseFailed
	errored      = v1alpha1.AnalysisPhaseError
)

// kayentaRun is one measurement by Argo's provider, with what went over the wire.
type kayentaRun struct {
	t        *testing.T
	provider *kayenta.Provider
	metric   v1alpha1.Metric
	analysis *v1alpha1.AnalysisRun
	wire     *wire
}

// kayentaMetric is the metric of the template: `golden` on checkout and a canary, pass 95, marginal 75, unless change says otherwise.
func kayentaMetric(t *testing.T, address, canary string, change func(*v1alpha1.Metric, *v1alpha1.KayentaMetric)) v1alpha1.Metric {
	t.Helper()
	metric := metricOf(t, "../../../deploy/argo/kayenta.yaml", map[string]string{
		"address": address, "application": "checkout", "config": "golden", "baseline": "checkout", "canary": canary,
	})
	if change != nil {
		change(&metric, metric.Provider.Kayenta)
	}
	return metric
}

func prepare(t *testing.T, haldane, canary string, change func(*v1alpha1.Metric, *v1alpha1.KayentaMetric)) *kayentaRun {
	t.Helper()
	wire := record(t, haldane)
	// Made as Argo's provider factory makes it. The run began three hours ago.
	provider := kayenta.NewKayentaProvider(*logrus.NewEntry(logrus.StandardLogger()), kayenta.NewHttpClient())
	started := metav1.NewTime(time.Now().Add(-3 * time.Hour))
	analysis := &v1alpha1.AnalysisRun{Status: v1alpha1.AnalysisRunStatus{StartedAt: &started}}
	return &kayentaRun{t, provider, kayentaMetric(t, wire.url, canary, change), analysis, wire}
}

// begin runs the measurement, which must have started an execution.
func (r *kayentaRun) begin() v1alpha1.Measurement {
	r.t.Helper()
	measurement := r.provider.Run(r.analysis, r.metric)
	if measurement.Phase != v1alpha1.AnalysisPhaseRunning {
		r.t.Fatalf("%s (%s), not Running; exchanged %+v", measurement.Phase, measurement.Message, r.wire.exchanges(r.t))
	}
	id := measurement.Metadata["canaryExecutionId"]
	if id == "" || id == "<nil>" || id != r.wire.last(r.t).object(r.t)["canaryExecutionId"] {
		r.t.Fatalf("the execution id is `%s`, of %s", id, r.wire.last(r.t).reply)
	}
	if measurement.ResumeAt == nil {
		r.t.Fatal("it is never to be resumed")
	}
	return measurement
}

// finish resumes the measurement until it is over, sooner than Argo's fifteen seconds.
func (r *kayentaRun) finish(measurement v1alpha1.Measurement) v1alpha1.Measurement {
	r.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		measurement = r.provider.Resume(r.analysis, r.metric, measurement)
		if measurement.Phase != v1alpha1.AnalysisPhaseRunning {
			r.t.Logf("%s %s %s", measurement.Phase, measurement.Value, measurement.Message)
			return measurement
		}
	}
	r.t.Fatalf("still running after %s", patience)
	return measurement
}

// finishes asserts how the measurement ends: its phase and value, with Haldane's own classification and reason.
func (r *kayentaRun) finishes(phase v1alpha1.AnalysisPhase, value, classification, reason string) {
	r.t.Helper()
	measurement := r.finish(r.begin())
	r.ended(measurement, phase, value, classification, reason)
}

func (r *kayentaRun) ended(measurement v1alpha1.Measurement, phase v1alpha1.AnalysisPhase, value, classification, reason string) {
	r.t.Helper()
	last := r.wire.last(r.t)
	if measurement.Phase != phase || measurement.Value != value || measurement.Message != "" {
		r.t.Errorf("%s `%s` (%s), not %s `%s`; Haldane said %s",
			measurement.Phase, measurement.Value, measurement.Message, phase, value, last.reply)
	}
	said := last.object(r.t)
	if at(said, "status") != "succeeded" {
		r.t.Errorf("a score of an execution that is %v", at(said, "status"))
	}
	score := at(said, "result", "judgeResult", "score")
	if at(score, "classification") != classification {
		r.t.Errorf("classified as %v, not %s", at(score, "classification"), classification)
	}
	if given, _ := at(score, "classificationReason").(string); !strings.Contains(given, reason) || reason == "" && given != "" {
		r.t.Errorf("the reason is `%s`, not `%s`", given, reason)
	}
}

// errs asserts that no score is to be had and what Argo makes of that, and returns Haldane's last reply.
func (r *kayentaRun) errs(measurement v1alpha1.Measurement, message string) exchange {
	r.t.Helper()
	r.t.Logf("%s %s %s", measurement.Phase, measurement.Value, measurement.Message)
	if measurement.Phase != errored || measurement.Message != message || measurement.Value != "" {
		r.t.Errorf("%s `%s` (%s), not an error `%s`", measurement.Phase, measurement.Value, measurement.Message, message)
	}
	return r.wire.last(r.t)
}

// refused asserts a reply with a status and a message that names what is wrong.
func refused(t *testing.T, e exchange, method string, status int, naming string) {
	t.Helper()
	if e.method != method || e.status != status {
		t.Fatalf("%s %s was answered with %d, not %s with %d: %s", e.method, e.target, e.status, method, status, e.reply)
	}
	if message, _ := e.object(t)["message"].(string); !strings.Contains(message, naming) {
		t.Errorf("the message does not name `%s`: %s", naming, e.reply)
	}
}

// stores are the metric accounts of most tests: one that answers, and one that does not.
func stores() map[string]string {
	return map[string]string{"main": prometheus, unreachable: "http://" + freeAddress()}
}

func TestKayentaProviderReachesEveryVerdictOfTheNetflixJudge(t *testing.T) {
	server := haldane(t, "configs/kayenta", stores())
	thresholds := func(pass, marginal int64) func(*v1alpha1.Metric, *v1alpha1.KayentaMetric) {
		return func(_ *v1alpha1.Metric, k *v1alpha1.KayentaMetric) {
			k.Threshold = v1alpha1.KayentaThreshold{Pass: pass, Marginal: marginal}
		}
	}
	for _, c := range []struct {
		name, canary           string
		change                 func(*v1alpha1.Metric, *v1alpha1.KayentaMetric)
		phase                  v1alpha1.AnalysisPhase
		value                  string
		classification, reason string
	}{
		{"a healthy canary passes", "checkout-canary", nil, successful, "100", "Pass", ""},
		{"a critical metric that is high fails", "broken-canary", nil, failed, "0", "Fail",
			"Canary Failed: The metric errors was classified as High (Critical)"},
		{"a metric of weight 40 that is high leaves 60: marginal", "slow-canary", thresholds(95, 50), inconclusive, "60", "Marginal", ""},
		{"60 is below a marginal threshold of 75", "slow-canary", thresholds(95, 75), failed, "60", "Fail", ""},
		{"a score equal to the pass threshold passes", "slow-canary", thresholds(60, 50), successful, "60", "Pass", ""},
		{"a score equal to the marginal threshold is marginal", "slow-canary", thresholds(61, 60), inconclusive, "60", "Marginal", ""},
		{"Argo cuts 66.67 to 66, which changes no verdict", "slow-canary", func(m *v1alpha1.Metric, k *v1alpha1.KayentaMetric) {
			k.CanaryConfigName = "thirds"
			thresholds(67, 66)(m, k)
		}, inconclusive, "66", "Marginal", ""},
		{"a canary without data fails where a critical metric misses it", "no-such-canary", nil, failed, "0", "Fail",
			"Canary Failed: Missing data for errors"},
	} {
		t.Run(c.name, func(t *testing.T) {
			prepare(t, server.url, c.canary, c.change).finishes(c.phase, c.value, c.classification, c.reason)
		})
	}
}

func TestKayentaProviderFollowsTheVerdictOfHaldanesJudgeAtEveryThreshold(t *testing.T) {
	server := haldane(t, "configs/kayenta", stores())
	for _, threshold := range []v1alpha1.KayentaThreshold{{Pass: 75, Marginal: 50}, {Pass: 95, Marginal: 94}, {Pass: 100, Marginal: 99}} {
		for _, c := range []struct {
			name, canary string
			interval     v1alpha1.DurationString
			phase        v1alpha1.AnalysisPhase
		}{
			{"healthy", "checkout-canary", "30m", successful},
			{"broken", "broken-canary", "30m", failed},
			{"healthy, but too few points to tell", "checkout-canary", "2m", inconclusive},
		} {
			t.Run(fmt.Sprintf("%s at %d and %d", c.name, threshold.Pass, threshold.Marginal), func(t *testing.T) {
				r := prepare(t, server.url, c.canary, func(m *v1alpha1.Metric, k *v1alpha1.KayentaMetric) {
					k.CanaryConfigName, k.Threshold, m.Interval = "golden-haldane", threshold, c.interval
				})
				measurement := r.finish(r.begin())
				said := r.wire.last(t).object(t)
				if measurement.Phase != c.phase {
					t.Errorf("%s `%s` (%s), not %s; Haldane said %s",
						measurement.Phase, measurement.Value, measurement.Message, c.phase, r.wire.last(t).reply)
				}
				if judge := at(said, "result", "judgeResult", "judgeName"); judge != "haldane-v1" {
					t.Errorf("judged by %v", judge)
				}
				score := at(said, "result", "judgeResult", "score")
				number, _ := at(score, "score").(float64)
				if number != float64(int(number)) || fmt.Sprint(int(number)) != measurement.Value {
					t.Errorf("Argo makes `%s` of the score %v, which should be a whole number", measurement.Value, at(score, "score"))
				}
				// Argo shows no reason; whoever looks the execution up is told.
				if reason, _ := at(score, "classificationReason").(string); c.phase != successful && strings.TrimSpace(reason) == "" {
					t.Error("no reason is given")
				}
			})
		}
	}
}

// At 0 and 0 every score passes for Argo, also the 0 of a failure. Nothing that Haldane could send would change that.
func TestKayentaProviderPassesEverythingAtThresholdsOfZero(t *testing.T) {
	server := haldane(t, "configs/kayenta", stores())
	r := prepare(t, server.url, "broken-canary", func(_ *v1alpha1.Metric, k *v1alpha1.KayentaMetric) {
		k.CanaryConfigName, k.Threshold = "golden-haldane", v1alpha1.KayentaThreshold{}
	})
	if measurement := r.finish(r.begin()); measurement.Phase != successful {
		t.Errorf("%s `%s` (%s)", measurement.Phase, measurement.Value, measurement.Message)
	}
}

func TestKayentaProviderSendsWhatHaldaneMustTakeAsItIs(t *testing.T) {
	// Times are those of the controller's zone. One without daylight saving, so that the offset is the same all year.
	zone := time.Local
	time.Local = time.FixedZone("", 2*60*60)
	t.Cleanup(func() { time.Local = zone })
	server := haldane(t, "configs/kayenta", stores())

	r := prepare(t, server.url, "checkout-canary", func(_ *v1alpha1.Metric, k *v1alpha1.KayentaMetric) {
		k.MetricsAccountName, k.StorageAccountName = "main", "main"
		k.Scopes[0].ControlScope.Step, k.Scopes[0].ExperimentScope.Step = 0, 0
	})
	before := time.Now()
	measurement := r.begin()
	id := measurement.Metadata["canaryExecutionId"]
	r.ended(r.finish(measurement), successful, "100", "Pass", "")

	all := r.wire.exchanges(t)
	if len(all) < 3 {
		t.Fatalf("three requests expected, not %+v", all)
	}
	// The account quirk: the config is asked for by the name of the storage account, here one that holds metrics only.
	lookup, post, get := all[0], all[1], all[2]
	if lookup.method != "GET" || lookup.target != "/canaryConfig?application=checkout&configurationAccountName=main" || lookup.status != 200 {
		t.Errorf("looked up by %s %s: %d", lookup.method, lookup.target, lookup.status)
	}
	if want := "/canary/" + goldenID + "?application=checkout&metricsAccountName=main&configurationAccountName=&storageAccountName=main"; post.method != "POST" ||
		post.target != want || post.status != 200 {
		t.Errorf("started by %s %s: %d", post.method, post.target, post.status)
	}
	if get.method != "GET" || get.target != "/canary/"+id || get.status != 200 {
		t.Errorf("asked for by %s %s: %d", get.method, get.target, get.status)
	}

	var body map[string]any
	if err := json.Unmarshal([]byte(post.body), &body); err != nil {
		t.Fatal(err)
	}
	for _, side := range []string{"controlScope", "experimentScope"} {
		scope, _ := at(body, "scopes", "default", side).(map[string]any)
		if step, sent := scope["step"]; !sent || step != 0.0 {
			t.Errorf("%s: the step sent is %v, not 0", side, step)
		}
		if location, sent := scope["location"]; !sent || location != "" {
			t.Errorf("%s: the location sent is %v, not empty", side, location)
		}
		for name, ago := range map[string]time.Duration{"start": 30 * time.Minute, "end": 0} {
			text, _ := scope[name].(string)
			if !strings.HasSuffix(text, "+02:00") {
				t.Errorf("%s: the %s sent is `%s`, without the controller's offset", side, name, text)
			}
			sent, err := time.Parse(time.RFC3339, text)
			if err != nil {
				t.Fatal(err)
			}
			if off := before.Add(-ago).Sub(sent); off.Abs() > patience {
				t.Errorf("%s: the %s sent is %s off", side, name, off)
			}
		}
	}

	// The result answers for that time, in UTC, and for a step that is one.
	scope := at(get.object(t), "canaryExecutionRequest", "scopes", "default", "experimentScope")
	start, _ := at(scope, "start").(string)
	sent, _ := at(body, "scopes", "default", "experimentScope", "start").(string)
	if a, err := time.Parse(time.RFC3339, start); err != nil || !strings.HasSuffix(start, "Z") {
		t.Errorf("the start is answered as `%s`", start)
	} else if b, err := time.Parse(time.RFC3339, sent); err != nil || !a.Equal(b) {
		t.Errorf("the start `%s` is answered as `%s`", sent, start)
	}
}

func TestKayentaProviderSendsItsQueriesUnescaped(t *testing.T) {
	server := haldane(t, "configs/kayenta", stores())
	application := func(name, config string) func(*v1alpha1.Metric, *v1alpha1.KayentaMetric) {
		return func(_ *v1alpha1.Metric, k *v1alpha1.KayentaMetric) { k.Application, k.CanaryConfigName = name, config }
	}
	// The config `spaced` belongs to the application `check out` alone.
	for _, name := range []string{"check+out", "check%20out"} {
		t.Run(name, func(t *testing.T) {
			r := prepare(t, server.url, "checkout-canary", application(name, "spaced"))
			r.finishes(successful, "100", "Pass", "")
			if !strings.Contains(r.wire.sent(), "GET /canaryConfig?application="+name+"&") {
				t.Errorf("sent %q", r.wire.sent())
			}
		})
	}
	// `every` belongs to applications whose names no URL may hold unescaped, but which are sent so.
	for _, name := range []string{"köln", "it's", "a|b", "{shop}", "shop/eu:1", "shop[0]"} {
		t.Run(name, func(t *testing.T) {
			r := prepare(t, server.url, "checkout-canary", application(name, "every"))
			r.finishes(successful, "100", "Pass", "")
			if !strings.Contains(r.wire.sent(), "GET /canaryConfig?application="+name+"&") {
				t.Errorf("sent %q", r.wire.sent())
			}
			if answered := r.wire.last(t).object(t)["application"]; answered != name {
				t.Errorf("the application is answered as `%v`", answered)
			}
		})
	}
	// A space ends the target of a request, so this is no HTTP.
	t.Run("a space is refused", func(t *testing.T) {
		r := prepare(t, server.url, "checkout-canary", application("check out", "spaced"))
		measurement := r.provider.Run(r.analysis, r.metric)
		if measurement.Phase != errored || measurement.Message != "Invalid Response: HTTP 400" {
			t.Errorf("%s (%s)", measurement.Phase, measurement.Message)
		}
		if !strings.Contains(r.wire.sent(), "GET /canaryConfig?application=check out&") {
			t.Errorf("sent %q", r.wire.sent())
		}
	})
}

func TestKayentaProviderIsErrorWhereThereIsNoScore(t *testing.T) {
	server := haldane(t, "configs/kayenta", stores())
	change := func(set func(*v1alpha1.KayentaMetric)) func(*v1alpha1.Metric, *v1alpha1.KayentaMetric) {
		return func(_ *v1alpha1.Metric, k *v1alpha1.KayentaMetric) { set(k) }
	}
	for name, set := range map[string]func(*v1alpha1.KayentaMetric){
		"a config that does not exist":        func(k *v1alpha1.KayentaMetric) { k.CanaryConfigName = "olden" },
		"a config of another application":     func(k *v1alpha1.KayentaMetric) { k.CanaryConfigName = "spaced" },
		"an application that has no config":   func(k *v1alpha1.KayentaMetric) { k.Application = "no-such-application" },
		"a config by its id, not by its name": func(k *v1alpha1.KayentaMetric) { k.CanaryConfigName = goldenID },
	} {
		t.Run(name, func(t *testing.T) {
			r := prepare(t, server.url, "checkout-canary", change(set))
			last := r.errs(r.provider.Run(r.analysis, r.metric), "Canary config not found")
			if last.method != "GET" || last.status != 200 || !strings.HasPrefix(strings.TrimSpace(last.reply), "[") {
				t.Errorf("%s answered %d: %s", last.target, last.status, last.reply)
			}
		})
	}
	t.Run("an unknown storage account, by which the config is looked up", func(t *testing.T) {
		r := prepare(t, server.url, "checkout-canary", change(func(k *v1alpha1.KayentaMetric) { k.StorageAccountName = "no-such-account" }))
		last := r.errs(r.provider.Run(r.analysis, r.metric), "Invalid Response: HTTP 400")
		refused(t, last, "GET", http.StatusBadRequest, "no-such-account")
	})
	for name, set := range map[string]func(*v1alpha1.KayentaMetric){
		"an unknown metrics account": func(k *v1alpha1.KayentaMetric) { k.MetricsAccountName = "no-such-account" },
		// It is not what the config was looked up by, so only the start can refuse it.
		"an unknown configuration account": func(k *v1alpha1.KayentaMetric) { k.ConfigurationAccountName = "no-such-account" },
	} {
		t.Run(name, func(t *testing.T) {
			r := prepare(t, server.url, "checkout-canary", change(set))
			refused(t, r.errs(r.provider.Run(r.analysis, r.metric), "Invalid Response"), "POST", http.StatusBadRequest, "no-such-account")
		})
	}
	t.Run("a scope that the config does not use", func(t *testing.T) {
		r := prepare(t, server.url, "checkout-canary", change(func(k *v1alpha1.KayentaMetric) { k.Scopes[0].Name = "other" }))
		refused(t, r.errs(r.provider.Run(r.analysis, r.metric), "Invalid Response"), "POST", http.StatusBadRequest, "default")
	})
	for name, set := range map[string]func(*v1alpha1.KayentaMetric){
		"a metric store that does not answer": func(k *v1alpha1.KayentaMetric) { k.MetricsAccountName = unreachable },
		"a judge that does not exist":         func(k *v1alpha1.KayentaMetric) { k.CanaryConfigName = "unknown-judge" },
	} {
		t.Run(name, func(t *testing.T) {
			r := prepare(t, server.url, "checkout-canary", change(set))
			last := r.errs(r.finish(r.begin()), "Missing Score")
			said := last.object(t)
			if said["complete"] != true || said["status"] != "terminal" || said["result"] != nil {
				t.Errorf("not a terminal execution without a result: %s", last.reply)
			}
			if text, _ := at(said, "exception", "details", "error").(string); text == "" {
				t.Errorf("no exception says why: %s", last.reply)
			}
		})
	}
	t.Run("an id that was changed on its way", func(t *testing.T) {
		r := prepare(t, server.url, "checkout-canary", nil)
		measurement := r.begin()
		id := []byte(measurement.Metadata["canaryExecutionId"])
		middle := len(id) / 2
		if id[middle]++; id[middle] > 'y' || id[middle] == ':' || id[middle] == '[' || id[middle] == '`' || id[middle] == '.' {
			id[middle] = 'a'
		}
		measurement.Metadata["canaryExecutionId"] = string(id)
		refused(t, r.errs(r.provider.Resume(r.analysis, r.metric, measurement), "Invalid Response"), "GET", http.StatusNotFound, "")
	})
}

func TestKayentaProviderJudgesTheWindowAndPlaceItAskedFor(t *testing.T) {
	server := haldane(t, "configs/kayenta", stores())
	lookback := func(_ *v1alpha1.Metric, k *v1alpha1.KayentaMetric) { k.Lookback = true }
	// The canary recovered forty minutes ago; the analysis run began three hours ago, so that most of it was bad; its interval is thirty minutes.
	t.Run("the last interval is healthy", func(t *testing.T) {
		prepare(t, server.url, "recovered-canary", nil).finishes(successful, "100", "Pass", "")
	})
	t.Run("looking back to the start of the run finds what was bad", func(t *testing.T) {
		prepare(t, server.url, "recovered-canary", lookback).finishes(failed, "0", "Fail", "errors")
	})
	t.Run("a run that is healthy all the way back", func(t *testing.T) {
		prepare(t, server.url, "checkout-canary", lookback).finishes(successful, "100", "Pass", "")
	})
	// The bad hour and the good half hour, in times of other zones and with fractions of a second. Misread by their offsets,
	// each would be another time.
	for zone, offset := range map[string]int{"+02:00": 2 * 60, "-03:30": -(3*60 + 30), "Z": 0} {
		window := func(from, to time.Duration, layout string) func(*v1alpha1.Metric, *v1alpha1.KayentaMetric) {
			place := time.FixedZone("", offset*60)
			start, end := began.Add(-from).In(place).Format(layout), began.Add(-to).In(place).Format(layout)
			return func(_ *v1alpha1.Metric, k *v1alpha1.KayentaMetric) {
				for _, scope := range []*v1alpha1.ScopeDetail{&k.Scopes[0].ControlScope, &k.Scopes[0].ExperimentScope} {
					scope.Start, scope.End = start, end
				}
			}
		}
		t.Run("the bad hour at "+zone, func(t *testing.T) {
			r := prepare(t, server.url, "recovered-canary", window(100*time.Minute, 45*time.Minute, time.RFC3339))
			r.finishes(failed, "0", "Fail", "errors")
		})
		t.Run("the good half hour at "+zone, func(t *testing.T) {
			r := prepare(t, server.url, "recovered-canary", window(32*time.Minute, 2*time.Minute, "2006-01-02T15:04:05.000Z07:00"))
			r.finishes(successful, "100", "Pass", "")
		})
	}
	for region, want := range map[string]v1alpha1.AnalysisPhase{"eu": successful, "us": failed} {
		t.Run("the region "+region, func(t *testing.T) {
			r := prepare(t, server.url, "travelling-canary", func(_ *v1alpha1.Metric, k *v1alpha1.KayentaMetric) {
				k.CanaryConfigName = "regional"
				k.Scopes[0].ControlScope.Region, k.Scopes[0].ExperimentScope.Region = region, region
			})
			if want == successful {
				r.finishes(successful, "100", "Pass", "")
			} else {
				r.finishes(failed, "0", "Fail", "errors")
			}
		})
	}
	t.Run("a name that no query may be made of unescaped", func(t *testing.T) {
		r := prepare(t, server.url, odd+"-canary", func(_ *v1alpha1.Metric, k *v1alpha1.KayentaMetric) { k.Scopes[0].ControlScope.Scope = odd })
		r.finishes(successful, "100", "Pass", "")
	})
}

func TestKayentaProviderWaitsForAnExecutionThatRuns(t *testing.T) {
	store, err := url.Parse(prometheus)
	if err != nil {
		t.Fatal(err)
	}
	// Queries wait until the store is opened.
	opened := make(chan struct{})
	proxy := httputil.NewSingleHostReverseProxy(store)
	gate := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-opened:
			proxy.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})}
	listener := listen(t)
	go gate.Serve(listener)
	t.Cleanup(func() { gate.Close() })

	server := haldane(t, "configs/kayenta", map[string]string{"main": "http://" + listener.Addr().String()})
	r := prepare(t, server.url, "checkout-canary", nil)
	measurement := r.begin()
	for range 3 {
		measurement = r.provider.Resume(r.analysis, r.metric, measurement)
		last := r.wire.last(t)
		if measurement.Phase != v1alpha1.AnalysisPhaseRunning || measurement.ResumeAt == nil || last.object(t)["complete"] != false {
			t.Fatalf("%s (%s) while the store is closed; Haldane said %s", measurement.Phase, measurement.Message, last.reply)
		}
		if _, there := last.object(t)["result"]; there {
			t.Errorf("a result of a running execution: %s", last.reply)
		}
	}
	close(opened)
	r.ended(r.finish(measurement), successful, "100", "Pass", "")
}

// The id is the request: whoever holds the key can answer for it.
func TestKayentaProviderOutlivesTheProcessThatItStartedOn(t *testing.T) {
	// One account: with the accounts' names left out, all four parameters are sent empty.
	one := map[string]string{"main": prometheus}
	first := haldane(t, "configs/kayenta", one)
	r := prepare(t, first.url, "broken-canary", func(_ *v1alpha1.Metric, k *v1alpha1.KayentaMetric) { k.MetricsAccountName = "" })
	measurement := r.begin()
	if want := "?application=checkout&metricsAccountName=&configurationAccountName=&storageAccountName="; !strings.HasSuffix(r.wire.last(t).target, want) {
		t.Errorf("started by %s", r.wire.last(t).target)
	}
	first.end()

	second := haldane(t, "configs/kayenta", one)
	r.wire = record(t, second.url)
	r.metric.Provider.Kayenta.Address = r.wire.url
	r.ended(r.finish(measurement), failed, "0", "Fail", "Canary Failed: The metric errors was classified as High (Critical)")
}
