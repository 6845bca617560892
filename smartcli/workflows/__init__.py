"""Joins data, engine and registry into the jobs that commands and the Python API call.

- api, api_frames: the Python API, and pandas DataFrames in and out of it
- first_steps: what a newcomer has done already and what comes next
- machine_check: `smart doctor`
- preparing/: from a data folder to a stored data set
- training/: from settings to a registered checkpoint
- scoring/: predictions of registered checkpoints, and scores from them
- studies/: sweeps and the paper's tables
- search/: `smart sweep --search tpe`, by one worker or several that share a study
- explaining/, reporting/: why a model predicts what it does; figures and pages
- checkpoints/: listed, described, imported, exported
"""
