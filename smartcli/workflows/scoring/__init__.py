"""Predictions of registered checkpoints, and scores from them.

- comparison: `smart compare`: is B better than A, or is the difference chance?
- ensemble_record: what a registered ensemble says about itself: smart.json, its predictions and its card
- ensembling: `smart ensemble`: combine members' stored predictions and register the result
- evaluation: `smart evaluate`: the table of scores, from stored predictions where there are some
- model_outputs: outputs of a registered model: on a split of a data set, or on rows that a user brings
- over_seeds: mean and spread of checkpoints that differ in nothing but the seed
- panel: the models behind a checkpoint in memory: its own, or those of an ensemble's members, which predict together
- prediction: `smart predict`: label new rows, from file to file or through stdin and stdout
- soup_starts: whether checkpoints have one start, without which the mean of their weights is no model
- souping: `smart soup`: one checkpoint with the mean of several runs' weights, uniform or greedy
- sources: on which data checkpoints are scored, and where their predictions come from
- submission_files: `smart predict --submission`: the course's six files, checked against the data's accepted rows
"""
