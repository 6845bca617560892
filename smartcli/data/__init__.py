"""Sources, cleaning, splits and the token cache; free of torch."""
