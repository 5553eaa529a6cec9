"""Writes tests/golden/cases/*.json from reference.py; `--check` compares with the committed files instead.

    python3 tests/golden/generate.py [--check]
"""

import argparse
import json
import math
import pathlib

import torch

import reference as ref

FOLDER = pathlib.Path(__file__).parent / "cases"
CUTOFFS = (5, 10)

# ------------------------------------------------------------------------------------------------------ making inputs


def draw(generator, *shape, scale=1.0):
    """Normal numbers rounded to four decimals: short in JSON and read back exactly."""
    return torch.round(torch.randn(*shape, generator=generator) * scale, decimals=4)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def with_zero_rows(matrix, *rows):
    matrix = matrix.clone()
    matrix[list(rows)] = 0.0
    return matrix


# User 4 has the single item 3, which lacks the image; user 7 has no training item. Item 6 lacks the text (and the
# audio), item 8 lacks every modality, item 9 has features and no training interaction.
TRAIN = [[0, 1, 2, 4], [1, 2, 5], [0, 3, 5, 7], [2, 4, 6, 8], [3], [1, 5, 6, 7], [0, 6, 7, 8], []]
ITEMS, DIM = 10, 5
BATCH = {
    "users": [0, 0, 1, 2, 4, 5, 3, 6],
    "positives": [1, 4, 1, 3, 3, 6, 8, 7],
    "negatives": [3, 5, 0, 6, 0, 8, 3, 2],
}


def interactions(items_of_users=TRAIN):
    matrix = torch.zeros(len(items_of_users), ITEMS)
    for user, items in enumerate(items_of_users):
        matrix[user, items] = 1.0
    return matrix


def raw_features(names, complete=False):
    sizes = {"image": (6, 11, (3, 8)), "text": (4, 12, (6, 8)), "audio": (3, 13, (6, 8))}
    made = {}
    for name in names:
        columns, seed, missing = sizes[name]
        # The shift keeps row sums of the kNN graphs positive, as real features do.
        matrix = draw(seeded(seed), ITEMS, columns) + 0.4
        matrix = torch.round(matrix * 4096) / 4096  # exact in float32, which data sets hold
        made[name] = matrix if complete else with_zero_rows(matrix, *missing)
    return made


DEFAULTS = {
    "embedding_size": DIM,
    "n_ui_layers": 2,
    "n_mm_layers": 1,
    "knn_k": 4,
    "user_knn_k": 3,
    "feature_normalization": "row",
    "train_features": True,
    "gate": "id",
    "item_graph": "knn",
    "user_graph": "knn",
    "modality_weights": "equal",
    "modality_weight_values": [],
    "modal_weight": 1.0,
    "temperature": 0.2,
    "inter_weight": 0.3,
    "inter_directions": "one",
    "intra": "moments",
    "intra_weight": 0.2,
    "s3_weight": 0.5,
    "s3_user_weight": 0.4,
    "s3_form": "cosine",
    "s3_root": False,
    "reg_weight": 0.05,
    "behaviour_line": True,
    "modal_line": True,
    "train_batch_size": 8,
}

# file stem: (changed keys, modalities in alphabetical order, whether every item has every modality)
BOTH = ("image", "text")
DREAM_CASES = {
    "default": ({}, BOTH, False),
    "complete_features": ({}, BOTH, True),
    "frozen": ({"train_features": False}, BOTH, False),
    "gate_self": ({"gate": "self"}, BOTH, False),
    "gate_self_frozen": ({"gate": "self", "train_features": False}, BOTH, False),
    "gate_none": ({"gate": "none"}, BOTH, False),
    "features_none": ({"feature_normalization": "none"}, BOTH, False),
    "features_standard": ({"feature_normalization": "standard", "knn_k": 3}, BOTH, False),
    "item_graph_binary": ({"item_graph": "binary"}, BOTH, False),
    "item_graph_none": ({"item_graph": "none"}, BOTH, False),
    "user_graph_cooccurrence": ({"user_graph": "cooccurrence"}, BOTH, False),
    "user_graph_none": ({"user_graph": "none"}, BOTH, False),
    "no_graphs": ({"item_graph": "none", "user_graph": "none"}, BOTH, False),
    "weights_given": ({"modality_weights": "given", "modality_weight_values": [0.1, 0.9]}, BOTH, False),
    "weights_learned": ({"modality_weights": "learned"}, BOTH, False),
    "modal_weight": ({"modal_weight": 0.3}, BOTH, False),
    "s3_dot": ({"s3_form": "dot"}, BOTH, False),
    "s3_root": ({"s3_root": True}, BOTH, False),
    "s3_dot_root": ({"s3_form": "dot", "s3_root": True}, BOTH, False),
    "s3_items_only": ({"s3_user_weight": 0.0}, BOTH, False),
    "s3_off": ({"s3_weight": 0.0}, BOTH, False),
    "intra_none": ({"intra": "none"}, BOTH, False),
    "intra_pairs": ({"intra": "pairs"}, BOTH, False),
    "intra_modalities": ({"intra": "modalities"}, BOTH, False),
    "inter_both": ({"inter_directions": "both"}, BOTH, False),
    "inter_temperature": ({"temperature": 0.7}, BOTH, False),
    "behaviour_line_off": ({"behaviour_line": False}, BOTH, False),
    "behaviour_line_off_pairs": ({"behaviour_line": False, "intra": "pairs"}, BOTH, False),
    "modal_line_off": ({"modal_line": False}, BOTH, False),
    "modal_line_off_pairs": ({"modal_line": False, "intra": "pairs"}, BOTH, False),
    "ui_layers_0": ({"n_ui_layers": 0}, BOTH, False),
    "ui_layers_1": ({"n_ui_layers": 1}, BOTH, False),
    "ui_layers_3": ({"n_ui_layers": 3}, BOTH, False),
    "mm_layers_2": ({"n_mm_layers": 2}, BOTH, False),
    "one_modality": ({}, ("text",), False),
    "three_modalities": ({"intra": "modalities", "modality_weights": "learned"}, ("audio", "image", "text"), False),
    "short_batch": ({"train_batch_size": 20}, BOTH, False),
    "wide_graphs": ({"knn_k": 7, "user_knn_k": 7}, BOTH, False),
    "plain": (
        {"inter_weight": 0.0, "intra": "none", "s3_weight": 0.0, "reg_weight": 0.0, "gate": "none", "item_graph": "none"},
        BOTH,
        False,
    ),
}


def dream_parameters(config, raw):
    n, d = len(TRAIN), config["embedding_size"]
    made = {"user_embedding": draw(seeded(1), n, d, scale=0.6), "item_embedding": draw(seeded(2), ITEMS, d, scale=0.6)}
    if not config["modal_line"]:
        return made
    for m, name in enumerate(raw):
        g = seeded(20 + m)
        columns = raw[name].shape[1]
        if config["train_features"]:
            start = ref.normalise_features(raw[name], config["feature_normalization"])
            moved = torch.round(start + draw(g, *start.shape, scale=0.05), decimals=4)
            made[f"{name}.features"] = torch.where(ref.has_modality(raw[name])[:, None], moved, torch.zeros(()))
        made[f"{name}.weight"] = draw(g, columns, d, scale=0.7)
        made[f"{name}.bias"] = draw(g, 1, d, scale=0.2)
        if config["gate"] != "none":
            made[f"{name}.gate_weight"] = draw(g, d, d, scale=0.7)
            made[f"{name}.gate_bias"] = draw(g, 1, d, scale=0.2)
    if config["modality_weights"] == "learned":
        made["modality_logits"] = draw(seeded(30), 1, len(raw), scale=0.8)
    return made


# ------------------------------------------------------------------------------------------------------ writing cases


def number(x):
    x = float(x)
    if not math.isfinite(x):
        raise ValueError("not a finite number")
    return int(x) if x == int(x) and abs(x) < 1e15 else x


def matrix(x):
    """Scalars become 1 x 1 and vectors 1 x size; doubles keep their shortest exact decimal form."""
    x = torch.as_tensor(x).detach()
    x = x.reshape(1, -1) if x.dim() < 2 else x
    return {"shape": list(x.shape), "data": [number(v) for v in x.flatten().tolist()]}


def case(config, inputs, outputs, gradients=None):
    return {
        "config": config,
        "inputs": {name: matrix(value) for name, value in inputs.items()},
        "outputs": {name: matrix(value) for name, value in outputs.items()},
        "gradients": {name: matrix(value) for name, value in (gradients or {}).items()},
    }


def autograd_gradients(function, inputs):
    leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    grads = torch.autograd.grad(function(leaves), list(leaves.values()), allow_unused=True)
    return {name: torch.zeros_like(leaves[name]) if g is None else g for name, g in zip(leaves, grads)}


def gradients_of(function, inputs):
    """Gradients of a scalar function of named tensors, checked along a random direction by central differences."""
    found = autograd_gradients(function, inputs)
    generator, step = seeded(99), 1e-6
    # A zero row is left alone: the cosine is not differentiable there and its gradient is zero by definition.
    direction = {
        name: torch.randn(value.shape, generator=generator)
        * (value.reshape(-1, value.shape[-1]) != 0).any(dim=1).reshape(value.shape[:-1] + (1,))
        for name, value in inputs.items()
    }
    with torch.no_grad():
        ahead = function({name: value + step * direction[name] for name, value in inputs.items()})
        behind = function({name: value - step * direction[name] for name, value in inputs.items()})
    numeric = float(ahead - behind) / (2 * step)
    exact = float(sum((found[name] * direction[name]).sum() for name in inputs))
    if abs(numeric - exact) > 1e-6 * max(1.0, abs(exact)):
        raise AssertionError(f"gradient {exact} against difference {numeric}")
    return found


def op_case(config, variables, constants, function):
    """Output and gradients of one op; a matrix output is weighted by the input `upstream` to a scalar."""
    result = function(variables)
    inputs = {**variables, **constants}
    if result.dim() == 0:
        return case(config, inputs, {"out": result}, gradients_of(function, variables))
    upstream = draw(seeded(77), *result.shape)
    inputs["upstream"] = upstream
    return case(config, inputs, {"out": result}, gradients_of(lambda v: (function(v) * upstream).sum(), variables))


def assert_clear_choice(features, k):
    """No cosine just inside the k largest may be nearly tied with one just outside, unless both are exactly equal."""
    values = ref.cosines(features, features)
    for i in range(len(values)):
        ordered = sorted((float(v) for v in values[i]), reverse=True)
        if k < len(ordered) and ordered[k - 1] != ordered[k]:
            assert ordered[k - 1] - ordered[k] > 1e-6, (i, ordered)


# ------------------------------------------------------------------------------------------------------ the op cases


def op_cases():
    g = seeded(3)
    x, y = with_zero_rows(draw(g, 6, 5), 2), with_zero_rows(draw(g, 6, 5), 4)
    x[5], y[5] = x[0], y[0]  # a duplicated entity
    full_x, full_y = draw(g, 6, 5), draw(g, 6, 5)
    yield "row_normalise", op_case({"op": "row_normalise"}, {"x": x}, {}, lambda v: ref.row_normalise(v["x"]))
    yield "cosines", op_case({"op": "cosines"}, {"x": x, "y": y}, {}, lambda v: ref.cosines(v["x"], v["y"]))

    for name, tau, directions, pair in (
        ("one", 0.2, "one", (full_x, full_y)),
        ("both", 0.2, "both", (full_x, full_y)),
        ("zero_rows", 0.2, "one", (x, y)),
        ("zero_rows_both", 0.2, "both", (x, y)),
        ("tau_05", 0.5, "one", (x, y)),
        ("tau_005", 0.05, "one", (x, y)),
        ("single_row", 0.2, "both", (full_x[:1], full_y[:1])),
    ):
        config = {"op": "info_nce", "temperature": tau, "inter_directions": directions}
        function = lambda v, tau=tau, directions=directions: ref.info_nce(v["x"], v["y"], tau, directions)
        yield f"info_nce_{name}", op_case(config, {"x": pair[0], "y": pair[1]}, {}, function)

    h, f = with_zero_rows(draw(g, 7, 5), 3), with_zero_rows(draw(g, 7, 4), 3)
    h[6], f[6] = h[1], f[1]
    for form in ("cosine", "dot"):
        for root in (False, True):
            config = {"op": "s3", "s3_form": form, "s3_root": root}
            function = lambda v, form=form, root=root: ref.s3(v["h"], f, form, root)
            yield f"s3_{form}{'_root' if root else ''}", op_case(config, {"h": h}, {"features": f}, function)

    yield "intra_pairs", op_case(
        {"op": "pairs"}, {"users": x, "items": y}, {}, lambda v: ref.pair_distance(v["users"], v["items"])
    )
    for name, rows in (("", 6), ("_single_row", 1)):
        yield f"intra_moments{name}", op_case(
            {"op": "moments"}, {"x": x[:rows], "y": y[:rows]}, {}, lambda v: ref.moment_distance(v["x"], v["y"])
        )

    u, p, j = draw(g, 6, 5), draw(g, 6, 5), draw(g, 6, 5)
    u[0], p[0], j[0] = u[0] * 20, p[0] * 20, j[0] * 20  # a difference far outside the sigmoid's middle
    ranking = {"users": u, "positives": p, "negatives": j}
    yield "bpr", op_case(
        {"op": "bpr"}, ranking, {}, lambda v: ref.bpr(v["users"], v["positives"], v["negatives"])
    )
    yield "l_reg", op_case(
        {"op": "l_reg", "train_batch_size": 10},
        ranking,
        {},
        lambda v: ref.l_reg(v["users"], v["positives"], v["negatives"], 10),
    )
    yield "norm_reg", op_case(
        {"op": "norm_reg"}, ranking, {}, lambda v: ref.norm_reg(v["users"], v["positives"], v["negatives"])
    )

    gate_inputs = {
        "z": draw(g, 7, 4),
        "weight": draw(g, 4, 5),
        "bias": draw(g, 1, 5),
        "gate_weight": draw(g, 5, 5),
        "gate_bias": draw(g, 1, 5),
        "item_embedding": draw(g, 7, 5),
    }
    used = {"id": list(gate_inputs), "self": list(gate_inputs)[:5], "none": list(gate_inputs)[:3]}
    for form, names in used.items():
        function = lambda v, form=form: ref.filter_gate(
            form,
            v["z"],
            v["weight"],
            v["bias"],
            v.get("gate_weight"),
            v.get("gate_bias"),
            v.get("item_embedding"),
        )
        variables = {name: gate_inputs[name] for name in names}
        yield f"filter_gate_{form}", op_case({"op": "filter_gate", "gate": form}, variables, {}, function)

    r = interactions()
    users, items = draw(g, len(TRAIN), DIM), draw(g, ITEMS, DIM)
    for layers in range(4):
        function = lambda v, layers=layers: torch.cat(
            ref.propagate_behaviour(r, v["user_embedding"], v["item_embedding"], layers)
        )
        yield f"bipartite_layers_{layers}", op_case(
            {"op": "bipartite", "n_ui_layers": layers},
            {"user_embedding": users, "item_embedding": items},
            {"R": r},
            function,
        )
    yield "normalised_interactions", case(
        {"op": "normalised_interactions"}, {"R": r}, {"out": ref.normalised_interactions(r)}
    )

    features = with_zero_rows(draw(g, 12, 5), 4, 9)
    for name, k in (("k3", 3), ("k7", 7), ("k50", 50)):
        assert_clear_choice(features, k)
        for binary in (False, True):
            yield f"knn_graph_{'binary' if binary else 'cosine'}_{name}", case(
                {"op": "knn_graph", "item_graph": "binary" if binary else "knn", "knn_k": k},
                {"features": features},
                {"out": ref.knn_graph(features, k, binary)},
            )
    # Every norm here is a power of two, so cosines are exactly 0, 0.5 or 1 and equal ones tie exactly.
    rows = [[0, 1, 0, 0], [1, 1, 1, 1], [2, 0, 0, 0], [0, 4, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    rows += [[0, 0, 1, 0], [4, 0, 0, 0], [2, 2, 2, 2], [1, 0, 0, 0], [1, 1, -1, -1]]
    ties = torch.tensor(rows, dtype=torch.float64)
    for binary in (False, True):
        yield f"knn_graph_{'binary' if binary else 'cosine'}_ties", case(
            {"op": "knn_graph", "item_graph": "binary" if binary else "knn", "knn_k": 3},
            {"features": ties},
            {"out": ref.knn_graph(ties, 3, binary)},
        )

    for how in ("row", "none"):
        f = ref.normalise_features(raw_features(("image",))["image"], how)
        f_u = ref.user_features(r, f)
        assert_clear_choice(f_u, 3)
        yield f"user_knn_graph_{how}", case(
            {"op": "user_knn_graph", "feature_normalization": how, "user_knn_k": 3},
            {"R": r, "features": f},
            {"user_features": f_u, "out": ref.knn_graph(f_u, 3)},
        )
    for k in (1, 3, 50):
        yield f"cooccurrence_graph_k{k}", case(
            {"op": "cooccurrence_graph", "user_knn_k": k}, {"R": r}, {"out": ref.cooccurrence_graph(r, k)}
        )

    f = raw_features(("image",))["image"]
    present = ref.has_modality(f)
    h = draw(g, ITEMS, DIM)
    for item_graph, layers, user_graph in (
        ("knn", 1, "knn"),
        ("knn", 2, "knn"),
        ("binary", 1, "cooccurrence"),
        ("none", 1, "none"),
    ):
        s = None if item_graph == "none" else ref.knn_graph(f, 4, item_graph == "binary")
        t = {
            "knn": ref.knn_graph(ref.user_features(r, f), 3),
            "cooccurrence": ref.cooccurrence_graph(r, 3),
            "none": None,
        }[user_graph]

        def propagate(v, s=s, t=t, layers=layers):
            h_items = ref.propagate_items(s, v["h"], present, layers)
            return torch.cat([ref.propagate_users(t, r, h_items), h_items])

        constants = {"R": r, "features": f}
        constants.update({key: graph for key, graph in (("S", s), ("T", t)) if graph is not None})
        yield f"modal_propagation_{item_graph}_{user_graph}_{layers}", op_case(
            {
                "op": "modal_propagation",
                "item_graph": item_graph,
                "user_graph": user_graph,
                "n_mm_layers": layers,
                "knn_k": 4,
                "user_knn_k": 3,
            },
            {"h": h},
            constants,
            propagate,
        )

    masks = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 0], [0, 1, 1]], dtype=torch.float64)
    parts = {f"h{m}": draw(g, 6, 5) for m in range(3)}
    logits = draw(g, 1, 3)
    for how in ("equal", "given", "learned"):
        variables = {**parts, "modality_logits": logits} if how == "learned" else parts
        config = {"op": "modality_weights", "modality_weights": how, "modality_weight_values": []}
        if how == "given":
            config["modality_weight_values"] = [0.1, 0.6, 0.3]

        def fuse(v, how=how):
            a = {"equal": torch.full((3,), 1 / 3), "given": torch.tensor([0.1, 0.6, 0.3])}.get(how)
            a = torch.softmax(v["modality_logits"].flatten(), dim=0) if a is None else a
            return ref.weighted_sum(a, masks, [v[f"h{m}"] for m in range(3)])

        yield f"modality_weights_{how}", op_case(config, variables, {"present": masks}, fuse)

    raw = with_zero_rows(draw(g, 9, 4) * 3 + 1, 5)
    raw[:, 2] = torch.where(ref.has_modality(raw), 0.7, 0.0)  # a column that is constant over the items that have it
    for how in ("row", "none", "standard"):
        yield f"normalise_features_{how}", case(
            {"op": "normalise_features", "feature_normalization": how},
            {"raw": raw},
            {"out": ref.normalise_features(raw, how)},
        )

    theta = draw(g, 1, 6)
    steps = [draw(g, 1, 6) for _ in range(3)]
    steps[1][0, 2] = steps[0][0, 2] = steps[2][0, 2] = 0.0  # a coordinate that never gets a gradient
    steps[0][0, 3] = 1e-9  # small enough for epsilon to matter
    result = ref.adam(theta, steps, 1e-3, 0.9, 0.999, 1e-8)
    yield "adam", case(
        {"op": "adam", "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
        {"theta": theta, **{f"gradient{t}": s for t, s in enumerate(steps, start=1)}},
        {
            f"{name}{t}": value
            for t, found in enumerate(result, start=1)
            for name, value in zip(("theta", "m", "v"), found)
        },
    )


def metric_cases():
    g = seeded(41)
    users, items = 14, 30
    labels = torch.rand(users, items, generator=g)
    train, held_out = (labels < 0.2).double(), ((labels >= 0.2) & (labels < 0.36)).double()
    valid = ((labels >= 0.36) & (labels < 0.45)).double()
    held_out[3] = 0.0  # nothing held out
    train[5] = 0.0  # held out, but nothing to train on
    train[7], held_out[7] = 0.0, 0.0
    train[8], held_out[8] = 1.0, 0.0
    train[8, 11:14], held_out[8, 12] = 0.0, 1.0  # three items left to rank: fewer than k
    held_out[9] = 0.0
    held_out[9, int((train[9] == 0).nonzero()[0])] = 1.0
    valid = valid * (1 - train) * (1 - held_out)
    distinct = draw(g, users, items)
    tied = torch.round(distinct * 2) / 2
    tied[2] = 0.25  # one score for every item
    for name, scores in (("distinct", distinct), ("ties", tied)):
        for mask_valid in (False, True):
            masked = train + valid if mask_valid else train
            arrays = [m.tolist() for m in (scores, train, held_out, masked)]
            metrics = ref.ranking_metrics(*arrays, CUTOFFS)
            top = torch.full((users, 10), -1.0)
            for u in range(users):
                best = ref.ranked_items(arrays[0][u], arrays[3][u])[:10]
                top[u, : len(best)] = torch.tensor([float(i) for i in best])
            yield f"metrics_{name}{'_mask_valid' if mask_valid else ''}", case(
                {"op": "metrics", "topk": list(CUTOFFS), "mask": "train_and_valid" if mask_valid else "train"},
                {"scores": scores, "train": train, "valid": valid, "held_out": held_out},
                {**metrics, "top10": top},
            )


# ----------------------------------------------------------------------------------------------------- the model cases


def dream_case(name):
    changes, modalities, complete = DREAM_CASES[name]
    config = {**DEFAULTS, **changes}
    raw, r = raw_features(modalities, complete), interactions()
    parameters = dream_parameters(config, raw)
    batch = [torch.tensor(BATCH[key]) for key in ("users", "positives", "negatives")]
    for matrix_ in raw.values():
        f = ref.normalise_features(matrix_, config["feature_normalization"])
        f_u = ref.user_features(r, f)
        assert_clear_choice(f, config["knn_k"])
        assert_clear_choice(f_u, config["user_knn_k"])
        if config["modal_line"]:  # an item or user has the modality exactly where its graph row is not empty
            s, t = ref.knn_graph(f, config["knn_k"]), ref.knn_graph(f_u, config["user_knn_k"])
            assert torch.equal((s != 0).any(dim=1), ref.has_modality(f))
            assert torch.equal((t != 0).any(dim=1), ref.has_modality(f_u))
    result = ref.dream(config, r, raw, parameters, *batch)
    gradients = gradients_of(lambda v: ref.dream(config, r, raw, v, *batch)["total"], parameters)
    wanted = ["bpr", "inter", "intra", "s3", "s3_users", "reg", "total", "E.users", "E.items"]
    if name in ("default", "three_modalities"):
        wanted += ["E_B.users", "E_B.items", "E_M.users", "E_M.items"]
        wanted += [f"{graph}.{m}" for m in raw for graph in ("S", "T")]
    if name == "three_modalities":
        wanted += [f"H.{m}" for m in raw] + ["weights"]
    inputs = {"R": r, **{f"raw.{m}": value for m, value in raw.items()}, **parameters, **BATCH}
    return case(config, inputs, {key: result[key] for key in wanted}, gradients)


def baseline_cases():
    r = interactions()
    parameters = dream_parameters({**DEFAULTS, "modal_line": False}, {})
    batch = [torch.tensor(BATCH[key]) for key in ("users", "positives", "negatives")]
    for name, config, function in (
        ("lightgcn", {"n_ui_layers": 2, "reg_weight": 0.05, "train_batch_size": 20}, ref.lightgcn),
        ("lightgcn_layers_3", {"n_ui_layers": 3, "reg_weight": 0.01, "train_batch_size": 8}, ref.lightgcn),
        ("mf_bpr", {"reg_weight": 0.05, "train_batch_size": 8}, lambda c, _, *rest: ref.mf_bpr(c, *rest)),
        ("mf_bpr_short_batch", {"reg_weight": 0.05, "train_batch_size": 20}, lambda c, _, *rest: ref.mf_bpr(c, *rest)),
    ):
        config = {"embedding_size": DIM, **config}
        result = function(config, r, parameters, *batch)
        gradients = gradients_of(lambda v: function(config, r, v, *batch)["total"], parameters)
        yield name, case(config, {"R": r, **parameters, **BATCH}, result, gradients)


# Fewer interactions for FREEDOM's loss: users and items of the batch lose every one of theirs.
PRUNED = {
    "default": [[1, 4], [2], [0, 7], [4, 8], [], [1, 5, 6], [7], []],
    "sparse": [[0], [1, 5], [], [2, 6], [3], [5], [0, 8], []],
    "all": TRAIN,
}

VBPR_DEFAULTS = {"embedding_size": DIM, "feature_normalization": "row", "reg_weight": 0.05}
BM3_DEFAULTS = {
    "embedding_size": DIM,
    "feature_normalization": "row",
    "n_ui_layers": 1,
    "cl_weight": 2.0,
    "reg_weight": 0.1,
}
FREEDOM_DEFAULTS = {
    "embedding_size": DIM,
    "feature_normalization": "row",
    "n_ui_layers": 2,
    "n_mm_layers": 1,
    "knn_k": 4,
    "modality_weight_values": [0.1, 0.9],
    "reg_weight": 0.3,
}
MGCN_DEFAULTS = {
    "embedding_size": DIM,
    "feature_normalization": "row",
    "n_ui_layers": 2,
    "n_mm_layers": 1,
    "knn_k": 4,
    "temperature": 0.2,
    "cl_weight": 0.3,
    "reg_weight": 0.05,
    "train_batch_size": 8,
}

# Temperature and weights differ from the models' own, so that none can stand in for another.
ALIGNMENT = {
    "temperature": 0.4,
    "inter_weight": 0.6,
    "inter_directions": "one",
    "intra": "moments",
    "intra_weight": 0.35,
}
PAIRS = {**ALIGNMENT, "inter_directions": "both", "intra": "pairs"}

# file stem: (changed keys, modalities in alphabetical order, whether every item has every modality)
ALL = ("audio", "image", "text")
VBPR_CASES = {
    "vbpr": ({}, BOTH, False),
    "vbpr_three_modalities": ({"reg_weight": 0.2}, ALL, False),
    "vbpr_features_standard": ({"feature_normalization": "standard"}, ("text",), False),
    "aligned_vbpr": ({"alignment": ALIGNMENT}, BOTH, False),
    "aligned_vbpr_pairs": ({"alignment": PAIRS}, BOTH, False),
}
BM3_CASES = {
    "bm3": ({}, BOTH, False),
    "bm3_complete_features": ({"n_ui_layers": 2, "cl_weight": 0.7}, BOTH, True),
    "bm3_three_modalities": ({"n_ui_layers": 3, "reg_weight": 0.5}, ALL, False),
    "bm3_ui_layers_0": ({"n_ui_layers": 0}, ("text",), False),
    "bm3_dropout": ({"dropout": 0.3, "seed": 2**35 + 7, "step": 3}, BOTH, False),
    "aligned_bm3": ({"alignment": ALIGNMENT}, ALL, False),
    "frozen_bm3": ({"train_features": False}, BOTH, False),
}
# The last entry names the interactions that are left for the loss.
FREEDOM_CASES = {
    "freedom": ({}, BOTH, False, "default"),
    "freedom_three_modalities": (
        {"modality_weight_values": [0.2, 0.5, 0.6], "n_ui_layers": 1, "n_mm_layers": 2, "knn_k": 3},
        ALL,
        False,
        "sparse",
    ),
    "freedom_not_pruned": ({"n_ui_layers": 3}, BOTH, True, "all"),
    "aligned_freedom": ({"n_mm_layers": 2, "alignment": ALIGNMENT}, BOTH, False, "default"),
    "frozen_freedom": ({"train_features": False}, BOTH, False, "default"),
}
MGCN_CASES = {
    "mgcn": ({}, BOTH, False),
    "mgcn_three_modalities": ({"n_ui_layers": 3, "n_mm_layers": 2}, ALL, False),
    "mgcn_complete_features": ({"n_ui_layers": 1, "knn_k": 3, "train_batch_size": 20}, BOTH, True),
    "mgcn_one_modality": ({"n_ui_layers": 0, "temperature": 0.5}, ("text",), False),
    "aligned_mgcn": ({"alignment": ALIGNMENT}, BOTH, False),
    "aligned_mgcn_pairs": ({"alignment": PAIRS}, BOTH, False),
    "frozen_mgcn": ({"train_features": False}, BOTH, False),
}
# The cases that also hold both domains and the modalities' parts.
DIAGNOSED = ("vbpr", "bm3", "freedom_three_modalities", "mgcn")


def embeddings(user_columns=DIM):
    return {
        "user_embedding": draw(seeded(1), len(TRAIN), user_columns, scale=0.6),
        "item_embedding": draw(seeded(2), ITEMS, DIM, scale=0.6),
    }


def modal_embeddings(config, raw):
    """Z_m, unless frozen, W_m and b_m of each modality; rows of Z_m without features are zero, drawn where three."""
    made = {}
    for m, name in enumerate(raw):
        g = seeded(60 + m)
        start = ref.normalise_features(raw[name], config["feature_normalization"])
        z = torch.round(start + draw(g, *start.shape, scale=0.05), decimals=4)
        missing = ~ref.has_modality(raw[name])
        z[missing] = draw(g, int(missing.sum()), z.shape[1], scale=0.3) if len(raw) == 3 else 0.0
        if config.get("train_features", True):
            made[f"{name}.features"] = z
        made[f"{name}.weight"] = draw(g, z.shape[1], DIM, scale=0.7)
        made[f"{name}.bias"] = draw(g, 1, DIM, scale=0.2)
    return made


def layer(name, seed, weight="weight", bias="bias"):
    g = seeded(seed)
    return {f"{name}.{weight}": draw(g, DIM, DIM, scale=0.7), f"{name}.{bias}": draw(g, 1, DIM, scale=0.2)}


def assert_usable_graphs(config, raw):
    """No nearly tied neighbours, and graph rows that are empty exactly where the item lacks the modality."""
    for value in raw.values():
        f = ref.normalise_features(value, config["feature_normalization"])
        assert_clear_choice(f, config["knn_k"])
        assert torch.equal((ref.knn_graph(f, config["knn_k"]) != 0).any(dim=1), ref.has_modality(f))


def assert_each_gradient(function, inputs, found, without_effect=()):
    """Each gradient by itself against a central difference; it is zero exactly for the inputs named last."""
    for m, (name, value) in enumerate(inputs.items()):
        direction, step = torch.randn(value.shape, generator=seeded(200 + m)), 1e-5
        with torch.no_grad():
            ahead, behind = (function({**inputs, name: value + s * direction}) for s in (step, -step))
        numeric, exact = float(ahead - behind) / (2 * step), float((found[name] * direction).sum())
        assert abs(numeric - exact) <= 1e-8 * max(1.0, abs(exact)), (name, exact, numeric)
        assert (float(found[name].abs().max()) < 1e-14) == (name in without_effect), name


def other_model_case(
    name, config, raw, parameters, function, constants=None, function_for_gradients=None, without_effect=()
):
    result, r = function(parameters), interactions()
    if name not in DIAGNOSED:
        result = {key: value for key, value in result.items() if not key.startswith(("E_B.", "E_M.", "H.", "weights"))}
    scalar = function_for_gradients or function
    gradients = gradients_of(lambda v: scalar(v)["total"], parameters)
    assert_each_gradient(lambda v: scalar(v)["total"], parameters, gradients, without_effect)
    inputs = {"R": r, **{f"raw.{m}": value for m, value in raw.items()}, **(constants or {}), **parameters, **BATCH}
    return case(config, inputs, result, gradients)


def other_model_cases():
    r = interactions()
    users, positives, negatives = (torch.tensor(BATCH[key]) for key in ("users", "positives", "negatives"))

    for name, (changes, modalities, complete) in VBPR_CASES.items():
        config, raw = {**VBPR_DEFAULTS, **changes}, raw_features(modalities, complete)
        parameters = embeddings(2 * DIM)
        for m, (modality, value) in enumerate(raw.items()):
            parameters[f"{modality}.weight"] = draw(seeded(60 + m), value.shape[1], DIM, scale=0.7)
        parameters["feature_bias"] = draw(seeded(70), 1, DIM, scale=0.2)
        yield name, other_model_case(
            name,
            config,
            raw,
            parameters,
            lambda v, c=config, raw=raw: ref.vbpr(c, r, raw, v, users, positives, negatives),
        )

    for name, (changes, modalities, complete) in BM3_CASES.items():
        config, raw = {**BM3_DEFAULTS, **changes}, raw_features(modalities, complete)
        parameters = {**embeddings(), **modal_embeddings(config, raw), **layer("predictor", 71)}

        masks = None
        if "dropout" in config:
            drawn = (config["dropout"], config["seed"])
            masks = {
                rows: ref.dropout_mask(*drawn, stream, config["step"], len(users), DIM)
                for stream, rows in enumerate(("users", "items", *raw))
            }

        def loss(v, targets=None, c=config, raw=raw, masks=masks):
            return ref.bm3(c, r, raw, v, users, positives, targets, masks)

        # A difference quotient does not know of detached targets, so it gets those of the unmoved parameters.
        targets = ref.bm3_targets(ref.bm3_representations(config, r, raw, parameters), users, positives, masks)
        made = other_model_case(
            name,
            config,
            raw,
            parameters,
            loss,
            {f"mask.{rows}": mask for rows, mask in (masks or {}).items()},
            function_for_gradients=lambda v, t=targets, loss=loss: loss(v, t),
        )
        detached = autograd_gradients(lambda v, loss=loss: loss(v)["total"], parameters)
        assert made["gradients"] == {key: matrix(value) for key, value in detached.items()}
        yield name, made

    for name, (changes, modalities, complete, left) in FREEDOM_CASES.items():
        config, raw = {**FREEDOM_DEFAULTS, **changes}, raw_features(modalities, complete)
        assert_usable_graphs(config, raw)
        pruned = interactions(PRUNED[left])
        assert bool((pruned <= r).all())
        yield name, other_model_case(
            name,
            config,
            raw,
            {**embeddings(), **modal_embeddings(config, raw)},
            lambda v, c=config, raw=raw, e=pruned: ref.freedom(c, r, e, raw, v, users, positives, negatives),
            {"pruned": pruned},
            without_effect=[f"{m}.bias" for m in raw],
        )

    for name, (changes, modalities, complete) in MGCN_CASES.items():
        config, raw = {**MGCN_DEFAULTS, **changes}, raw_features(modalities, complete)
        assert_usable_graphs(config, raw)
        parameters = {**embeddings(), **modal_embeddings(config, raw)}
        for m, modality in enumerate(raw):
            parameters.update(layer(modality, 80 + m, "gate_weight", "gate_bias"))
            parameters.update(layer(modality, 90 + m, "preference_weight", "preference_bias"))
        parameters.update(layer("attention", 72))
        parameters["attention.query"] = draw(seeded(73), DIM, 1)
        yield name, other_model_case(
            name,
            config,
            raw,
            parameters,
            lambda v, c=config, raw=raw: ref.mgcn(c, r, raw, v, users, positives, negatives),
            # The only modality is its own common part, whatever attention and preferences say.
            without_effect=[p for p in parameters if "attention" in p or "preference" in p] if len(raw) == 1 else (),
        )


def all_cases():
    # The answers that Random123 publishes.
    assert ref.philox4x32(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert ref.philox4x32(2**128 - 1, 2**64 - 1) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    for name, value in op_cases():
        yield f"op_{name}", value
    yield from metric_cases()
    for name in DREAM_CASES:
        yield f"dream_{name}", dream_case(name)
    yield from baseline_cases()
    yield from other_model_cases()


# -------------------------------------------------------------------------------------------------------------- files


def difference(found, committed):
    """The largest relative difference between two cases; structure and exact integers must be equal."""
    worst = 0.0
    assert found["config"] == committed["config"], "config differs"
    for group in ("inputs", "outputs", "gradients"):
        assert found[group].keys() == committed[group].keys(), f"{group} differ"
        for name, value in found[group].items():
            other = committed[group][name]
            assert value["shape"] == other["shape"], f"shape of {group} {name} differs"
            for a, b in zip(value["data"], other["data"], strict=True):
                worst = max(worst, abs(a - b) / max(1.0, abs(a)))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed cases, write nothing")
    check = parser.parse_args().check
    FOLDER.mkdir(exist_ok=True)
    names = set()
    for name, value in all_cases():
        assert name not in names, name
        names.add(name)
        path = FOLDER / f"{name}.json"
        if check:
            worst = difference(value, json.loads(path.read_text()))
            if worst > 1e-12:
                raise SystemExit(f"{path.name}: differs by {worst}")
        else:
            path.write_text(json.dumps(value, separators=(",", ":")) + "\n")
    left = {path.stem for path in FOLDER.glob("*.json")} - names
    if left:
        raise SystemExit(f"files without a case: {sorted(left)}")
    size = sum(path.stat().st_size for path in FOLDER.glob("*.json"))
    print(f"{len(names)} cases, {size} bytes")


if __name__ == "__main__":
    main()
