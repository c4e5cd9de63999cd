# R's wilcox.test on the arms that `make bench-peers` has written: the test alone, and with the interval of the shift at 98 % that
# Kayenta's judge rests on.
#
# Rscript wilcox.R FOLDER: reads arms-N.csv, writes wilcox.json, seconds a pair by implementation and points an arm.

folder <- commandArgs(trailingOnly = TRUE)[1]
# Seconds for each implementation and size, and the least passes over the pairs, of which the median counts.
budget <- 5
passes <- 5

clock <- function() as.numeric(Sys.time())

seconds <- function(test, pairs) {
  begun <- clock()
  test(pairs[[1]])
  pairs <- pairs[seq_len(max(1, min(length(pairs), floor(budget / passes / (clock() - begun)))))]
  means <- c()
  begun <- clock()
  while (length(means) < passes || (clock() - begun < budget && length(means) < 1000)) {
    start <- clock()
    for (pair in pairs) test(pair)
    means <- c(means, (clock() - start) / length(pairs))
  }
  median(means)
}

tests <- list(
  "R wilcox.test (p-value)" = function(pair) wilcox.test(pair$canary, pair$baseline, exact = FALSE),
  "R wilcox.test (p-value, shift and interval)" = function(pair)
    wilcox.test(pair$canary, pair$baseline, exact = FALSE, conf.int = TRUE, conf.level = 0.98)
)
rows <- c()
for (name in names(tests)) {
  figures <- c()
  for (path in list.files(folder, pattern = "^arms-[0-9]+\\.csv$", full.names = TRUE)) {
    arms <- lapply(strsplit(readLines(path), ","), as.numeric)
    pairs <- lapply(seq(1, length(arms), by = 2), function(i) list(baseline = arms[[i]], canary = arms[[i + 1]]))
    n <- sub("^arms-([0-9]+)\\.csv$", "\\1", basename(path))
    figures <- c(figures, sprintf("    \"%s\": %.9g", n, seconds(tests[[name]], pairs)))
  }
  rows <- c(rows, sprintf("  \"%s\": {\n%s\n  }", name, paste(figures, collapse = ",\n")))
}
writeLines(sprintf("{\n%s\n}", paste(rows, collapse = ",\n")), file.path(folder, "wilcox.json"))
