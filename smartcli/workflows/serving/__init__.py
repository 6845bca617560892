"""Predictions over HTTP: `smart serve`, and what measures it.

- limits: how much a server takes at a time
- dynamic_batches: requests of several clients in one batch, on one worker thread
- predict_request: the body of a request, checked
- gate: what stands before the application: token, size and time of bodies, errors as JSON
- serve_metrics: what Prometheus reads
- web_app: the routes and their description
- http_server: socket, signals, and the end of a server
- load_test: clients that ask a server as fast as it answers
- serve_bench: many clients against one, in turn
"""
