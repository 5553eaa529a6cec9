"""DREAM in idiomatic current PyTorch on the CPU or a GPU, to measure this library against.

    python3 benchmarks/peers/dream_torch.py --shape baby --interactions baby.inter --frozen
    python3 benchmarks/peers/dream_torch.py --data DIR --trainable
    python3 benchmarks/peers/dream_torch.py --shape baby --interactions random --device cuda [--compile]

Prints one JSON line: seconds for graph building, a training step, full-ranking evaluation of the valid users and
sampling an epoch, and resident memory. See README.md for what each figure covers.
"""

import argparse
import json
import os
import pathlib
import random
import resource
import statistics
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset


def resident_mib():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


RESIDENT_AFTER_IMPORT = resident_mib()

# ---------------------------------------------------------------------------------------------------------------- data


def read_interactions(path):
    """Users, items and labels (0 train, 1 valid, 2 test) of a TAB file with a header."""
    with open(path) as lines:
        columns = lines.readline().rstrip("\n").split("\t")
        wanted = [columns.index(name) for name in ("userID", "itemID", "x_label")]
        table = np.loadtxt(lines, dtype=np.int64, delimiter="\t", usecols=wanted)
    return (torch.from_numpy(np.ascontiguousarray(table[:, c])) for c in range(3))


def random_interactions():
    """The counts of baby, users and items drawn uniformly."""
    splits = (118551, 21682, 20559)
    draw, label = np.random.default_rng(999), np.repeat([0, 1, 2], splits)
    columns = draw.integers(19445, size=sum(splits)), draw.integers(7050, size=sum(splits)), label
    return (torch.from_numpy(column.astype(np.int64)) for column in columns)


def read_features(folder):
    return {p.stem.removesuffix("_feat"): torch.from_numpy(np.load(p)).float() for p in sorted(folder.glob("*_feat.npy"))}


def generated_features(rows):
    draw = np.random.default_rng(999)
    return {
        name: torch.from_numpy(draw.standard_normal((rows, columns), dtype=np.float32))
        for name, columns in (("image", 4096), ("text", 384))
    }


# -------------------------------------------------------------------------------------------------------------- graphs


def csr(rows, columns, values, shape):
    return torch.sparse_coo_tensor(torch.stack([rows, columns]), values, shape).coalesce().to_sparse_csr()


def transposed(matrix):
    coo = matrix.to_sparse_coo()
    return coo.t().coalesce().to_sparse_csr()


def inverse_square_root(degrees):
    return torch.where(degrees > 0, degrees.clamp(min=1e-12).rsqrt(), 0.0)


def counts(indices, size):
    """How often each of 0 .. size - 1 occurs, in the default type."""
    return torch.bincount(indices, minlength=size).to(torch.get_default_dtype())


def normalised_interactions(users, items, n, q):
    du, di = counts(users, n), counts(items, q)
    return csr(users, items, (inverse_square_root(du)[users] * inverse_square_root(di)[items]), (n, q))


def bipartite(users, items, n, q):
    rows, columns = torch.cat([users, items + n]), torch.cat([items + n, users])
    d = inverse_square_root(counts(rows, n + q))
    return csr(rows, columns, d[rows] * d[columns], (n + q, n + q))


def normalised_knn(values, columns):
    """CSR of s_ij / sqrt(r_i r_j) from the kept cosines of each row."""
    count, k = values.shape
    r = inverse_square_root(values.sum(dim=1).clamp(min=0.0))
    rows = torch.arange(count).repeat_interleave(k)
    columns = columns.flatten()
    return csr(rows, columns, values.flatten() * r[rows] * r[columns], (count, count))


def knn_graph(unit_rows, k, block):
    """Cosine kNN graph in blocks of rows: a matrix product and topk each."""
    count = unit_rows.shape[0]
    values, columns = torch.empty(count, k), torch.empty(count, k, dtype=torch.int64)
    for start in range(0, count, block):
        stop = min(start + block, count)
        torch.topk(unit_rows[start:stop] @ unit_rows.T, k, out=(values[start:stop], columns[start:stop]))
    return normalised_knn(values, columns)


def factored_user_graph(mean_interactions, gram, lengths, k, block):
    """The user graph through the item-item products: cos(f_u, f_v) = (Rm G Rm^T)_uv / (|f_u| |f_v|)."""
    count = mean_interactions.shape[0]
    inverse = torch.where(lengths > 0, 1.0 / lengths, 0.0)
    values, columns = torch.empty(count, k), torch.empty(count, k, dtype=torch.int64)
    half = mean_interactions @ gram
    for start in range(0, count, block):
        stop = min(start + block, count)
        cosines = (mean_interactions @ half[start:stop].T.contiguous()).T
        cosines = cosines * inverse[None, :] * inverse[start:stop, None]
        torch.topk(cosines, k, out=(values[start:stop], columns[start:stop]))
    return normalised_knn(values, columns)


class SparseProduct(torch.autograd.Function):
    """A @ X with the transpose of A kept, so that backward needs no conversion."""

    @staticmethod
    def forward(ctx, a, a_transposed, x):
        ctx.a_transposed = a_transposed
        return a @ x

    @staticmethod
    def backward(ctx, dy):
        return None, None, ctx.a_transposed @ dy


class Graph:
    """A sparse matrix and how to multiply with it."""

    def __init__(self, matrix, product):
        self.product = product
        self.matrix = matrix.to_sparse_coo().coalesce() if product == "coo" else matrix
        self.transpose = transposed(matrix) if product == "transposed" else None

    def __matmul__(self, x):
        if self.product == "transposed":
            return SparseProduct.apply(self.matrix, self.transpose, x)
        return torch.sparse.mm(self.matrix, x)


# --------------------------------------------------------------------------------------------------------------- model


def info_nce(x, y, temperature):
    logits = F.normalize(x) @ F.normalize(y).T / temperature
    return F.cross_entropy(logits, torch.arange(len(x)))


def moments(x, y):
    mean_x, mean_y = x.mean(dim=0), y.mean(dim=0)
    return ((mean_x - mean_y).abs() + (x.var(dim=0) - y.var(dim=0)).abs()).mean()


def s3(h, unit_target, trace):
    """Mean squared difference of the batch's cosine matrices.

    With `trace` the squared norm is expanded into products of thin matrices and the constant of the target is left out.
    """
    h = F.normalize(h)
    if trace:
        return ((h.T @ h).square().sum() - 2.0 * (h.T @ unit_target).square().sum()) / len(h) ** 2
    return F.mse_loss(h @ h.T, unit_target @ unit_target.T)


class ModalEncoder(nn.Module):
    """Z_m, W1, W2 and the two relation graphs of one modality."""

    def __init__(self, unit_features, unit_user_features, item_graph, user_graph, dim, trainable):
        super().__init__()
        self.register_buffer("unit_features", unit_features)
        self.register_buffer("unit_user_features", unit_user_features)
        self.features = nn.Parameter(unit_features.clone()) if trainable else None
        self.linear, self.gate = nn.Linear(unit_features.shape[1], dim), nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.xavier_uniform_(self.gate.weight)
        self.item_graph, self.user_graph = item_graph, user_graph

    def forward(self, item_embedding, interactions):
        z = self.unit_features if self.features is None else self.features
        h = item_embedding * torch.sigmoid(self.gate(self.linear(z)))
        h_items = self.item_graph @ h
        return self.user_graph @ (interactions @ h_items), h_items


def propagate(adjacency, users, items, layers):
    """LightGCN's propagation: the mean of layers 0 .. L, users above items."""
    level = torch.cat([users, items])
    levels = [level]
    for _ in range(layers):
        level = adjacency @ level
        levels.append(level)
    return torch.stack(levels).mean(dim=0)


class Dream(nn.Module):
    def __init__(self, n, q, adjacency, interactions, encoders, options):
        super().__init__()
        self.n, self.options = n, options
        self.user_embedding = nn.Parameter(nn.init.xavier_uniform_(torch.empty(n, options.dim)))
        self.item_embedding = nn.Parameter(nn.init.xavier_uniform_(torch.empty(q, options.dim)))
        self.adjacency, self.interactions = adjacency, interactions
        self.encoders = nn.ModuleList(encoders)

    def forward(self):
        behaviour = propagate(self.adjacency, self.user_embedding, self.item_embedding, self.options.layers)
        parts = [encoder(self.item_embedding, self.interactions) for encoder in self.encoders]
        modal_users = torch.stack([users for users, _ in parts]).mean(dim=0)
        modal_items = torch.stack([items for _, items in parts]).mean(dim=0)
        return behaviour[: self.n], behaviour[self.n :], modal_users, modal_items, parts

    def representations(self):
        b_users, b_items, m_users, m_items, _ = self()
        return b_users + m_users, b_items + m_items

    def loss(self, users, positives, negatives):
        o = self.options
        b_users, b_items, m_users, m_items, parts = self()
        b_u, b_p, m_u, m_p = b_users[users], b_items[positives], m_users[users], m_items[positives]
        e_u, e_p = b_u + m_u, b_p + m_p
        e_n = b_items[negatives] + m_items[negatives]
        bpr = -F.logsigmoid((e_u * (e_p - e_n)).sum(dim=1)).mean()
        reg = 0.5 * (e_u.square().sum() + e_p.square().sum() + e_n.square().sum()) / o.batch
        inter = info_nce(m_u, b_u, o.temperature) + info_nce(m_p, b_p, o.temperature)
        intra = moments(b_u, m_u) + moments(b_p, m_p)
        signal = signal_users = 0.0
        for encoder, (h_users, h_items) in zip(self.encoders, parts):
            signal = signal + s3(h_items[positives], encoder.unit_features[positives], o.s3_trace)
            signal_users = signal_users + s3(h_users[users], encoder.unit_user_features[users], o.s3_trace)
        return (
            bpr
            + o.inter_weight * inter
            + o.intra_weight * intra
            + o.s3_weight * (signal + o.s3_user_weight * signal_users)
            + o.reg_weight * reg
        )


# ------------------------------------------------------------------------------------------------------------ sampling


class Triples(Dataset):
    """One training pair with a negative drawn per sample, as most public code does."""

    def __init__(self, users, items, n):
        self.users, self.items = users.tolist(), items.tolist()
        self.pool = sorted(set(self.items))
        self.seen = [set() for _ in range(n)]
        for user, item in zip(self.users, self.items):
            self.seen[user].add(item)

    def __len__(self):
        return len(self.users)

    def __getitem__(self, index):
        user = self.users[index]
        negative = random.choice(self.pool)
        while negative in self.seen[user]:
            negative = random.choice(self.pool)
        return user, self.items[index], negative


class VectorisedSampler:
    """A whole epoch of triples with a few tensor operations; rejected negatives are redrawn together."""

    def __init__(self, users, items, q):
        self.users, self.items, self.q = users, items, q
        self.pool = torch.unique(items)
        self.keys = torch.sort(users * q + items).values

    def seen(self, users, items):
        keys = users * self.q + items
        at = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
        return self.keys[at] == keys

    def epoch(self):
        order = torch.randperm(len(self.users))
        users, positives = self.users[order], self.items[order]
        negatives = self.pool[torch.randint(len(self.pool), (len(users),))]
        again = self.seen(users, negatives).nonzero().flatten()
        while len(again):
            negatives[again] = self.pool[torch.randint(len(self.pool), (len(again),))]
            again = again[self.seen(users[again], negatives[again])]
        return users, positives, negatives


# ---------------------------------------------------------------------------------------------------------- evaluation


class FullRanking:
    """Ranks all items for the users with held-out and training items; train items are masked."""

    def __init__(self, train, held_out, n, q, k, block):
        users, items = train
        self.q, self.k, self.block = q, k, block
        order = torch.argsort(users, stable=True)
        self.train_items = items[order]
        self.train_start = F.pad(torch.bincount(users, minlength=n).cumsum(0), (1, 0))
        self.held_out = torch.bincount(held_out[0], minlength=n)
        self.keys = torch.sort(held_out[0] * q + held_out[1]).values
        self.users = ((self.held_out > 0) & (torch.bincount(users, minlength=n) > 0)).nonzero().flatten()
        self.discount = 1.0 / torch.log2(torch.arange(2, k + 2).float())

    @torch.inference_mode()
    def __call__(self, model):
        user_rows, item_rows = model.representations()
        item_columns = item_rows.T
        totals = torch.zeros(4, dtype=torch.float64)
        for users in self.users.split(self.block):
            scores = user_rows[users] @ item_columns
            start, stop = self.train_start[users], self.train_start[users + 1]
            rows = torch.arange(len(users)).repeat_interleave(stop - start)
            offsets = torch.arange(len(rows)) - (F.pad((stop - start).cumsum(0), (1, 0))[:-1] - start)[rows]
            scores[rows, self.train_items[offsets]] = -torch.inf
            best = torch.topk(scores, self.k).indices
            keys = users[:, None] * self.q + best
            at = torch.searchsorted(self.keys, keys).clamp(max=len(self.keys) - 1)
            hits = (self.keys[at] == keys).float()
            wanted = self.held_out[users].float()
            ideal = self.discount.cumsum(0)[wanted.clamp(max=self.k).long() - 1]
            ranks = torch.arange(1, self.k + 1)
            totals[0] += (hits.sum(dim=1) / wanted).sum()
            totals[1] += (hits.sum(dim=1) / self.k).sum()
            totals[2] += ((hits * self.discount).sum(dim=1) / ideal).sum()
            totals[3] += ((hits * hits.cumsum(1) / ranks).sum(dim=1) / wanted.clamp(max=self.k)).sum()
        means = (totals / len(self.users)).tolist()
        return dict(zip((f"{name}@{self.k}" for name in ("recall", "precision", "ndcg", "map")), means))


# ----------------------------------------------------------------------------------------------------------- measuring


def synchronise():
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def timed(function, *arguments):
    synchronise()
    start = time.perf_counter()
    result = function(*arguments)
    synchronise()
    return time.perf_counter() - start, result


class Steps:
    """Times steps one after the other: on the CPU each up to its loss, on a GPU by events, without waiting."""

    def __init__(self, device):
        self.on_gpu, self.times, self.losses, self.events = device == "cuda", [], [], []

    def mark(self):
        self.events.append(torch.cuda.Event(enable_timing=True))
        self.events[-1].record()

    def run(self, step):
        if not self.on_gpu:
            taken, loss = timed(lambda: step().item())
            self.times.append(taken)
            self.losses.append(loss)
            return
        if not self.events:
            self.mark()
        self.losses.append(step())
        self.mark()

    def finish(self):
        if self.on_gpu:
            torch.cuda.synchronize()
            self.times = [a.elapsed_time(b) / 1e3 for a, b in zip(self.events, self.events[1:])]
            self.losses = [loss.item() for loss in self.losses]


def make_optimizer(model, o):
    how = {"fused": {"fused": True}, "foreach": {"foreach": True}, "single": {"foreach": False}}[o.optimizer]
    return torch.optim.Adam(model.parameters(), lr=1e-3, **how)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=["baby"], help="the interactions of baby and generated 4096-d and 384-d features")
    parser.add_argument(
        "--interactions", type=pathlib.Path, help="the .inter file (default $DREAM_DATA/SHAPE/SHAPE.inter), or 'random'"
    )
    parser.add_argument("--features-from", type=pathlib.Path, help="read *_feat.npy there instead of generating features")
    parser.add_argument("--data", type=pathlib.Path, help="a folder with NAME.inter and *_feat.npy")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--frozen", dest="trainable", action="store_false", help="frozen features (default)")
    kind.add_argument("--trainable", dest="trainable", action="store_true", help="trainable modal embeddings")
    parser.set_defaults(trainable=False)
    parser.add_argument("--s3-trace", action="store_true", help="S3 by its expanded trace form")
    parser.add_argument("--factored-user-graph", action="store_true", help="user graph through item-item products")
    parser.add_argument("--product", choices=["transposed", "csr", "coo"], default="transposed", help="sparse products")
    parser.add_argument("--optimizer", choices=["fused", "foreach", "single"], default="fused")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile the loss")
    parser.add_argument("--compile-mode", default="default", help="of torch.compile, such as reduce-overhead")
    parser.add_argument("--skip-graph-timing", action="store_true", help="random neighbours instead of kNN graphs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--knn-k", type=int, default=10)
    parser.add_argument("--user-knn-k", type=int, default=20)
    parser.add_argument("--topk", type=int, default=20)
    parser.add_argument("--block", type=int, help="rows a block in graph building and evaluation (1024; on a GPU 8192)")
    parser.add_argument("--temperature", type=float, default=0.2)
    parser.add_argument("--inter-weight", type=float, default=0.01)
    parser.add_argument("--intra-weight", type=float, default=0.001)
    parser.add_argument("--s3-weight", type=float, default=0.1)
    parser.add_argument("--s3-user-weight", type=float, default=0.1)
    parser.add_argument("--reg-weight", type=float, default=5e-2)
    parser.add_argument("--seed", type=int, default=999)
    o = parser.parse_args()
    if (o.data is None) == (o.shape is None):
        parser.error("give either --shape or --data")
    if o.device == "cuda" and not torch.cuda.is_available():
        sys.exit("dream_torch.py: error: PyTorch sees no GPU here")
    o.block = o.block or (8192 if o.device == "cuda" else 1024)
    return o


def load(o, generate=True):
    """Users, items and labels, their numbers, and features; without `generate` none where the data has none."""
    if o.data:
        path = o.interactions or next(o.data.glob("*.inter"))
        features = read_features(o.features_from or o.data)
    else:
        path = o.interactions or pathlib.Path(os.environ["DREAM_DATA"]) / o.shape / f"{o.shape}.inter"
        features = read_features(o.features_from) if o.features_from else None
    if str(path) == "random":
        users, items, labels = random_interactions()
    else:
        users, items, labels = read_interactions(path)
    n, q = int(users.max()) + 1, int(items.max()) + 1
    if features is None:
        features = generated_features(q) if generate else {}
    q = max([q, *(f.shape[0] for f in features.values())])
    if o.device != "cpu":
        users, items, labels = (column.to(o.device) for column in (users, items, labels))
        features = {name: f.to(o.device) for name, f in features.items()}
    return users, items, labels, n, q, features


def main():
    o = parse_options()
    torch.set_num_threads(o.threads)
    if o.device != "cpu":
        torch.set_default_device(o.device)
    torch.manual_seed(o.seed)
    random.seed(o.seed)
    users, items, labels, n, q, features = load(o)
    train = users[labels == 0], items[labels == 0]
    valid = users[labels == 1], items[labels == 1]
    report = {
        "what": "pytorch " + torch.__version__,
        "data": o.shape or o.data.name,
        "device": torch.cuda.get_device_name() if o.device == "cuda" else "cpu",
        "users": n,
        "items": q,
        "train": len(train[0]),
        "features": {name: list(f.shape) for name, f in features.items()},
        "trainable": o.trainable,
        "threads": o.threads,
        "product": o.product,
        "optimizer": o.optimizer,
        "s3_trace": o.s3_trace,
        "factored_user_graph": o.factored_user_graph,
        "compiled": o.compile_mode if o.compile else False,
        "resident_mib_after_import": RESIDENT_AFTER_IMPORT,
        "resident_mib_after_data": resident_mib(),
    }

    seconds = {"interactions": 0.0, "item_graphs": 0.0, "user_graphs": 0.0}
    used = time.process_time()

    def interaction_graphs():
        return (
            Graph(bipartite(*train, n, q), o.product),
            Graph(normalised_interactions(*train, n, q), o.product),
            csr(*train, 1.0 / torch.bincount(train[0], minlength=n)[train[0]].float(), (n, q)),
        )

    seconds["interactions"], (adjacency, interactions, mean_interactions) = timed(interaction_graphs)

    def random_graph(count, k):
        return normalised_knn(torch.rand(count, k), torch.randint(count, (count, k)))

    encoders = []
    for name in list(features):
        unit = F.normalize(features.pop(name))
        taken, user_features = timed(lambda: mean_interactions @ unit)
        seconds["user_graphs"] += taken
        lengths = user_features.norm(dim=1)
        unit_users = F.normalize(user_features)
        del user_features

        def build_items():
            graph = random_graph(q, o.knn_k) if o.skip_graph_timing else knn_graph(unit, o.knn_k, o.block)
            return Graph(graph, o.product)

        def build_users():
            if o.skip_graph_timing:
                return Graph(random_graph(n, o.user_knn_k), o.product)
            if o.factored_user_graph:
                graph = factored_user_graph(mean_interactions, unit @ unit.T, lengths, o.user_knn_k, o.block)
                return Graph(graph, o.product)
            return Graph(knn_graph(unit_users, o.user_knn_k, o.block), o.product)

        with torch.inference_mode(False), torch.no_grad():
            taken, item_graph = timed(build_items)
            seconds["item_graphs"] += taken
            taken, user_graph = timed(build_users)
            seconds["user_graphs"] += taken
        encoders.append(ModalEncoder(unit, unit_users, item_graph, user_graph, o.dim, o.trainable))
        del unit, unit_users
    report["graph_seconds"] = seconds | {"processor": time.process_time() - used}
    report["peak_mib_after_graphs"] = peak_mib()

    def dataloader_epoch():
        with torch.device("cpu"):
            loader = DataLoader(Triples(*train, n), batch_size=o.batch, shuffle=True, num_workers=0)
            taken, _ = timed(lambda: sum(1 for _ in loader))
        return taken

    sampler = VectorisedSampler(*train, q)
    report["sampling_seconds"] = {
        "dataloader": dataloader_epoch(),
        "vectorised": statistics.median(timed(sampler.epoch)[0] for _ in range(5)),
    }

    model = Dream(n, q, adjacency, interactions, encoders, o)
    optimizer = make_optimizer(model, o)
    loss_of = torch.compile(model.loss, mode=o.compile_mode) if o.compile else model.loss
    model.train()
    batches = list(zip(*(column.split(o.batch) for column in sampler.epoch())))
    if o.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    steps, used = Steps(o.device), time.process_time()
    for step in range(o.warmup + o.steps):
        batch = batches[step % max(1, len(batches) - 1)]  # full batches only

        def one_step():
            optimizer.zero_grad(set_to_none=True)
            loss = loss_of(*batch)
            loss.backward()
            optimizer.step()
            return loss.detach().clone()  # a replayed graph writes its outputs again

        steps.run(one_step)
        if step + 1 == o.warmup:
            used = time.process_time()
    steps.finish()
    times, losses = steps.times[o.warmup :], steps.losses
    used = (time.process_time() - used) / o.steps
    report["step_seconds"] = {"median": statistics.median(times), "min": min(times), "max": max(times), "processor": used}
    report["loss"] = {"first": losses[0], "last": losses[-1]}
    if o.device == "cuda":
        report["device_mib"] = {
            "peak": torch.cuda.max_memory_allocated() / 2**20,
            "peak_reserved": torch.cuda.max_memory_reserved() / 2**20,
        }
    report["peak_mib_after_training"] = peak_mib()

    model.eval()
    ranking = FullRanking(train, valid, n, q, o.topk, o.block)
    used = time.process_time()
    taken = [timed(ranking, model) for _ in range(3)]
    report["evaluation_seconds"] = {
        "median": statistics.median(t for t, _ in taken),
        "min": min(t for t, _ in taken),
        "processor": (time.process_time() - used) / len(taken),
    }
    report["evaluation_users"] = len(ranking.users)
    report["valid"] = taken[-1][1]
    report["peak_mib"] = peak_mib()
    json.dump(report, sys.stdout)
    print()


if __name__ == "__main__":
    main()
