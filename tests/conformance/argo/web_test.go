// Argo's `web` provider against Haldane's own API, by the template that is recommended for it.

package argo_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/argoproj/argo-rollouts/metricproviders/webmetric"
	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/sirupsen/logrus"
)

// unreachable is the account whose store does not answer.
const unreachable = "unreachable"

// measureWeb runs the metric of the template once, with the provider made as Argo's provider factory makes it.
func measureWeb(t *testing.T, args map[string]string) v1alpha1.Measurement {
	t.Helper()
	metric := metricOf(t, "../../../deploy/argo/haldane.yaml", args)
	client, err := webmetric.NewWebMetricHttpClient(metric)
	if err != nil {
		t.Fatal(err)
	}
	parser, err := webmetric.NewWebMetricJsonParser(metric)
	if err != nil {
		t.Fatal(err)
	}
	provider := webmetric.NewWebMetricProvider(*logrus.NewEntry(logrus.StandardLogger()), client, parser)
	return provider.Run(&v1alpha1.AnalysisRun{}, metric)
}

func TestWebProviderReachesEveryPhaseForTheRightReason(t *testing.T) {
	server := haldane(t, "configs/native", map[string]string{"main": prometheus, unreachable: "http://" + freeAddress()})
	for _, c := range []struct {
		name  string
		args  map[string]string
		phase v1alpha1.AnalysisPhase
		// status of Haldane's reply; verdict and reason that it gave, or the kind of problem; what Argo says and shows.
		status          int
		verdict, reason string
		message, action string
	}{
		{"a healthy canary", map[string]string{"canary": "checkout-canary"}, v1alpha1.AnalysisPhaseSuccessful, 200, "pass", "", "", "promote"},
		{"a broken canary", map[string]string{"canary": "broken-canary"}, v1alpha1.AnalysisPhaseFailed, 200, "fail", "regressed", "", "rollback"},
		// Less than the five minutes that a pass takes, however the window falls on the minutes.
		{"a healthy canary, four minutes after its start", map[string]string{"canary": "checkout-canary", "duration": "4m"},
			v1alpha1.AnalysisPhaseInconclusive, 200, "marginal", "short_observation", "", "hold"},
		// Two points at most, and the statistics begin with three.
		{"a canary with too few points to tell", map[string]string{"canary": "broken-canary", "duration": "2m"},
			v1alpha1.AnalysisPhaseInconclusive, 200, "marginal", "insufficient_evidence", "", "hold"},
		{"a name that no query may be made of unescaped", map[string]string{"baseline": odd, "canary": odd + "-canary"},
			v1alpha1.AnalysisPhaseSuccessful, 200, "pass", "", "", "promote"},
		{"a config that does not exist", map[string]string{"canary": "checkout-canary", "config": "natife"},
			v1alpha1.AnalysisPhaseError, 422, "", "urn:haldane:problem:unknown-config", "received non 2xx response code: 422", ""},
		{"a metric store that does not answer", map[string]string{"canary": "checkout-canary", "source": unreachable},
			v1alpha1.AnalysisPhaseError, 502, "", "urn:haldane:problem:source-unreachable", "received non 2xx response code: 502", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire := record(t, server.url)
			args := map[string]string{"address": wire.url, "config": "native", "source": "main", "baseline": "checkout"}
			for name, value := range c.args {
				args[name] = value
			}
			measurement := measureWeb(t, args)
			t.Logf("%s %s %s", measurement.Phase, measurement.Value, measurement.Message)
			sent := wire.last(t)
			said := sent.object(t)
			if measurement.Phase != c.phase {
				t.Errorf("%s (%s), not %s; Haldane said %v", measurement.Phase, measurement.Message, c.phase, said)
			}
			if sent.status != c.status {
				t.Errorf("answered with %d, not %d: %v", sent.status, c.status, said)
			}
			if measurement.Message != c.message {
				t.Errorf("Argo says `%s`, not `%s`", measurement.Message, c.message)
			}
			if c.status != http.StatusOK {
				if said["type"] != c.reason {
					t.Errorf("the problem is %v, not %s", said["type"], c.reason)
				}
				if measurement.Value != "" {
					t.Errorf("a value without a verdict: %s", measurement.Value)
				}
				return
			}
			if said["verdict"] != c.verdict {
				t.Errorf("the verdict is %v, not %s", said["verdict"], c.verdict)
			}
			reasons, _ := said["reasons"].([]any)
			found := c.reason == "" && len(reasons) == 0
			for _, reason := range reasons {
				found = found || at(reason, "reason") == c.reason
			}
			if !found {
				t.Errorf("the reasons are %v, not `%s`", reasons, c.reason)
			}
			// What a person sees in Argo: the action, and a sentence that says why.
			var shown map[string]any
			if err := json.Unmarshal([]byte(measurement.Value), &shown); err != nil {
				t.Fatalf("the value is no object: %v: %s", err, measurement.Value)
			}
			if sentence, _ := shown["sentence"].(string); shown["action"] != c.action || strings.TrimSpace(sentence) == "" {
				t.Errorf("Argo shows %s", measurement.Value)
			}
		})
	}
}
