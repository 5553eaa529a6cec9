"""LightGCN and MGCN in idiomatic current PyTorch on the CPU, to measure this library against and to compare results.

    python3 benchmarks/peers/baselines_torch.py --model mgcn --shape baby --interactions baby.inter
    python3 benchmarks/peers/baselines_torch.py --model lightgcn --train --data DIR [--seed 999] [--layers 2]

Without --train: seconds of a training step and of an epoch, and memory. With it: training with early stopping, and the
metrics of the best epoch, progress going to standard error. Prints one JSON line; see README.md for what it covers.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import sys
import time
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

import dream_torch as shared

# -------------------------------------------------------------------------------------------------------------- models


def bpr(users, positives, negatives):
    return -F.logsigmoid((users * (positives - negatives)).sum(dim=1)).mean()


def linear(inputs, outputs, bias=True):
    layer = nn.Linear(inputs, outputs, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class Baseline(nn.Module):
    """Embeddings of users and items and the graph between them."""

    def __init__(self, n, q, adjacency, options):
        super().__init__()
        self.n, self.adjacency, self.options = n, adjacency, options
        self.user_embedding = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n, options.dim)))
        self.item_embedding = nn.Parameter(nn.init.xavier_uniform_(torch.empty(q, options.dim)))

    def behaviour(self):
        return shared.propagate(self.adjacency, self.user_embedding, self.item_embedding, self.options.layers)


class LightGcn(Baseline):
    """He et al., SIGIR 2020: layers averaged, BPR, norms of the batch's rows of layer 0."""

    def representations(self):
        rows = self.behaviour()
        return rows[: self.n], rows[self.n :]

    def loss(self, users, positives, negatives):
        user_rows, item_rows = self.representations()
        ego = self.user_embedding[users], self.item_embedding[positives], self.item_embedding[negatives]
        reg = sum(rows.norm() for rows in ego) / len(users)
        return bpr(user_rows[users], item_rows[positives], item_rows[negatives]) + self.options.reg_weight * reg


class Modality(nn.Module):
    """Z_m, the gate that the behaviour opens, the item graph S_m and the preference of one modality of MGCN."""

    def __init__(self, features, item_graph, dim):
        super().__init__()
        self.features = nn.Parameter(features)
        self.project, self.gate, self.preference = linear(features.shape[1], dim), linear(dim, dim), linear(dim, dim)
        self.item_graph = item_graph

    def forward(self, item_embedding, interactions, layers):
        h = item_embedding * torch.sigmoid(self.gate(self.project(self.features)))
        for _ in range(layers):
            h = self.item_graph @ h
        return torch.cat([interactions @ h, h])


class Mgcn(Baseline):
    """Yu et al., ACM MM 2023: features purified by behaviour, fused by attention and by the behaviour's preferences."""

    def __init__(self, n, q, adjacency, interactions, modalities, options):
        super().__init__(n, q, adjacency, options)
        self.interactions, self.modalities = interactions, nn.ModuleList(modalities)
        self.attention = nn.Sequential(linear(options.dim, options.dim), nn.Tanh(), linear(options.dim, 1, bias=False))

    def forward(self):
        behaviour = self.behaviour()
        parts = [m(self.item_embedding, self.interactions, self.options.mm_layers) for m in self.modalities]
        attention = torch.softmax(torch.cat([self.attention(part) for part in parts], dim=1), dim=1)
        common = sum(a * part for a, part in zip(attention.split(1, dim=1), parts))
        preferred = sum(
            torch.sigmoid(m.preference(behaviour)) * (part - common) for m, part in zip(self.modalities, parts)
        )
        return behaviour, (preferred + common) / (len(parts) + 1)

    def representations(self):
        behaviour, side = self()
        rows = behaviour + side
        return rows[: self.n], rows[self.n :]

    def loss(self, users, positives, negatives):
        o = self.options
        behaviour, side = self()
        rows = behaviour + side
        positives, negatives = positives + self.n, negatives + self.n
        u, p, j = rows[users], rows[positives], rows[negatives]
        reg = 0.5 * (u.square().sum() + p.square().sum() + j.square().sum()) / o.batch
        contrast = shared.info_nce(side[positives], behaviour[positives], o.temperature)
        contrast = contrast + shared.info_nce(side[users], behaviour[users], o.temperature)
        return bpr(u, p, j) + o.cl_weight * contrast + o.reg_weight * reg


def make_model(o, train, n, q, features):
    """The model for these training pairs; takes the features out of `features`."""
    adjacency = shared.Graph(shared.bipartite(*train, n, q), o.product)
    if o.model == "lightgcn":
        return LightGcn(n, q, adjacency, o)
    interactions = shared.Graph(shared.normalised_interactions(*train, n, q), o.product)
    modalities = []
    for name in list(features):
        unit = F.normalize(features.pop(name))
        modalities.append(Modality(unit, shared.Graph(shared.knn_graph(unit, o.knn_k, o.block), o.product), o.dim))
    return Mgcn(n, q, adjacency, interactions, modalities, o)


# ------------------------------------------------------------------------------------------------------------ training


def train_step(model, optimizer, batch):
    optimizer.zero_grad(set_to_none=True)
    loss = model.loss(*batch)
    loss.backward()
    optimizer.step()
    return loss.detach()


def batches_of(sampler, size):
    return list(zip(*(column.split(size) for column in sampler.epoch())))


def fit(o, model, optimizer, sampler, valid, test):
    """Trains until more than `patience` evaluations in a row bring no gain; the test is that of the best epoch."""
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: o.lr_factor ** (epoch / o.lr_period))
    metric = f"recall@{o.topk}"
    best, train_seconds, evaluation_seconds, waited = {"epoch": 0}, [], [], 0
    for epoch in range(1, o.max_epochs + 1):
        start, total = time.perf_counter(), 0.0
        model.train()
        batches = batches_of(sampler, o.batch)
        for batch in batches:
            total += train_step(model, optimizer, batch).item()
        schedule.step()
        if not math.isfinite(total):
            sys.exit(f"baselines_torch.py: error: training diverged: the loss of epoch {epoch} is {total}")
        train_seconds.append(time.perf_counter() - start)

        start = time.perf_counter()
        model.eval()
        with torch.no_grad():
            vectors = SimpleNamespace(representations=lambda rows=model.representations(): rows)
        found = valid(vectors)
        evaluation_seconds.append(time.perf_counter() - start)
        if best["epoch"] == 0 or found[metric] > best["valid"][metric]:
            best, waited = {"epoch": epoch, "valid": found, "vectors": vectors}, 0
        else:
            waited += 1
        print(
            f"epoch {epoch:3d}  loss {total / len(batches):.4f}  {metric} {found[metric]:.4f}  "
            f"{train_seconds[-1]:.1f} s",
            file=sys.stderr,
            flush=True,
        )
        if waited > o.patience:
            break
    return {
        "epochs": epoch,
        "best_epoch": best["epoch"],
        "valid": best["valid"],
        "test": test(best["vectors"]),
        "seconds_per_epoch": statistics.median(train_seconds),
        "seconds_per_evaluation": statistics.median(evaluation_seconds),
    }


def resident_with_libraries(o):
    """MiB after a step of next to nothing: the first optimiser loads a large part of PyTorch."""
    parameter = nn.Parameter(torch.zeros(8, 8))
    optimizer = shared.make_optimizer(SimpleNamespace(parameters=lambda: [parameter]), o)
    (parameter @ parameter).sum().backward()
    optimizer.step()
    return shared.resident_mib()


def measure(o, model, optimizer, sampler, libraries):
    """Steps on full batches, the epoch that they make up, and memory."""
    batches = batches_of(sampler, o.batch)
    steps, full = shared.Steps("cpu"), max(1, len(batches) - 1)
    model.train()
    for step in range(o.warmup + o.steps):
        if step == o.warmup:
            used = time.process_time()
        steps.run(lambda: train_step(model, optimizer, batches[step % full]))
    used = (time.process_time() - used) / o.steps
    times = steps.times[o.warmup :]
    median = statistics.median(times)
    peak = shared.peak_mib()
    return {
        "step_seconds": {"median": median, "min": min(times), "max": max(times), "processor": used},
        "steps_per_epoch": len(batches),
        "epoch_seconds": len(batches) * median,
        "loss": {"first": steps.losses[0], "last": steps.losses[-1]},
        "peak_mib_after_training": peak,
        "peak_mib_less_import": peak - shared.RESIDENT_AFTER_IMPORT,
        "peak_mib_less_libraries": peak - libraries,
    }


# ------------------------------------------------------------------------------------------------------------- options


def count_from(least):
    def count(text):
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {value}")
        return value

    return count


def weight(text):
    value = float(text)
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be finite and not negative, not {text}")
    return value


def positive(text):
    value = weight(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be positive")
    return value


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["lightgcn", "mgcn"], required=True)
    parser.add_argument("--train", action="store_true", help="train on --data and report metrics, instead of speed")
    parser.add_argument("--data", type=pathlib.Path, help="a folder with NAME.inter and *_feat.npy")
    parser.add_argument("--shape", choices=["baby"], help="the interactions of baby, generated features")
    parser.add_argument(
        "--interactions", type=pathlib.Path, help="the .inter file (default $DREAM_DATA/SHAPE/SHAPE.inter), or 'random'"
    )
    parser.add_argument("--seed", type=int, default=999)
    parser.add_argument("--dim", type=count_from(1), default=64)
    parser.add_argument("--layers", type=count_from(0), default=2, help="of the user-item graph")
    parser.add_argument("--mm-layers", type=count_from(0), default=1, help="of the item-item graphs (mgcn)")
    parser.add_argument("--knn-k", type=count_from(1), default=10, help="neighbours in the item-item graphs (mgcn)")
    parser.add_argument("--reg-weight", type=weight, help="default 1e-3 (lightgcn), 1e-4 (mgcn)")
    parser.add_argument("--cl-weight", type=weight, default=0.01, help="of the contrast (mgcn)")
    parser.add_argument("--temperature", type=positive, default=0.2, help="of the contrast (mgcn)")
    parser.add_argument("--batch", type=count_from(1), default=2048)
    parser.add_argument("--lr-factor", type=positive, help="f of the rate times f^(epoch / period); 1 or 0.96 (mgcn)")
    parser.add_argument("--lr-period", type=positive, default=50.0)
    parser.add_argument("--max-epochs", type=count_from(1), default=1000)
    parser.add_argument("--patience", type=count_from(0), default=20, help="stop after more evaluations without gain")
    parser.add_argument("--topk", type=count_from(1), default=20)
    parser.add_argument("--product", choices=["transposed", "csr", "coo"], default="transposed", help="sparse products")
    parser.add_argument("--optimizer", choices=["fused", "foreach", "single"], default="fused")
    parser.add_argument("--block", type=count_from(1), default=1024, help="rows a block in graphs and evaluation")
    parser.add_argument("--threads", type=count_from(1), default=2)
    parser.add_argument("--steps", type=count_from(1), default=12)
    parser.add_argument("--warmup", type=count_from(0), default=3)
    o = parser.parse_args()
    o.device, o.features_from = "cpu", None
    o.reg_weight = {"lightgcn": 1e-3, "mgcn": 1e-4}[o.model] if o.reg_weight is None else o.reg_weight
    o.lr_factor = {"lightgcn": 1.0, "mgcn": 0.96}[o.model] if o.lr_factor is None else o.lr_factor
    if (o.data is None) == (o.shape is None):
        parser.error("give either --shape or --data")
    if o.train and o.data is None:
        parser.error("--train needs --data: the features of --shape are generated")
    if o.data and not o.interactions and not any(o.data.glob("*.inter")):
        parser.error(f"--data {o.data}: no .inter file there")
    if o.shape and not o.interactions and "DREAM_DATA" not in os.environ:
        parser.error("--shape needs --interactions FILE, or DREAM_DATA in the environment")
    return o


def main():
    o = parse_options()
    torch.set_num_threads(o.threads)
    libraries = resident_with_libraries(o)
    torch.manual_seed(o.seed)
    try:
        users, items, labels, n, q, features = shared.load(o, generate=o.model != "lightgcn")
    except (OSError, ValueError) as error:
        sys.exit(f"baselines_torch.py: error: {o.interactions or o.data or o.shape}: {error}")
    if o.model == "lightgcn":
        features = {}
    elif not features:
        sys.exit(f"baselines_torch.py: error: mgcn needs features, and {o.data} has no *_feat.npy")
    train, valid, test = ((users[labels == label], items[labels == label]) for label in range(3))
    report = {
        "what": "pytorch " + torch.__version__,
        "model": o.model,
        "data": o.shape or o.data.name,
        "users": n,
        "items": q,
        "train": len(train[0]),
        "features": {name: list(f.shape) for name, f in features.items()},
        "seed": o.seed,
        "layers": o.layers,
        "reg_weight": o.reg_weight,
        "cl_weight": o.cl_weight if o.model == "mgcn" else None,
        "threads": o.threads,
        "product": o.product,
        "optimizer": o.optimizer,
        "resident_mib_after_import": shared.RESIDENT_AFTER_IMPORT,
        "resident_mib_with_libraries": libraries,
        "resident_mib_after_data": shared.resident_mib(),
    }
    taken, model = shared.timed(make_model, o, train, n, q, features)
    report["graph_seconds"] = taken
    report["peak_mib_after_graphs"] = shared.peak_mib()
    optimizer, sampler = shared.make_optimizer(model, o), shared.VectorisedSampler(*train, q)
    if o.train:
        rankings = [shared.FullRanking(train, held_out, n, q, o.topk, o.block) for held_out in (valid, test)]
        for name, ranking in zip(("valid", "test"), rankings):
            if len(ranking.users) == 0:
                sys.exit(f"baselines_torch.py: error: no user has both training and {name} interactions")
        report |= fit(o, model, optimizer, sampler, *rankings)
    else:
        report |= measure(o, model, optimizer, sampler, libraries)
    report["peak_mib"] = shared.peak_mib()
    json.dump(report, sys.stdout)
    print()


if __name__ == "__main__":
    main()
