"""What a step's loss is a sum of, one term a module.

- base: what every term is (`Term`), what it is given (`CleanPass`) and what it returns (`Measured`)
- losses: task losses, and the divergences ℓ_s between two outputs
- soft_targets: the loss of labels that are smoothed or graded
- distilled: the loss against a teacher's probabilities and scores, beside the labels
- label_smoothing: targets that are nearly certain
- ordinal: targets of graded classes
- unit_range: a regression's loss with the labels' range counted as 1
- task_loss: ℓ, each task's own loss
- multi_dropout: the task loss under further dropout masks before the head
- smoothness: λ·R_s, SMART's smoothness penalty, in its variants
- ascent: the perturbation δ by projected ascent (the SMART paper's Algorithm 1)
- ascent_by_derivatives: its direction where a step runs in bf16
- mtdnn: the perturbation and divergences of mt-dnn
- bregman: μ·D, Bregman proximal point, and its averaged teacher
- fgm: FGM, the loss after one adversarial step
- rdrop: R-Drop, a second pass with other dropout masks that shall agree with the first
- term_table: which terms there are; a new one is a line there

To add a term: a module with a subclass of `Term`, its options in option_table.py and config.py, a line in
term_table.py.
"""
