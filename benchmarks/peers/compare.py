"""Runs benchmarks/training.cpp and dream_torch.py one after the other and prints how many times faster the first is.

    python3 benchmarks/peers/compare.py --training build/release/bin/training --data DIR

DIR holds NAME.inter; features are generated. PyTorch runs twice: written as most people write it, and with the two
algebraic short cuts of README.md (`--s3-trace --factored-user-graph`), which few would find. Each row is a ratio PyTorch
: ours from this one run, of wall seconds and, in brackets, of processor seconds.
"""

import argparse
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--training", type=pathlib.Path, default="build/release/bin/training")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="a folder with NAME.inter")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", type=pathlib.Path, help="append the reports, one JSON line each")
    o = parser.parse_args()
    interactions = next(o.data.glob("*.inter"), None) or parser.error(f"{o.data}: no .inter file")
    common = ["--threads", o.threads, "--steps", o.steps]
    reports = []
    for kind in ("frozen", "trainable"):
        switch = ["--trainable"] if kind == "trainable" else []
        ours = last_json([o.training, "--data", o.data, "--features", "4096,384", *switch, *common])
        reports.append(ours)
        for name, short_cuts in (("plain", []), ("with short cuts", ["--s3-trace", "--factored-user-graph"])):
            peer = last_json([sys.executable, HERE / "dream_torch.py", "--shape", "baby", "--interactions", interactions,
                              f"--{kind}", *short_cuts, *common])
            reports.append(peer)
            print(f"\n{kind} features, {peer['what']} {name}, {o.threads} threads\n")
            print(f"| | PyTorch | dream | ratio |\n|---|---:|---:|---:|")
            for what, a, b, processor in rows(ours, peer):
                unit = f"{a:.0f} | {b:.0f}" if "MiB" in what else f"{a:.4g} s | {b:.4g} s"
                print(f"| {what} | {unit} | {a / b:.1f}{'' if processor is None else f' ({processor:.1f})'} |", flush=True)
    if o.json:
        with open(o.json, "a") as out:
            out.writelines(json.dumps(report) + "\n" for report in reports)


if __name__ == "__main__":
    main()
