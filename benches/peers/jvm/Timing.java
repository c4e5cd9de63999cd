import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;
import java.util.TreeMap;
import java.util.function.Consumer;

/** Times a judgement of two arms on the arms that `make bench-peers` has written. */
final class Timing {
  /** Sizes, in points an arm; the smallest first, which warms up best. */
  private static final int[] SIZES = {60, 240, 1440, 10080};

  /** Judgements of the smallest size before anything is measured: the compiler has then done what it does. */
  private static final int WARM_UP = 10_000;

  /** Nanoseconds for each size, first unmeasured and then measured, and the least passes, of which the median counts. */
  private static final long BUDGET = 5_000_000_000L;

  private static final int PASSES = 5;

  private Timing() {}

  /** Reads a file of series, a line each. */
  static List<double[]> arms(Path folder, int n) throws IOException {
    List<double[]> arms = new ArrayList<>();
    for (String line : Files.readAllLines(folder.resolve("arms-" + n + ".csv"))) {
      arms.add(Arrays.stream(line.split(",")).mapToDouble(Double::parseDouble).toArray());
    }
    return arms;
  }

  /** What makes a pair of arms (baseline, canary) into what is judged; that is not timed. */
  interface Preparation<T> {
    T of(double[] baseline, double[] canary);
  }

  /** Seconds a pair by points an arm. */
  static <T> Map<Integer, Double> seconds(Path folder, Preparation<T> prepare, Consumer<T> judge) throws IOException {
    Map<Integer, Double> figures = new TreeMap<>();
    for (int n : SIZES) {
      List<double[]> arms = arms(folder, n);
      List<T> pairs = new ArrayList<>();
      for (int i = 0; i + 1 < arms.size(); i += 2) {
        pairs.add(prepare.of(arms.get(i), arms.get(i + 1)));
      }
      if (n == SIZES[0]) {
        for (int i = 0; i < WARM_UP; i++) {
          judge.accept(pairs.get(i % pairs.size()));
        }
      }
      long begun = System.nanoTime();
      int warm = 0;
      while (System.nanoTime() - begun < BUDGET) {
        judge.accept(pairs.get(warm++ % pairs.size()));
      }
      // So many pairs a pass that the passes fit into the time; at least one.
      int count = Math.max(1, Math.min(pairs.size(), warm / PASSES));
      List<Double> means = new ArrayList<>();
      begun = System.nanoTime();
      while (means.size() < PASSES || System.nanoTime() - begun < BUDGET) {
        long start = System.nanoTime();
        for (int i = 0; i < count; i++) {
          judge.accept(pairs.get(i));
        }
        means.add((System.nanoTime() - start) / 1e9 / count);
      }
      Collections.sort(means);
      figures.put(n, means.get(means.size() / 2));
    }
    return figures;
  }

  /** Writes the figures of one implementation. */
  static void write(Path file, String name, Map<Integer, Double> figures) throws IOException {
    StringJoiner rows = new StringJoiner(",\n");
    figures.forEach((n, seconds) -> rows.add("    \"" + n + "\": " + seconds));
    Files.writeString(file, "{\n  \"" + name + "\": {\n" + rows + "\n  }\n}\n");
  }
}
