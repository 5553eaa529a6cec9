"""Runs benchmarks/training.cpp and dream_torch.py one after the other and prints how many times faster the first is.

    python3 benchmarks/peers/compare.py --training build/release/bin/training --data DIR [--models lightgcn,mgcn]

DIR holds NAME.inter; features are generated. PyTorch runs twice: written as most people write it, and with the two
algebraic short cuts of README.md (`--s3-trace --factored-user-graph`), which few would find. Each row is a ratio PyTorch
: ours from this one run, of wall seconds and, in brackets, of processor seconds. --models adds a table of epochs and
memory of other models, beside baselines_torch.py; --no-dream leaves the tables of DREAM out.
"""

import argparse
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
FEATURES = ["--features", "4096,384"]
MODELS = {"lightgcn": [], "mgcn": [*FEATURES, "--trainable"]}  # and what our side needs to do the same work


def last_json(command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}compare.py: error: it ended with {done.returncode}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def graph_wall(report):
    seconds = report["graph_seconds"]
    return seconds["total"] if "total" in seconds else sum(v for k, v in seconds.items() if k != "processor")


def rows(ours, peer):
    """(what, seconds or MiB of the peer, ours, ratio of processor seconds or None)."""
    for what, key in (("training step", "step_seconds"), ("full-ranking evaluation", "evaluation_seconds")):
        a, b = peer[key], ours[key]
        yield what, a["median"], b["median"], a["processor"] / b["processor"]
    yield "building graphs", graph_wall(peer), graph_wall(ours), (
        peer["graph_seconds"]["processor"] / ours["graph_seconds"]["processor"])
    for kind in ("dataloader", "vectorised"):
        yield f"sampling an epoch ({kind})", peer["sampling_seconds"][kind], ours["sampling_seconds"], None
    yield "peak memory, MiB", peer["peak_mib"], ours["peak_mib"], None
    yield "peak memory without the libraries, MiB", peer["peak_mib"] - peer["resident_mib_after_import"], ours["peak_mib"], None


def model_rows(ours, peer):
    """The same of a model besides DREAM."""
    yield "an epoch", peer["epoch_seconds"], ours["steps_per_epoch"] * ours["step_seconds"]["median"] + (
        ours["epoch_start_seconds"]), peer["step_seconds"]["processor"] / ours["step_seconds"]["processor"]
    peak = ours["peak_mib_after_training"]
    yield "peak memory, MiB", peer["peak_mib_after_training"], peak, None
    yield "peak memory without the libraries, MiB", peer["peak_mib_less_libraries"], peak, None


def print_rows(rows):
    for what, a, b, processor in rows:
        unit = f"{a:.0f} | {b:.0f}" if "MiB" in what else f"{a:.4g} s | {b:.4g} s"
        print(f"| {what} | {unit} | {a / b:.1f}{'' if processor is None else f' ({processor:.1f})'} |", flush=True)


def compare_dream(o, interactions, common, reports):
    for kind in ("frozen", "trainable"):
        switch = ["--trainable"] if kind == "trainable" else []
        ours = last_json([o.training, "--data", o.data, *FEATURES, *switch, *common])
        reports.append(ours)
        for name, short_cuts in (("plain", []), ("with short cuts", ["--s3-trace", "--factored-user-graph"])):
            peer = last_json([sys.executable, HERE / "dream_torch.py", "--shape", "baby", "--interactions", interactions,
                              f"--{kind}", *short_cuts, *common])
            reports.append(peer)
            print(f"\n{kind} features, {peer['what']} {name}, {o.threads} threads\n")
            print(f"| | PyTorch | dream | ratio |\n|---|---:|---:|---:|")
            print_rows(rows(ours, peer))


def compare_models(o, interactions, common, reports):
    for place, model in enumerate(o.models):
        ours = last_json([o.training, "--model", model, "--data", o.data, *MODELS[model], "--evaluations", 0, *common])
        peer = last_json([sys.executable, HERE / "baselines_torch.py", "--model", model, "--shape", "baby",
                          "--interactions", interactions, *common])
        reports += [ours, peer]
        if place == 0:
            print(f"\nother models, {peer['what']}, {o.threads} threads\n")
            print(f"| | PyTorch | dream | ratio |\n|---|---:|---:|---:|")
        print_rows((f"{model}: {what}", *row) for what, *row in model_rows(ours, peer))


def models(text):
    names = text.split(",")
    for name in names:
        if name not in MODELS:
            raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(MODELS)}")
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=pathlib.Path, default="build/release/bin/training")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="a folder with NAME.inter")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=pathlib.Path, help="append the reports, one JSON line each")
    parser.add_argument("--models", type=models, default=[], help=f"of {','.join(MODELS)}: compare these too")
    parser.add_argument("--no-dream", action="store_true", help="only what --models names")
    o = parser.parse_args()
    if o.no_dream and not o.models:
        parser.error("--no-dream without --models leaves nothing to compare")
    interactions = next(o.data.glob("*.inter"), None) or parser.error(f"{o.data}: no .inter file")
    common = ["--threads", o.threads, "--steps", o.steps]
    reports = []
    if not o.no_dream:
        compare_dream(o, interactions, common, reports)
    compare_models(o, interactions, common, reports)
    if o.json:
        with open(o.json, "a") as out:
            out.writelines(json.dumps(report) + "\n" for report in reports)


if __name__ == "__main__":
    main()
