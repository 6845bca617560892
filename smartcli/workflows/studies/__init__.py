"""Many trainings as one piece of work: a sweep, or the paper's tables.

- best_members: the best of many checkpoints as an ensemble: the paper's way, and without scoring on what chose it
- cell_process: one cell of a sweep or reproduction in a process of its own: told on stdin, heard on stdout as JSON
  lines
- cells: several trainings as one piece of work: cells with names that follow from their settings, so that it resumes
- grid: `smart sweep`: a grid over training options, with seeds, resumable, and the best cells as an ensemble
- jobs: cells of a sweep or reproduction, several at a time: each a process of its own on the same registry
- paper_recipes: the paper's tables and figures as rows to run, and the numbers that it reports for them
- plan_time: what the trainings of a plan will take, each kind of them probed once
- reproduction: `smart reproduce`: the paper's rows run on the chosen data and encoder, beside the paper's own numbers
- results: what a sweep or a reproduction found, and its section in a results file
"""
