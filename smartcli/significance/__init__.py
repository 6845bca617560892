"""Whether a difference between two models' scores is real. Predictions in, numbers out.

- mcnemar: McNemar's exact test of two classifiers on the same rows
- weighted_metrics: every task metric of several models at once, over rows that count several times
- bootstrap: rows drawn again, and what a difference is then: interval and p
- seed_draws: seeds drawn again, and how much of their spread is their own
- holm: p adjusted for the number of tests
- rows_needed: how many rows a difference of this size would take
- two_sides: all of these for two sides of one or more models
"""
