"""Facts of each encoder type, and finding an encoder's files; free of torch."""
