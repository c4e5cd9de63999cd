import java.nio.file.Path;
import org.apache.commons.math3.stat.inference.MannWhitneyUTest;

/**
 * Apache Commons Math's Mann-Whitney test: a p-value without a correction for ties. It is no part of Kayenta, which has a test of its own;
 * it is here as what a program on the JVM would use.
 */
final class CommonsMath {
  private CommonsMath() {}

  /** Nobody may find out that the results are not used. */
  static volatile double last;

  public static void main(String[] arguments) throws Exception {
    Path folder = Path.of(arguments[0]);
    MannWhitneyUTest test = new MannWhitneyUTest();
    var figures =
        Timing.<double[][]>seconds(
            folder,
            (baseline, canary) -> new double[][] {canary, baseline},
            pair -> last = test.mannWhitneyUTest(pair[0], pair[1]));
    Timing.write(folder.resolve("commons_math.json"), "Commons Math 3.6.1 MannWhitneyUTest, JVM (p-value)", figures);
  }
}
