"""Why a model predicts what it does for a row.

- explain_inputs: which row `smart explain` explains: one of a data set, or texts given on the command line
- explanation: `smart explain`: one prediction, the words that matter for it, the nearest training rows, and terms
  swapped
- neighbours: the training rows nearest to one row, by what the task's head is given of them; vectors are made once
  and kept
- swap_split: `smart explain --swap-file`: a whole split with terms exchanged, and how often and how far predictions
  move
"""
