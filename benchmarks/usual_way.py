"""The usual way, in its best idiomatic form: what this project is compared with.

Ray Tune with OptunaSearch, ASHA if asked for, MLflowLoggerCallback, torchvision data with ToTensor
in a DataLoader, one trial per core, one thread each. It trains the same models on the same images
for the same epochs and logs the same number of metrics.

    python -m benchmarks.usual_way --kind mlp_vae --trials 48 --epochs 2 --images 5000 --out FOLDER
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

BATCH = 128


def load(data_dir: str, images: int, val_images: int) -> tuple[Any, Any]:
    """Torchvision's Fashion-MNIST over raw files, as everybody loads it: to train, to validate.

    The last images are held out, as by this project.
    """
    from torch.utils.data import Subset
    from torchvision import datasets, transforms

    whole = datasets.FashionMNIST(data_dir, train=True, transform=transforms.ToTensor())
    return Subset(whole, range(images)), Subset(whole, range(len(whole) - val_images, len(whole)))


def build(kind: str, latent_dim: int) -> Any:
    """R3's or R1's network as a tutorial writes it; the encoder's output is mean and log-variance.

    As many parameters as this project's model of that kind.
    """
    from torch import nn

    if kind == "mlp_vae":
        encoder = [nn.Flatten(), nn.Linear(784, 400), nn.ReLU(), nn.Linear(400, 2 * latent_dim)]
        decoder = [nn.Linear(latent_dim, 400), nn.ReLU(), nn.Linear(400, 784)]
    else:
        half: dict[str, Any] = {"kernel_size": 4, "stride": 2, "padding": 1}
        encoder = [
            nn.Conv2d(1, 32, **half),
            nn.ReLU(),
            nn.Conv2d(32, 64, **half),
            nn.ReLU(),
            nn.Conv2d(64, 128, **half),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(1152, 2 * latent_dim),
        ]
        decoder = [
            nn.Linear(latent_dim, 1152),
            nn.ReLU(),
            nn.Unflatten(1, (128, 3, 3)),
            nn.ConvTranspose2d(128, 64, output_padding=1, **half),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, **half),
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, **half),
        ]
    return nn.ModuleDict({"encoder": nn.Sequential(*encoder), "decoder": nn.Sequential(*decoder)})


def trial(config: dict[str, Any]) -> None:
    """One configuration: a plain PyTorch loop that reports each epoch."""
    import torch
    from ray import tune
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    model = build(config["kind"], config["latent_dim"])
    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    images, held_out = load(config["data"], config["images"], config["val_images"])
    train, val = DataLoader(images, BATCH, shuffle=True), DataLoader(held_out, BATCH)
    for _ in range(config["epochs"]):
        train_epoch(model, optimizer, train, config["beta"])
        model.eval()
        with torch.no_grad():
            sums = torch.zeros(3)
            for x, _labels in val:
                sums += torch.stack(losses(model, x)) * len(x)
        recon, kl, mse = (sums / config["val_images"]).tolist()
        tune.report({"recon": recon, "kl": kl, "mse": mse, "neg_elbo": recon + kl})


def train_epoch(model: Any, optimizer: Any, batches: Any, beta: float) -> None:
    """One pass over the training images."""
    model.train()
    for x, _labels in batches:
        recon, kl, _mse = losses(model, x)
        optimizer.zero_grad()
        (recon + beta * kl).backward()
        optimizer.step()


def losses(model: Any, x: Any) -> tuple[Any, Any, Any]:
    """Binary cross-entropy and KL in nats per image, MSE; of a noisy batch.

    In validation of the image at the latent mean.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy

    noisy = (x + 0.45 * torch.randn_like(x)).clamp(0, 1)
    mean, logvar = model["encoder"](noisy).chunk(2, dim=1)
    z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean) if model.training else mean
    image = torch.sigmoid(model["decoder"](z)).view_as(x)
    recon = binary_cross_entropy(image, x, reduction="sum") / len(x)
    kl = -0.5 * (1 + logvar - mean.square() - logvar.exp()).sum(1).mean()
    return recon, kl, (image - x).square().mean()


def main() -> None:
    """Run the study and print its seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", default="mlp_vae")
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--val-images", type=int, default=5_000)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--asha", action="store_true", help="end trials early, Ray's defaults")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--data", required=True, help="folder with FashionMNIST/raw")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    started = time.perf_counter()
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    ray.init(num_gpus=options.gpus or None, include_dashboard=False, log_to_driver=False)
    space = {
        "lr": tune.loguniform(1e-4, 5e-3),
        "beta": tune.loguniform(0.01, 4),
        "latent_dim": tune.choice([8, 16, 32]),
        "kind": options.kind,
        "epochs": options.epochs,
        "images": options.images,
        "val_images": options.val_images,
        "data": os.path.abspath(options.data),
    }
    uri = f"sqlite:///{options.out.absolute()}/mlflow.db"
    tune.Tuner(
        tune.with_resources(trial, {"cpu": 1, "gpu": 1 if options.gpus else 0}),
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="mse",
            mode="min",
            search_alg=OptunaSearch(seed=options.seed),
            scheduler=ASHAScheduler(max_t=options.epochs) if options.asha else None,
            num_samples=options.trials,
            max_concurrent_trials=options.gpus or os.cpu_count(),
        ),
        run_config=tune.RunConfig(
            storage_path=str(options.out.absolute()),
            callbacks=[MLflowLoggerCallback(tracking_uri=uri, experiment_name="usual")],
            verbose=0,
        ),
    ).fit()
    print(f"seconds {time.perf_counter() - started:.2f}")


if __name__ == "__main__":
    main()
