"""A model in the form of other tools.

- export_heads: A task's head as transformers' sequence classifiers want it: square layer, activation, output layer
- export_onnx: one task's model as an ONNX graph: the encoder over padded batches, for export alone
- onnx_int8: an ONNX graph with its weights in int8, by onnxruntime's own dynamic quantisation
- padded_parts: disentangled attention and convolution over padded batches, in operations that a graph for other tools
  has
"""
