//! A series drawn in one line of text.

/// The heights, lowest first.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Points that one column stands for, so that `points` of them take at most `width` columns.
pub(crate) fn points_per_column(points: usize, width: usize) -> usize {
    points.div_ceil(width.max(1)).max(1)
}

/// One column for every `per_column` points: the height of their mean between `low` and `high`, or a space where all are missing.
///
/// What does not vary at all lies in the middle.
pub(crate) fn sparkline(values: &[f64], per_column: usize, (low, high): (f64, f64)) -> String {
    values
        .chunks(per_column.max(1))
        .map(|chunk| {
            let present: Vec<f64> = chunk.iter().copied().filter(|v| v.is_finite()).collect();
            if present.is_empty() {
                return ' ';
            }
            // Divided before they are added, so that huge values do not overflow.
            let mean = present.iter().map(|v| v / present.len() as f64).sum::<f64>();
            // Halved, since the difference of two huge values may be more than a number holds.
            let share = (mean / 2.0 - low / 2.0) / (high / 2.0 - low / 2.0);
            let height = if share.is_finite() { (share * HEIGHTS.len() as f64) as usize } else { HEIGHTS.len() / 2 - 1 };
            HEIGHTS[height.min(HEIGHTS.len() - 1)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_the_highest_and_what_is_missing_can_be_told_apart() {
        assert_eq!(sparkline(&[0.0, f64::NAN, 4.0, 8.0, f64::INFINITY], 1, (0.0, 8.0)), "▁ ▅█ ");
    }

    #[test]
    fn two_series_on_one_scale_can_be_compared() {
        assert_eq!((sparkline(&[1.0, 2.0], 1, (1.0, 16.0)), sparkline(&[15.0, 16.0], 1, (1.0, 16.0))), ("▁▁".into(), "██".into()));
    }

    #[test]
    fn a_column_is_the_mean_of_its_present_points() {
        assert_eq!(points_per_column(120, 60), 2);
        assert_eq!(points_per_column(121, 60), 3);
        assert_eq!(points_per_column(0, 0), 1);
        assert_eq!(sparkline(&[0.0, 8.0, 8.0, f64::NAN, f64::NAN, f64::NAN, 0.0], 2, (0.0, 8.0)), "▅█ ▁");
    }

    #[test]
    fn what_does_not_vary_lies_in_the_middle_and_no_size_is_too_much() {
        assert_eq!(sparkline(&[5.0; 3], 1, (5.0, 5.0)), "▄▄▄");
        assert_eq!(sparkline(&[-1e308, 1e308, f64::MAX], 1, (-f64::MAX, f64::MAX)), "▂▇█");
        assert_eq!(sparkline(&[], 0, (0.0, 0.0)), "");
    }
}
