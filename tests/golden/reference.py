"""Double-precision reference of the DREAM model and the models it is compared with, one function per formula.

Written for reading and checking, not for speed: every matrix is dense and every loop is plain. Gradients come from
PyTorch's autograd. R is the n x q 0/1 matrix of training interactions, F a matrix of item features, rows are vectors.
"""

import math

import torch

torch.set_default_dtype(torch.float64)


# ---------------------------------------------------------------------------------------------------- rows and cosines


def row_normalise(x):
    """x / |x| row by row; a zero row stays zero and gets zero gradient (no epsilon)."""
    squares = (x * x).sum(dim=1, keepdim=True)
    zero = squares == 0
    norms = torch.sqrt(torch.where(zero, torch.ones_like(squares), squares))
    return torch.where(zero, torch.zeros_like(x), x / norms)


def cosines(x, y):
    """cos(X, Y): cosines of the rows of X with the rows of Y, 0 where either row is zero."""
    return row_normalise(x) @ row_normalise(y).T


# ------------------------------------------------------------------------------------------------------ input features


def has_modality(raw):
    """p_im: item i has the modality iff its raw row is not zero."""
    return (raw != 0).any(dim=1)


def normalise_features(raw, how):
    """F_m from the raw features: 'row' x/|x|, 'none' as they are, 'standard' standardised columns.

    'standard' takes mean and population deviation over the items that have the modality; a constant column becomes 0 and
    the rows of items without the modality stay 0.
    """
    if how == "none":
        return raw.clone()
    if how == "row":
        return row_normalise(raw)
    if how != "standard":
        raise ValueError(how)
    present = has_modality(raw)
    rows = raw[present]
    mean = rows.mean(dim=0)
    deviation = torch.sqrt(((rows - mean) ** 2).mean(dim=0))
    result = torch.zeros_like(raw)
    for i in range(raw.shape[0]):
        if present[i]:
            for c in range(raw.shape[1]):
                constant = bool((rows[:, c] == rows[0, c]).all())
                result[i, c] = 0.0 if constant else (raw[i, c] - mean[c]) / deviation[c]
    return result


def user_features(interactions, features):
    """f_u,m: mean of F_m over the user's training items, a zero row for a user without any."""
    counts = interactions.sum(dim=1, keepdim=True)
    return torch.where(counts > 0, (interactions @ features) / counts.clamp(min=1.0), torch.zeros(()))


# -------------------------------------------------------------------------------------------------------------- graphs


def inverse_square_root(degrees):
    """d^-1/2 with 0^-1/2 := 0."""
    return torch.where(degrees > 0, degrees.clamp(min=1e-300) ** -0.5, torch.zeros_like(degrees))


def normalised_interactions(interactions):
    """Rn = D_U^-1/2 R D_I^-1/2."""
    du = inverse_square_root(interactions.sum(dim=1))
    di = inverse_square_root(interactions.sum(dim=0))
    return du[:, None] * interactions * di[None, :]


def normalised_bipartite(interactions):
    """D^-1/2 A D^-1/2 with A = [[0, R], [R^T, 0]]."""
    n, q = interactions.shape
    adjacency = torch.zeros(n + q, n + q)
    adjacency[:n, n:] = interactions
    adjacency[n:, :n] = interactions.T
    d = inverse_square_root(adjacency.sum(dim=1))
    return d[:, None] * adjacency * d[None, :]


def largest(values, k, candidates):
    """The k candidates of largest value, ties to the smaller index."""
    return sorted(candidates, key=lambda j: (-float(values[j]), j))[:k]


def knn_graph(features, k, binary=False):
    """S: per row the k largest cosines (itself a candidate), S_ij = s_ij / sqrt(r_i r_j), r_i = sum_j s_ij.

    0 where r_i or r_j is not positive; a zero row keeps only itself with weight 0. Binary: the kept s_ij are 1 instead.
    """
    count = features.shape[0]
    similarity = cosines(features, features)
    present = has_modality(features)
    kept = torch.zeros(count, count)
    for i in range(count):
        if present[i]:
            for j in largest(similarity[i], k, range(count)):
                kept[i, j] = 1.0 if binary else similarity[i, j]
    r = kept.sum(dim=1)
    graph = torch.zeros(count, count)
    for i in range(count):
        for j in range(count):
            if kept[i, j] != 0 and r[i] > 0 and r[j] > 0:
                graph[i, j] = kept[i, j] / math.sqrt(float(r[i]) * float(r[j]))
    return graph


def cooccurrence_graph(interactions, k):
    """T: per user the k other users with the most shared training items (at least one), softmax of the counts."""
    shared = interactions @ interactions.T
    n = shared.shape[0]
    graph = torch.zeros(n, n)
    for u in range(n):
        kept = largest(shared[u], k, [v for v in range(n) if v != u and shared[u, v] > 0])
        if kept:
            graph[u, kept] = torch.softmax(shared[u, kept], dim=0)
    return graph


# ------------------------------------------------------------------------------------------------------ behaviour line


def propagate_behaviour(interactions, user_embedding, item_embedding, layers):
    """E_B = mean(E^0 .. E^L), E^{l+1} = D^-1/2 A D^-1/2 E^l; returns the users' and the items' rows."""
    graph = normalised_bipartite(interactions)
    level = torch.cat([user_embedding, item_embedding])
    total = level
    for _ in range(layers):
        level = graph @ level
        total = total + level
    total = total / (layers + 1)
    return total[: interactions.shape[0]], total[interactions.shape[0] :]


# ---------------------------------------------------------------------------------------------------------- modal line


def filter_gate(form, z, weight, bias, gate_weight, gate_bias, item_embedding):
    """X = Z W1 + b1, G = sigmoid(X W2 + b2); H = E_I * G ('id'), X * G ('self') or X ('none')."""
    x = z @ weight + bias
    if form == "none":
        return x
    gate = torch.sigmoid(x @ gate_weight + gate_bias)
    return {"id": item_embedding, "self": x}[form] * gate


def propagate_items(graph, h, present, layers):
    """H_I = S^layers H; without a graph H with the rows of items that lack the modality zeroed."""
    if graph is None:
        return torch.where(present[:, None], h, torch.zeros(()))
    for _ in range(layers):
        h = graph @ h
    return h


def propagate_users(user_graph, interactions, h_items):
    """H_U = T (Rn H_I); without a user graph Rn H_I."""
    h = normalised_interactions(interactions) @ h_items
    return h if user_graph is None else user_graph @ h


def renormalised_weights(a, present):
    """w_im = a_m p_im / sum_m' a_m' p_im'; a row without any modality is zero. present: rows x modalities."""
    masked = a[None, :] * present
    total = masked.sum(dim=1, keepdim=True)
    return torch.where(total > 0, masked / torch.where(total > 0, total, torch.ones(())), torch.zeros(()))


def weighted_sum(a, present, parts):
    """E_M rows: sum over modalities of w_im H_m."""
    w = renormalised_weights(a, present)
    return sum(w[:, m : m + 1] * parts[m] for m in range(len(parts)))


# -------------------------------------------------------------------------------------------------------------- losses


def s3(h, target_features, form="cosine", root=False):
    """(1/b^2) |cos(H) - cos(F)|_F^2, rows of one batch; root: |.|_F / b; form 'dot': H H^T on the left."""
    b = h.shape[0]
    left = cosines(h, h) if form == "cosine" else h @ h.T
    squares = ((left - cosines(target_features, target_features).detach()) ** 2).sum()
    return torch.sqrt(squares) / b if root else squares / b**2


def info_nce(x, y, temperature, directions="one"):
    """-(1/b) sum_a log( exp(cos(x_a, y_a)/tau) / sum_c exp(cos(x_a, y_c)/tau) ); both: the mean of (X, Y) and (Y, X)."""
    if directions == "both":
        return 0.5 * (info_nce(x, y, temperature) + info_nce(y, x, temperature))
    logits = cosines(x, y) / temperature
    return (torch.logsumexp(logits, dim=1) - torch.diagonal(logits)).mean()


def pair_distance(users, items):
    """mean_a (1 - cos(u_a, i_a)): the `pairs` intra term inside one domain."""
    return (1.0 - (row_normalise(users) * row_normalise(items)).sum(dim=1)).mean()


def moment_distance(x, y):
    """mean_d( |mean(X) - mean(Y)| + |var(X) - var(Y)| ), unbiased variance, which is 0 for a single row."""

    def variance(z):
        return z.var(dim=0, unbiased=True) if z.shape[0] > 1 else torch.zeros(z.shape[1])

    return ((x.mean(dim=0) - y.mean(dim=0)).abs() + (variance(x) - variance(y)).abs()).mean()


def bpr(users, positives, negatives):
    """-(1/b) sum log sigmoid(y_ui - y_uj)."""
    return -torch.nn.functional.logsigmoid((users * (positives - negatives)).sum(dim=1)).mean()


def l_reg(users, positives, negatives, configured_batch):
    """(1/2) sum(|e_u|^2 + |e_i|^2 + |e_j|^2) / configured batch size."""
    return 0.5 * sum((e * e).sum() for e in (users, positives, negatives)) / configured_batch


def norm_reg(users, positives, negatives):
    """(|U|_F + |P|_F + |N|_F) / b, norms not squared."""
    return sum(torch.sqrt((e * e).sum()) for e in (users, positives, negatives)) / users.shape[0]


# ------------------------------------------------------------------------------------------------------------- dropout


def philox4x32(counter, key):
    """Philox4x32-10 (Salmon et al., SC 2011): four 32-bit words of a 128-bit counter under a 64-bit key."""
    low = 0xFFFFFFFF
    c = [counter >> shift & low for shift in (0, 32, 64, 96)]
    k = [key & low, key >> 32]
    for _ in range(10):
        p, r = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [r >> 32 ^ c[1] ^ k[0], r & low, p >> 32 ^ c[3] ^ k[1], p & low]
        k = [k[0] + 0x9E3779B9 & low, k[1] + 0xBB67AE85 & low]
    return c


def dropout_mask(rate, seed, stream, step, rows, columns):
    """1 / (1 - rate) where a value is kept and 0 where it is dropped.

    Four neighbours of a row take the words of one block: the key is the seed, the counter holds the block's number
    (64 bits, from stream * 2^40), the step (32) and 7, dropout's number among the uses (32). A word below rate * 2^32
    drops its value.
    """
    mask, blocks = torch.zeros(rows, columns), -(-columns // 4)
    for i in range(rows):
        for j in range(columns):
            block = (stream << 40) + i * blocks + j // 4
            word = philox4x32(block | step << 64 | 7 << 96, seed)[j % 4]
            mask[i, j] = 1 / (1 - rate) if word >= int(rate * 2**32) else 0.0
    return mask


# -------------------------------------------------------------------------------------------------------------- models


def dream(config, interactions, raw, parameters, users, positives, negatives):
    """The whole model: returns a dict with the unweighted terms, the weighted `total`, E_B, E_M and E; H_I,m and w_im.

    raw: {modality: raw features}, in the order (alphabetical in the cases) that modality weights and pairs use. A term that needs a switched-off
    line is 0; `pairs` sums over the lines that exist.
    """
    names = list(raw)
    n, q = interactions.shape
    d = config["embedding_size"]
    zero = torch.zeros(())
    behaviour, modal = config["behaviour_line"], config["modal_line"]
    out = {"bpr": zero, "inter": zero, "intra": zero, "s3": zero, "s3_users": zero, "reg": zero}

    e_b_users, e_b_items = torch.zeros(n, d), torch.zeros(q, d)
    if behaviour:
        e_b_users, e_b_items = propagate_behaviour(
            interactions, parameters["user_embedding"], parameters["item_embedding"], config["n_ui_layers"]
        )

    e_m_users, e_m_items = torch.zeros(n, d), torch.zeros(q, d)
    h_items, h_users, f_items, f_users, p_items, p_users = [], [], [], [], [], []
    if modal:
        for name in names:
            f = normalise_features(raw[name], config["feature_normalization"])
            present = has_modality(raw[name])
            f_u = user_features(interactions, f)
            item_graph = user_graph = None
            if config["item_graph"] != "none":
                item_graph = knn_graph(f, config["knn_k"], binary=config["item_graph"] == "binary")
            if config["user_graph"] == "knn":
                user_graph = knn_graph(f_u, config["user_knn_k"])
                users_present = (user_graph != 0).any(dim=1)
            else:
                users_present = interactions @ present.double() > 0
                if config["user_graph"] == "cooccurrence":
                    user_graph = cooccurrence_graph(interactions, config["user_knn_k"])
            z = parameters[f"{name}.features"] if config["train_features"] else f
            h = filter_gate(
                config["gate"],
                z,
                parameters[f"{name}.weight"],
                parameters[f"{name}.bias"],
                parameters.get(f"{name}.gate_weight"),
                parameters.get(f"{name}.gate_bias"),
                parameters["item_embedding"],
            )
            h_items.append(propagate_items(item_graph, h, present, config["n_mm_layers"]))
            h_users.append(propagate_users(user_graph, interactions, h_items[-1]))
            f_items.append(f)
            f_users.append(f_u)
            p_items.append(present.double())
            p_users.append(users_present.double())
            out[f"S.{name}"], out[f"T.{name}"] = item_graph, user_graph

        if config["modality_weights"] == "equal":
            a = torch.full((len(names),), 1.0 / len(names))
        elif config["modality_weights"] == "given":
            a = torch.tensor(config["modality_weight_values"])
        else:
            a = torch.softmax(parameters["modality_logits"].flatten(), dim=0)
        e_m_items = weighted_sum(a, torch.stack(p_items, dim=1), h_items)
        out["weights"] = renormalised_weights(a, torch.stack(p_items, dim=1))
        out.update({f"H.{name}": h for name, h in zip(names, h_items)})
        e_m_users = weighted_sum(a, torch.stack(p_users, dim=1), h_users)

    beta = config["modal_weight"] if config["behaviour_line"] else 1.0
    e_users, e_items = e_b_users + beta * e_m_users, e_b_items + beta * e_m_items
    u, p, j = e_users[users], e_items[positives], e_items[negatives]
    out["bpr"] = bpr(u, p, j)
    out["reg"] = l_reg(u, p, j, config["train_batch_size"])

    b_u, b_p, m_u, m_p = e_b_users[users], e_b_items[positives], e_m_users[users], e_m_items[positives]
    if behaviour and modal:
        out["inter"] = sum(
            info_nce(m, b, config["temperature"], config["inter_directions"]) for m, b in ((m_u, b_u), (m_p, b_p))
        )
        if config["intra"] == "moments":
            out["intra"] = moment_distance(b_u, m_u) + moment_distance(b_p, m_p)
    if config["intra"] == "pairs":
        out["intra"] = zero + (pair_distance(b_u, b_p) if behaviour else 0) + (pair_distance(m_u, m_p) if modal else 0)
    if config["intra"] == "modalities":
        for m in range(len(h_items)):
            for other in range(m + 1, len(h_items)):
                out["intra"] = (
                    out["intra"]
                    + info_nce(h_items[m][positives], h_items[other][positives], config["temperature"])
                    + info_nce(h_users[m][users], h_users[other][users], config["temperature"])
                )
    if modal:
        form, root = config["s3_form"], config["s3_root"]
        out["s3"] = sum(s3(h[positives], f[positives], form, root) for h, f in zip(h_items, f_items))
        out["s3_users"] = sum(s3(h[users], f[users], form, root) for h, f in zip(h_users, f_users))

    out["total"] = (
        out["bpr"]
        + config["inter_weight"] * out["inter"]
        + config["intra_weight"] * out["intra"]
        + config["s3_weight"] * (out["s3"] + config["s3_user_weight"] * out["s3_users"])
        + config["reg_weight"] * out["reg"]
    )
    out["E_B.users"], out["E_B.items"] = e_b_users, e_b_items
    out["E_M.users"], out["E_M.items"] = e_m_users, e_m_items
    out["E.users"], out["E.items"] = e_users, e_items
    return out


def lightgcn(config, interactions, parameters, users, positives, negatives):
    """E = E_B; BPR + w_reg norm-reg on the rows of E^0."""
    e_users, e_items = propagate_behaviour(
        interactions, parameters["user_embedding"], parameters["item_embedding"], config["n_ui_layers"]
    )
    ego_u, ego_i = parameters["user_embedding"], parameters["item_embedding"]
    out = {"bpr": bpr(e_users[users], e_items[positives], e_items[negatives])}
    out["reg"] = norm_reg(ego_u[users], ego_i[positives], ego_i[negatives])
    out["total"] = out["bpr"] + config["reg_weight"] * out["reg"]
    out["E.users"], out["E.items"] = e_users, e_items
    return out


def mf_bpr(config, parameters, users, positives, negatives):
    """E = E^0; BPR + w_reg L_reg."""
    e_users, e_items = parameters["user_embedding"], parameters["item_embedding"]
    u, p, j = e_users[users], e_items[positives], e_items[negatives]
    out = {"bpr": bpr(u, p, j), "reg": l_reg(u, p, j, config["train_batch_size"])}
    out["total"] = out["bpr"] + config["reg_weight"] * out["reg"]
    out["E.users"], out["E.items"] = e_users, e_items
    return out


def add_alignment(config, out, behaviour, modal):
    """BMA plugged into a model: the terms `inter` and `intra` where the config has `alignment`, and `total` with them.

    A domain is the batch's rows {"users": U, "items": P}, or the items alone. Inter and `moments` compare the domains,
    users and items apart, where both have them; `pairs` is inside each domain.
    """
    options = config.get("alignment")
    if options is None:
        return
    shared = [(modal[side], behaviour[side]) for side in ("users", "items") if side in modal and side in behaviour]
    out["inter"] = sum(info_nce(m, b, options["temperature"], options["inter_directions"]) for m, b in shared)
    if options["intra"] == "moments":
        out["intra"] = sum(moment_distance(b, m) for m, b in shared)
    else:
        assert options["intra"] == "pairs"
        out["intra"] = sum(pair_distance(domain["users"], domain["items"]) for domain in (behaviour, modal))
    out["total"] = out["total"] + options["inter_weight"] * out["inter"] + options["intra_weight"] * out["intra"]


def vbpr(config, interactions, raw, parameters, users, positives, negatives):
    """e_u = the 2d-wide user row, e_i = [E_I ; sum_m F_m W_m + b], F_m constant; BPR + w_reg norm-reg on these rows.

    The domains are the halves of users and items; a modality's part of the items is F_m W_m.
    """
    d = config["embedding_size"]
    features = {name: normalise_features(value, config["feature_normalization"]) for name, value in raw.items()}
    parts = {name: features[name] @ parameters[f"{name}.weight"] for name in raw}
    modal = parameters["feature_bias"] + sum(parts.values())
    e_users, e_items = parameters["user_embedding"], torch.cat([parameters["item_embedding"], modal], dim=1)
    u, p, j = e_users[users], e_items[positives], e_items[negatives]
    out = {"bpr": bpr(u, p, j), "reg": norm_reg(u, p, j)}
    out["total"] = out["bpr"] + config["reg_weight"] * out["reg"]
    add_alignment(config, out, {"users": u[:, :d], "items": p[:, :d]}, {"users": u[:, d:], "items": p[:, d:]})
    out["E_B.users"], out["E_B.items"] = e_users[:, :d], e_items[:, :d]
    out["E_M.users"], out["E_M.items"] = e_users[:, d:], e_items[:, d:]
    out.update({f"H.{name}": part for name, part in parts.items()})
    out["weights"] = torch.ones(len(modal), len(raw))
    out["E.users"], out["E.items"] = e_users, e_items
    return out


def affine(x, parameters, name, weight="weight", bias="bias"):
    """x W + b with the parameters of that name."""
    return x @ parameters[f"{name}.{weight}"] + parameters[f"{name}.{bias}"]


def modal_projection(config, raw, parameters, name):
    """X_m = Z_m W_m + b_m; Z_m is a parameter or, with `train_features` false, F_m."""
    if config.get("train_features", True):
        return affine(parameters[f"{name}.features"], parameters, name)
    return affine(normalise_features(raw[name], config["feature_normalization"]), parameters, name)


def bm3_representations(config, interactions, raw, parameters):
    """h_U = E_B, h_I = E_B + E_I and X_m = Z_m W_m + b_m of everybody, under the keys users, items and m."""
    h_users, h_items = propagate_behaviour(
        interactions, parameters["user_embedding"], parameters["item_embedding"], config["n_ui_layers"]
    )
    h = {"users": h_users, "items": h_items + parameters["item_embedding"]}
    return {**h, **{name: modal_projection(config, raw, parameters, name) for name in raw}}


def bm3_targets(representations, users, positives, masks=None):
    """The constants h_u', h_i', x_m' of the batch: detached copies, times a mask of 0 and 1 / (1 - p) for each row."""
    rows = {name: value[users if name == "users" else positives] for name, value in representations.items()}
    return {name: (row if masks is None else row * masks[name]).detach() for name, row in rows.items()}


def bm3(config, interactions, raw, parameters, users, positives, targets=None, masks=None):
    """Both sides' and the modalities' distances to the targets; the score is p(h_u) . p(h_i), p(x) = x Wp + bp.

    Without negatives. `targets` replaces those that bm3_targets makes of the current parameters and `masks`. The norms
    are those of the whole h_U and h_I, over the number of items. The domains are, of items alone, h_i and the mean of
    x_m, the modalities' parts.
    """
    h = bm3_representations(config, interactions, raw, parameters)
    if targets is None:
        targets = bm3_targets(h, users, positives, masks)
    predicted = {name: affine(value, parameters, "predictor") for name, value in h.items()}
    out = {
        "users": pair_distance(predicted["users"][users], targets["items"]),
        "items": pair_distance(predicted["items"][positives], targets["users"]),
        "modal": torch.zeros(()),
    }
    for name in raw:
        x = predicted[name][positives]
        out["modal"] = out["modal"] + pair_distance(x, targets["items"]) + pair_distance(x, targets[name])
    norms = [torch.sqrt((h[side] * h[side]).sum()) for side in ("users", "items")]
    out["reg"] = (norms[0] + norms[1]) / interactions.shape[1]
    out["total"] = (
        out["users"] + out["items"] + config["cl_weight"] * out["modal"] + config["reg_weight"] * out["reg"]
    )
    modal = torch.stack([h[name] for name in raw]).mean(dim=0)
    add_alignment(config, out, {"items": h["items"][positives]}, {"items": modal[positives]})
    out["E_B.items"], out["E_M.items"] = h["items"], modal
    out.update({f"H.{name}": h[name] for name in raw})
    out["weights"] = torch.full((len(modal), len(raw)), 1 / len(raw))
    out["E.users"], out["E.items"] = predicted["users"], predicted["items"]
    return out


def freedom(config, interactions, pruned, raw, parameters, users, positives, negatives):
    """Users E_B, items E_B + S^L E_I with S = sum_m a_m S_m binary; BPR + w_reg sum_m BPR(users, X_m[i], X_m[j]).

    The loss takes E_B on the graph of `pruned`, a subset of the interactions with its own degrees; E.users and E.items
    take it on all interactions. The weights a_m are used as given, for every item. The domains are E_B and, of items
    alone, h; a modality's part of h is S_m times the h before the last product with S.
    """
    graphs = {
        name: knn_graph(normalise_features(raw[name], config["feature_normalization"]), config["knn_k"], binary=True)
        for name in raw
    }
    weights = dict(zip(raw, config["modality_weight_values"], strict=True))
    graph = sum(weights[name] * graphs[name] for name in raw)
    h, before = parameters["item_embedding"], None
    for _ in range(config["n_mm_layers"]):
        h, before = graph @ h, h

    def represent(edges):
        e_users, e_items = propagate_behaviour(
            edges, parameters["user_embedding"], parameters["item_embedding"], config["n_ui_layers"]
        )
        return e_users, e_items, e_items + h

    e_users, b_items, e_items = represent(pruned)
    u = e_users[users]
    out = {"bpr": bpr(u, e_items[positives], e_items[negatives]), "modal": torch.zeros(())}
    for name in raw:
        x = modal_projection(config, raw, parameters, name)
        out["modal"] = out["modal"] + bpr(u, x[positives], x[negatives])
    out["total"] = out["bpr"] + config["reg_weight"] * out["modal"]
    add_alignment(config, out, {"items": b_items[positives]}, {"items": h[positives]})
    out["E_B.users"], out["E_B.items"], fused = represent(interactions)
    out["E_M.items"] = h
    out.update({f"H.{name}": graphs[name] @ before for name in raw})
    out["weights"] = torch.tensor([list(weights.values())] * len(h))
    out["E.users"], out["E.items"] = out["E_B.users"], fused
    return out


def attention_weights(parts, weight, bias, query):
    """a_m = softmax over m of tanh(C_m A + a0) q, row by row; returns one column for each part."""
    return torch.softmax(torch.cat([torch.tanh(c @ weight + bias) @ query for c in parts], dim=1), dim=1)


def mgcn(config, interactions, raw, parameters, users, positives, negatives):
    """E = E_B + side, side from the modalities' common and preferred parts; BPR + w_cl InfoNCE + w_reg L_reg.

    An item without the modality has a zero row in C_m and takes part in the attention with it. The domains are E_B and
    side; the parts of the items' common row are C_m, weighted by the attention.
    """
    b_users, b_items = propagate_behaviour(
        interactions, parameters["user_embedding"], parameters["item_embedding"], config["n_ui_layers"]
    )
    e_b = torch.cat([b_users, b_items])
    parts, preferences = [], []
    for name in raw:
        features = normalise_features(raw[name], config["feature_normalization"])
        x = modal_projection(config, raw, parameters, name)
        gate = torch.sigmoid(affine(x, parameters, name, "gate_weight", "gate_bias"))
        c_items = parameters["item_embedding"] * gate
        graph = knn_graph(features, config["knn_k"])
        for _ in range(config["n_mm_layers"]):
            c_items = graph @ c_items
        parts.append(torch.cat([normalised_interactions(interactions) @ c_items, c_items]))
        preferences.append(torch.sigmoid(affine(e_b, parameters, name, "preference_weight", "preference_bias")))
    a = attention_weights(parts, *(parameters[f"attention.{name}"] for name in ("weight", "bias", "query")))
    common = sum(a[:, m : m + 1] * c for m, c in enumerate(parts))
    side = (sum(g * (c - common) for g, c in zip(preferences, parts)) + common) / (len(parts) + 1)
    n = interactions.shape[0]
    e = e_b + side

    u, p, j = e[:n][users], e[n:][positives], e[n:][negatives]
    out = {"bpr": bpr(u, p, j), "reg": l_reg(u, p, j, config["train_batch_size"])}
    out["contrast"] = info_nce(side[n:][positives], b_items[positives], config["temperature"]) + info_nce(
        side[:n][users], b_users[users], config["temperature"]
    )
    out["total"] = out["bpr"] + config["cl_weight"] * out["contrast"] + config["reg_weight"] * out["reg"]
    add_alignment(
        config,
        out,
        {"users": b_users[users], "items": b_items[positives]},
        {"users": side[:n][users], "items": side[n:][positives]},
    )
    out["E_B.users"], out["E_B.items"] = b_users, b_items
    out["E_M.users"], out["E_M.items"] = side[:n], side[n:]
    out.update({f"H.{name}": part[n:] for name, part in zip(raw, parts)})
    out["weights"] = a[n:]
    out["E.users"], out["E.items"] = e[:n], e[n:]
    return out


# ----------------------------------------------------------------------------------------------- optimiser and ranking


def adam(theta, gradients, learning_rate, beta1, beta2, epsilon):
    """theta -= lr * mhat / (sqrt(vhat) + eps), mhat = m / (1 - beta1^t), vhat = v / (1 - beta2^t); each step's result."""
    m, v = torch.zeros_like(theta), torch.zeros_like(theta)
    steps = []
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        theta = theta - learning_rate * (m / (1 - beta1**t)) / (torch.sqrt(v / (1 - beta2**t)) + epsilon)
        steps.append((theta, m, v))
    return steps


def ranked_items(scores, masked):
    """Unmasked items, best first, ties to the smaller index."""
    return sorted((i for i in range(len(scores)) if not masked[i]), key=lambda i: (-scores[i], i))


def user_metrics(ranked, held_out, k):
    """The metrics of one user at cut-off k; held_out is a non-empty set of items."""
    hits = [1 if item in held_out else 0 for item in ranked[:k]]
    p = len(held_out)
    first = next((rank for rank, hit in enumerate(hits, start=1) if hit), None)
    return {
        "recall": sum(hits) / p,
        "precision": sum(hits) / k,
        "ndcg": sum(h / math.log2(r + 1) for r, h in enumerate(hits, start=1))
        / sum(1 / math.log2(r + 1) for r in range(1, min(k, p) + 1)),
        "map": sum(h * sum(hits[:r]) / r for r, h in enumerate(hits, start=1)) / min(k, p),
        "hit": 1.0 if first else 0.0,
        "mrr": 1.0 / first if first else 0.0,
    }


def ranking_metrics(scores, train, held_out, masked, cutoffs):
    """Means over users with held-out items and training interactions; also the counts of those ranked and set aside."""
    names = ("recall", "precision", "ndcg", "map", "hit", "mrr")
    sums = {f"{name}@{k}": 0.0 for name in names for k in cutoffs}
    ranked_users = without_training = 0
    for u in range(len(scores)):
        wanted = {i for i, value in enumerate(held_out[u]) if value}
        if not wanted:
            continue
        if not any(train[u]):
            without_training += 1
            continue
        ranked_users += 1
        ranked = ranked_items(scores[u], masked[u])
        for k in cutoffs:
            for name, value in user_metrics(ranked, wanted, k).items():
                sums[f"{name}@{k}"] += value
    result = {key: value / ranked_users for key, value in sums.items()}
    result["users"], result["users_without_training"] = ranked_users, without_training
    return result
