// Analysis templates, read and filled in as Argo's controller does it.

package argo_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	templateutil "github.com/argoproj/argo-rollouts/utils/template"
	"sigs.k8s.io/yaml"
)

// metricOf is the one metric of the template in a file, with its arguments filled in. A field that Argo does not know is an error.
func metricOf(t *testing.T, file string, args map[string]string) v1alpha1.Metric {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var template v1alpha1.AnalysisTemplate
	if err := yaml.UnmarshalStrict(text, &template); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(template.Spec.Metrics) != 1 {
		t.Fatalf("%s: one metric expected, not %d", file, len(template.Spec.Metrics))
	}
	declared := template.Spec.Args
	known := map[string]bool{}
	for i := range declared {
		known[declared[i].Name] = true
		if value, given := args[declared[i].Name]; given {
			declared[i].Value = &value
		}
	}
	for name := range args {
		if !known[name] {
			t.Fatalf("%s: there is no argument `%s`", file, name)
		}
	}
	// As `ResolveMetricArgs` of Argo's controller, whose package would bring in all of Kubernetes.
	open, err := json.Marshal(template.Spec.Metrics[0])
	if err != nil {
		t.Fatal(err)
	}
	closed, err := templateutil.ResolveQuotedArgs(string(open), declared)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var metric v1alpha1.Metric
	if err := json.Unmarshal([]byte(closed), &metric); err != nil {
		t.Fatal(err)
	}
	return metric
}
