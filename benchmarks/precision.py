"""What bf16 gains, and what it does to the final figures: the same seeds in both precisions.

    python -m benchmarks.precision --model conv --images 10000 --epochs 3 --rounds 8

Real Fashion-MNIST. Each round trains one seed in fp32 and in bf16, epoch by epoch in turn, in one
process with one thread (`--device cuda`: one trial after the other, no cohort). Seconds are those
of an epoch's training and validation; the final figures are measured in float32 on the test images,
whatever the training's precision.
"""

from __future__ import annotations

import statistics

from scipy import stats

from benchmarks import measuring, real_images
from vae_trainables.config import Precision, TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import Evaluator
from vae_trainables.numerics.allocator import keep_freed_memory
from vae_trainables.training.trial import Trial

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
FINAL = ("neg_elbo", "mse", "psnr")


def one_seed(config: TrialConfig, data: TrialData, final: Evaluator) -> dict[str, dict[str, float]]:
    """By precision: median seconds of an epoch, and the figures that `final` measures."""
    trials = {
        name: Trial(config.model_copy(update={"precision": name}), data, device=final.device)
        for name in PRECISIONS
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in PRECISIONS}
    for _ in range(config.budget.epochs):
        for name, trial in trials.items():
            told = trial.run_epoch()
            seconds[name].append((told["time/epoch_s"], told["time/eval_s"]))
    found: dict[str, dict[str, float]] = {}
    for name, trial in trials.items():
        train, evaluation = zip(*seconds[name], strict=True)
        measured = final.validate(trial.model, config)
        found[name] = {figure: measured[f"val/{figure}"] for figure in FINAL}
        found[name]["training_s"] = statistics.median(train)
        found[name]["validation_s"] = statistics.median(evaluation)
    return found


def main() -> None:
    """Measure and publish."""
    made = measuring.parser(__doc__)
    made.set_defaults(rounds=8, device="cpu", images=10_000)
    made.add_argument("--epochs", type=int, default=3)
    options = made.parse_args()
    if options.rounds < 2:
        made.error(f"--rounds is {options.rounds}: an interval over seeds takes at least 2")
    device = measuring.prepare(options)
    keep_freed_memory()
    train, val, test = real_images.load("fashion-mnist")
    data, final = TrialData(train, val), Evaluator(TrialData(train, test), device)
    rounds = []
    for seed in range(options.rounds):
        config = measuring.workload(
            options.model, epochs=options.epochs, train_size=options.images, seed=seed
        )
        rounds.append(one_seed(config, data, final))
    columns = ["figure", "fp32", "sd over seeds", "bf16", "bf16 - fp32", "+-", "bf16 / fp32"]
    rows = []
    for figure in (*FINAL, "training_s", "validation_s"):
        high, low = ([found[name][figure] for found in rounds] for name in PRECISIONS)
        apart = [b - a for a, b in zip(high, low, strict=True)]
        student = float(stats.t.ppf(0.975, len(apart) - 1))  # for an interval of 95 %
        half = student * statistics.stdev(apart) / len(apart) ** 0.5
        ratio = statistics.median(b / a for a, b in zip(high, low, strict=True))
        means = statistics.mean(high), statistics.stdev(high), statistics.mean(low)
        rows.append([figure, *means, statistics.mean(apart), half, ratio])
    measuring.publish(options, {"rounds": rounds}, columns, rows)


if __name__ == "__main__":
    main()
