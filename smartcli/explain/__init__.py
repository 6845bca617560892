"""What speaks for a prediction: words left out, terms exchanged, near rows. Texts and arrays only, no model."""
