"""One thin module a command: parse, call one workflow, print."""
