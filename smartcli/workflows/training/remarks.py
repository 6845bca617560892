"""What is not wrong with a training's settings, but hardly meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smartcli.engine.training.job import Job


def remarks(job: Job) -> list[str]:
    """Return warnings: an option that this training makes idle, and tasks that `--max-steps` leaves untrained."""
    phases = job.phases()
    said = []
    if job.settings.surgery != "none" and all(len(phase.tasks) == 1 for phase in phases):
        each = "each phase of a sequential run trains" if job.settings.schedule == "sequential" else "this run trains"
        said.append(
            f"--surgery {job.settings.surgery} has no effect: gradients conflict between tasks, and {each} one alone"
        )
    if all(len(phase.tasks) == 1 for phase in phases) and _weighted(job):
        said.append(
            "--task-weights has hardly any effect: it weighs the tasks of a step against each other, and each step of "
            "this training has one alone"
        )
    if job.settings.task_sampling == "annealed" and phases[0].epochs == 1:
        said.append("--task-sampling annealed is proportional in a training of one epoch, since it changes by epoch")
    left_out = [name for name in job.tasks.names if not any(name in phase.tasks for phase in phases)]
    if left_out:
        cut = [
            f"{phase.key} {phase.steps} of {phase.full_steps} steps and "
            for phase in phases
            if phase.steps < phase.full_steps
        ]
        heads = "head stays as it starts" if len(left_out) == 1 else "heads stay as they start"
        said.append(
            f"--max-steps {job.settings.max_steps} counts over all phases of a sequential run: it leaves {''.join(cut)}"
            f"no step for {', '.join(left_out)}, whose {heads}"
        )
    if job.settings.sampling == "balanced":
        twice = [task.name for task in job.tasks if task.class_weights is not None]
        if twice:
            said.append(
                f"--sampling balanced and class weights both favour rare classes of {', '.join(twice)}; one is mostly "
                "enough: --class-weights off leaves the weights out"
            )
        if all(task.kind == "regression" for task in job.tasks):
            said.append("--sampling balanced has no effect: no task of this training has classes")
    return said


def _weighted(job: Job) -> bool:
    return any(job.settings.task_weights[task] != 1.0 for task in job.tasks.names)
