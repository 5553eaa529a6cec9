"""Prints the table of a folder that gpu_report.sh filled.

    python3 benchmarks/gpu_table.py build/gpu_report

A kernel's baseline is the fastest of NVIDIA's libraries that did the same work, or a copy of as many bytes where none
did. The share is that of the copy's bandwidth or of the fp32 product rate, whichever is larger: how near the kernel is to
what bounds it. The exit status is 1 where a kernel's results were wrong.
"""

import argparse
import json
import pathlib
import sys

NOT_BASELINES = ("dream_", "naive", "copy")


def runs(path):
    """(benchmarks, context); what a stopped run left unfinished is dropped."""
    text = path.read_text()
    try:
        report = json.loads(text)
    except json.JSONDecodeError:
        end = text.rfind("\n    }")
        report = json.loads(text[: end + 6] + "]}") if end > 0 else {}
    return report.get("benchmarks", []), report.get("context", {})


def microseconds(run):
    return run["real_time"] * {"ns": 1e-3, "us": 1, "ms": 1e3, "s": 1e6}[run["time_unit"]]


def duration(us):
    return f"{us:.1f} us" if us < 1e3 else f"{us / 1e3:.2f} ms" if us < 1e6 else f"{us / 1e6:.2f} s"


def kernel_rows(folder):
    cases, card = {}, {}
    for path in sorted(folder.glob("kernels_*.json")):
        benchmarks, context = runs(path)
        card = context or card
        for run in benchmarks:
            name, who = run["name"].removesuffix("/manual_time").rsplit("/", 1)
            cases.setdefault(name, {})[who] = run
    for name, contenders in cases.items():
        wrong = next((run["error_message"] for run in contenders.values() if run.get("error_occurred")), None)
        if wrong:
            yield name, "FAILED: " + wrong, "", "", ""
            continue
        times = {who: microseconds(run) for who, run in contenders.items()}
        if "dream" not in times:
            continue
        ours, run = times.pop("dream"), contenders["dream"]
        libraries = {who: t for who, t in times.items() if not who.startswith(NOT_BASELINES)}
        against = libraries or {who: t for who, t in times.items() if who == "copy"}
        best = min(against, key=against.get, default=None)
        share = max((run.get(key, 0), key) for key in ("of_copy", "of_product"))
        yield (
            name,
            duration(ours),
            f"{duration(against[best])} {best}" if best else "-",
            f"{against[best] / ours:.2f}" if best else "-",
            f"{share[0]:.0%} {share[1]}",
        )
    if card:
        bandwidth, rate = float(card["copy_bytes_per_second"]), float(card["product_operations_per_second"])
        yield f"ceilings of {card['gpu']}", f"{bandwidth / 1e12:.2f} TB/s", f"{rate / 1e12:.1f} TFLOP/s", "", ""


def last_json(path):
    lines = path.read_text().strip().splitlines() if path.exists() else []
    try:
        return json.loads(lines[-1]) if lines else None
    except json.JSONDecodeError:
        return None


def step_rows(folder):
    for kind in ("frozen", "trainable"):
        ours = last_json(folder / f"step_{kind}.json")
        if ours is None:
            continue
        replayed, eager = ours["step_seconds"]["median"], ours["eager_step_seconds"]["median"]
        yield f"step, {kind}", duration(1e6 * replayed), f"{duration(1e6 * eager)} eager", f"{eager / replayed:.2f}", ""
        for path in sorted(folder.glob(f"peer_{kind}_*.json")):
            peer = last_json(path)
            if peer is None:
                continue
            name = "PyTorch " + path.stem.removeprefix(f"peer_{kind}_").replace("_", " ")
            for what, mine, theirs in (
                ("step", replayed, peer["step_seconds"]["median"]),
                ("evaluation", ours["evaluation_seconds"]["median"], peer["evaluation_seconds"]["median"]),
            ):
                yield f"{what}, {kind}", duration(1e6 * mine), f"{duration(1e6 * theirs)} {name}", f"{theirs / mine:.2f}", ""
            mine, theirs = ours["device_mib"]["peak"], peer["device_mib"]["peak_reserved"]
            yield f"device memory, {kind}", f"{mine:.0f} MiB", f"{theirs:.0f} MiB {name}", f"{theirs / mine:.2f}", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    folder = parser.parse_args().folder
    print("| | dream | baseline | ratio | share of ceiling |\n|---|---:|---:|---:|---:|")
    rows = [*kernel_rows(folder), *step_rows(folder)]
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.exit(any(row[1].startswith("FAILED") for row in rows))


if __name__ == "__main__":
    main()
