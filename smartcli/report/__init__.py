"""Tables, figures and HTML from predictions and logs; free of torch."""
