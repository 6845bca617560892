"""The model: encoder and heads over packed batches.

- attention: self-attention over a packed batch: only here are sentences padded, group by group of like length
- build: models from an encoder's files or a checkpoint's, and their bytes for a checkpoint
- compiled: `--compile`: the layers' feed-forward part through torch.compile, for any number of rows
- convolution: a convolution over the tokens of each sentence, whose result is added to the first layer's (DeBERTa v2)
- disentangled: scores of content and relative position apart, over a packed batch
- distinct_rows: distinct rows of a tensor picked, with deterministic derivatives both ways, or spread over a larger
  one
- dropout: dropout as a function of a generator: fresh masks, the same masks again, or none
- dual_linear: x·Wᵀ + b, for training and for forward-mode differentiation by x
- encoder: An encoder in plain torch over packed batches; encoder types differ by facts in the spec alone
- encoder_tensors: an encoder's weights under canonical names: BERT's, as Hugging Face calls them
- feed_forward: a layer's feed-forward part, plain or gated, with derivatives both ways
- fixed_shape: batches of few shapes: padded to a bucket, every number of a step in one flat array
- half_weights: bf16 copies of an encoder's linear weights, made once an update in place of a cast in every pass
- heads: task heads, by kind and pair mode, never by a task's name
- layer: a transformer layer: attention, then the feed-forward part, each with a LayerNorm after its sum
- local_attention: a token reads the tokens up to a distance on either side
- mlm_head: the head of a masked language model, tied to the embeddings
- multitask: the encoder and the heads of all tasks, as one module over packed batches
- packing: padding-free batches: the tokens of all sentences end to end, and padded views for attention alone
- part: what a batch is part of: of a step that several processes share, each has some rows and knows where they stand
- pre_norm_layer: a layer whose halves read a LayerNorm of the sums between them, which nothing else norms
- relative_table: the table of relative positions that all layers of disentangled attention share, and the row of each
  distance
- residual: LayerNorm(rows + dropped x), the end of both halves of a layer, and the embeddings, as one autograd
  function
- rotary: rotary positions: queries and keys turned by an angle that grows with the token's place in its sentence
- sub_batch: the batch of some tasks or some sentences of another, and where its rows stand in that
- weight_mean: the mean of several models' weights, and whether they are near enough to be averaged
"""
