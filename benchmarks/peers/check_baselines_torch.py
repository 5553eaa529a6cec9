"""Checks baselines_torch.py, in double precision, against every golden case of its models: loss, vectors, gradients."""

import json
import pathlib
from types import SimpleNamespace

import torch

import baselines_torch as peer

CASES = pathlib.Path(__file__).parents[2] / "tests" / "golden" / "cases"


def in_case_form(model, names, of):
    """of(parameter) of every parameter by its name in the golden cases, where weights are inputs by outputs."""
    found = {"user_embedding": of(model.user_embedding), "item_embedding": of(model.item_embedding)}
    if isinstance(model, peer.Mgcn):
        found |= {
            "attention.weight": of(model.attention[0].weight).T,
            "attention.bias": of(model.attention[0].bias)[None, :],
            "attention.query": of(model.attention[2].weight).T,
        }
        for name, m in zip(names, model.modalities):
            found[f"{name}.features"] = of(m.features)
            for prefix, layer in (("", m.project), ("gate_", m.gate), ("preference_", m.preference)):
                found[f"{name}.{prefix}weight"] = of(layer.weight).T
                found[f"{name}.{prefix}bias"] = of(layer.bias)[None, :]
    return found


def check(path, product):
    case = json.loads(path.read_text())
    config = case["config"]
    read = lambda part: {k: torch.tensor(v["data"], dtype=torch.float64).reshape(v["shape"]) for k, v in part.items()}
    inputs, outputs, gradients = read(case["inputs"]), read(case["outputs"]), read(case["gradients"])
    names = [k.removeprefix("raw.") for k in inputs if k.startswith("raw.")]
    options = SimpleNamespace(
        model=path.stem.split("_")[0],
        dim=config["embedding_size"],
        layers=config["n_ui_layers"],
        mm_layers=config.get("n_mm_layers"),
        knn_k=config.get("knn_k"),
        batch=config["train_batch_size"],
        block=4,
        product=product,
        **{k: config.get(k) for k in ("temperature", "cl_weight", "reg_weight")},
    )
    n, q = inputs["R"].shape
    features = {name: inputs[f"raw.{name}"].clone() for name in names}
    model = peer.make_model(options, inputs["R"].nonzero().T, n, q, features)
    values = in_case_form(model, names, lambda parameter: parameter.data)
    assert set(values) == set(gradients), f"{path.name}: {set(values) ^ set(gradients)}"
    assert len(values) == len(list(model.parameters()))
    for name, value in values.items():
        value.copy_(inputs[name])

    loss = model.loss(*(inputs[name].long().flatten() for name in ("users", "positives", "negatives")))
    loss.backward()
    closely = {"rtol": 1e-10, "atol": 1e-12, "msg": lambda text: f"{path.name}, {product}: {text}"}
    torch.testing.assert_close(loss, outputs["total"][0, 0], **closely)
    for rows, name in zip(model.representations(), ("E.users", "E.items")):
        torch.testing.assert_close(rows, outputs[name], **closely)
    for name, gradient in in_case_form(model, names, lambda parameter: parameter.grad).items():
        torch.testing.assert_close(gradient, gradients[name], **closely)


def main():
    torch.set_default_dtype(torch.float64)
    paths = sorted(CASES.glob("lightgcn*.json")) + sorted(CASES.glob("mgcn*.json"))
    assert paths, f"no golden cases in {CASES}"
    for path in paths:
        for product in ("transposed", "csr", "coo"):
            check(path, product)
    print(f"baselines_torch.py agrees with {len(paths)} golden cases")


if __name__ == "__main__":
    main()
