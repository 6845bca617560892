"""`smart sweep --search tpe`: trials drawn between bounds, by one worker or by several that share a study.

- bounds: what a search may draw from: ranges and choices, from `--grid` entries and a TOML file
- journal_file: the journal of a study: Optuna's file, with a lock that dies with its process, and whole lines only
- liveness: which worker of a study is dead: its process where it can be asked, else a heartbeat that stands still
- refusals: what training refuses in a trial: the values that were drawn for it, or what all trials of a worker share
- search_plan: a planned search: bounds, settings and storage checked, and a trial's drawn values as a cell
- search_results: the table of a search, the same from every machine, since all of it comes from the storage
- search_storage: where a study is kept: a journal file or a database, its password hidden, its outages waited out
- slots: the trials of a study as the N that were asked for, each with its attempts
- study: the one module that speaks to Optuna: asks, reports, ends and takes over trials
- search_watcher: who hears what happens to the trials of a worker
- tpe: the sampler, seeded for each trial by itself
- trial_scores: what a trial is judged by: its dev score after each epoch, from a log, a run or a checkpoint
- worker: takes trials one after the other, or several at a time, and trains each in a process of its own
"""
