"""From a data folder to a stored data set.

- data_check: `smart check`: looks a data folder over before anything is stored or trained
- preparation: `smart prepare`: read, check, split and store a data set, and report the paper's Table 1 for it
- tokenise: fills a data set's token cache where the encoder's tokenizer is at hand, without the network
"""
