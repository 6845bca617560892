"""From plain training to the best recipe, a step at a time, each step with its test of significance.

- ladder_steps: a ladder's steps and stages as its TOML file has them, and the trainings that they take
- ladder_table: what the steps scored, each against plain by `smart compare`, as JSON and as a section of a page
"""

# Before torch is loaded: it sets how long libgomp's threads wait.
import smartcli.engine  # noqa: F401
