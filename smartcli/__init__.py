"""Fine-tune one small encoder for several sentence tasks at once, with SMART regularisation."""

__version__ = "0.1.0"
