"""What a trained model gives, without gradients or dropout.

- int8: linear layers in int8 on a CPU, for predictions
- split_outputs: outputs for whole splits: length-sorted packed batches in fp32, without gradients or dropout
- vectors: what a task's head is given of each row: the encoder's pooled output, without dropout
"""
