import com.netflix.kayenta.canary.CanaryClassifierConfig;
import com.netflix.kayenta.canary.CanaryClassifierThresholdsConfig;
import com.netflix.kayenta.canary.CanaryConfig;
import com.netflix.kayenta.canary.CanaryMetricConfig;
import com.netflix.kayenta.canary.results.CanaryJudgeResult;
import com.netflix.kayenta.judge.NetflixACAJudge;
import com.netflix.kayenta.metrics.MetricSetPair;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Kayenta's own judge, on a canary of one metric. */
final class Kayenta {
  private Kayenta() {}

  /** Nobody may find out that the results are not used. */
  static volatile Object last;

  public static void main(String[] arguments) throws Exception {
    Path folder = Path.of(arguments[0]);
    NetflixACAJudge judge = new NetflixACAJudge();
    CanaryMetricConfig metric =
        CanaryMetricConfig.builder()
            .name("latency")
            .group("all")
            .analysisConfiguration("canary", Map.of("direction", "increase"))
            .build();
    CanaryConfig config =
        CanaryConfig.builder()
            .name("bench")
            .metric(metric)
            .classifier(CanaryClassifierConfig.builder().groupWeight("all", 100.0).build())
            .build();
    CanaryClassifierThresholdsConfig thresholds = CanaryClassifierThresholdsConfig.builder().pass(95.0).marginal(75.0).build();
    var figures =
        Timing.<List<MetricSetPair>>seconds(
            folder,
            (baseline, canary) ->
                List.of(
                    MetricSetPair.builder()
                        .name("latency")
                        .id("latency")
                        .value("control", boxed(baseline))
                        .value("experiment", boxed(canary))
                        .build()),
            pairs -> last = judge.judge(config, thresholds, pairs));
    // It answers so for a metric that it could not judge, and sooner.
    String answer = ((CanaryJudgeResult) last).getResults().get(0).getClassification();
    if (!List.of("Pass", "High", "Low").contains(answer)) {
      throw new IllegalStateException("Kayenta's judge answered " + answer);
    }
    Timing.write(folder.resolve("kayenta.json"), "Kayenta's own NetflixACAJudge-v1.0, JVM", figures);
  }

  private static List<Double> boxed(double[] values) {
    return Arrays.stream(values).boxed().collect(Collectors.toList());
  }
}
