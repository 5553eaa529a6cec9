"""Checks dream_torch.py (float32) against the golden case in which every item has every modality."""

import json
import pathlib
from types import SimpleNamespace

import torch
import torch.nn.functional as F

import dream_torch as peer

CASE = pathlib.Path(__file__).parents[2] / "tests" / "golden" / "cases" / "dream_complete_features.json"


def main():
    case = json.loads(CASE.read_text())
    config = case["config"]
    read = lambda part: {k: torch.tensor(v["data"], dtype=torch.float32).reshape(v["shape"]) for k, v in part.items()}
    inputs, outputs, gradients = read(case["inputs"]), read(case["outputs"]), read(case["gradients"])
    r = inputs["R"]
    n, q = r.shape
    users, items = r.nonzero().T
    options = SimpleNamespace(
        dim=config["embedding_size"],
        layers=config["n_ui_layers"],
        batch=config["train_batch_size"],
        s3_trace=False,
        **{k: config[k] for k in ("temperature", "inter_weight", "intra_weight", "s3_weight", "reg_weight")},
        s3_user_weight=config["s3_user_weight"],
    )
    means = r / r.sum(dim=1, keepdim=True).clamp(min=1.0)

    for product in ("transposed", "csr", "coo"):
        encoders = []
        for name in ("image", "text"):
            unit = F.normalize(inputs[f"raw.{name}"])
            unit_users = F.normalize(means @ unit)
            item_graph = peer.Graph(peer.knn_graph(unit, config["knn_k"], 4), product)
            plain = peer.knn_graph(unit_users, config["user_knn_k"], 4)
            mean_csr, gram = means.to_sparse_csr(), unit @ unit.T
            factored = peer.factored_user_graph(mean_csr, gram, (means @ unit).norm(dim=1), config["user_knn_k"], 4)
            torch.testing.assert_close(factored.to_dense(), plain.to_dense(), rtol=1e-4, atol=1e-6)
            encoder = peer.ModalEncoder(unit, unit_users, item_graph, peer.Graph(plain, product), options.dim, True)
            with torch.no_grad():
                encoder.features.copy_(inputs[f"{name}.features"])
                encoder.linear.weight.copy_(inputs[f"{name}.weight"].T)
                encoder.linear.bias.copy_(inputs[f"{name}.bias"][0])
                encoder.gate.weight.copy_(inputs[f"{name}.gate_weight"].T)
                encoder.gate.bias.copy_(inputs[f"{name}.gate_bias"][0])
            encoders.append(encoder)
        adjacency = peer.Graph(peer.bipartite(users, items, n, q), product)
        interactions = peer.Graph(peer.normalised_interactions(users, items, n, q), product)
        model = peer.Dream(n, q, adjacency, interactions, encoders, options)
        with torch.no_grad():
            model.user_embedding.copy_(inputs["user_embedding"])
            model.item_embedding.copy_(inputs["item_embedding"])
        batch = [inputs[name].long().flatten() for name in ("users", "positives", "negatives")]
        loss = model.loss(*batch)
        loss.backward()
        torch.testing.assert_close(loss, outputs["total"][0, 0], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model.representations()[0], outputs["E.users"], rtol=1e-5, atol=1e-5)
        for found, name in (
            (model.user_embedding.grad, "user_embedding"),
            (model.item_embedding.grad, "item_embedding"),
            (encoders[0].features.grad, "image.features"),
            (encoders[1].linear.weight.grad.T, "text.weight"),
            (encoders[1].gate.bias.grad[None, :], "text.gate_bias"),
        ):
            torch.testing.assert_close(found, gradients[name], rtol=1e-4, atol=1e-6)
        # The trace form differs from the plain one by a constant only.
        plain_gradient = model.user_embedding.grad.clone()
        options.s3_trace = True
        model.zero_grad()
        model.loss(*batch).backward()
        torch.testing.assert_close(model.user_embedding.grad, plain_gradient, rtol=1e-4, atol=1e-6)
        options.s3_trace = False
    print("dream_torch.py agrees with the golden case")


if __name__ == "__main__":
    main()
