#!/usr/bin/env python3
"""What nvcc gives the kernels that resources.cu lists: registers a thread and bytes of shared memory a block.

  resources.py compile REPORT ARCHITECTURES NVCC ARGUMENT...
                                            compiles for the architectures (80,90), in float and in double; REPORT
                                            receives what the compiler says
  resources.py check REPORT TABLE FOLDER    no spill, no stack frame, what TABLE has of the report's architectures;
                                            FOLDER's kernels are all there
  resources.py write REPORT TABLE           makes TABLE from REPORT, which must have all architectures
  resources.py plant                        checks the check, on reports with known faults
"""
import pathlib
import re
import subprocess
import sys

ARCHITECTURES = ["80", "90", "100"]
HEAD = ["kernel", "threads", "shared"] + ["sm_" + a for a in ARCHITECTURES]
REWRITE = "cmake --build build/nightly --target dream_resource_table"


def compile(report, architectures, nvcc, arguments):
    codes = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    said = ""
    for real in ["float", "double"]:
        run = subprocess.run([nvcc, *codes, "-Xptxas=-v", "-Werror=all-warnings", f"-DDREAM_REAL={real}", *arguments],
                             text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if run.returncode != 0:
            sys.exit(run.stdout)
        said += run.stdout
    version = re.search(r"release [\d.]+", subprocess.run([nvcc, "--version"], text=True, capture_output=True).stdout)
    readable = subprocess.run(["c++filt"], text=True, input=said, capture_output=True, check=True).stdout
    with open(report, "w") as file:
        file.write(f"nvcc {version[0]} for {','.join(architectures)}\n{readable}")


def read_report(text):
    """The compiler's version, the architectures, a row of strings a kernel, and sentences about spills and stack frames."""
    text = re.sub(r"\bdream::(kernels::)?", "", text)
    version, compiled, faults, registers, described = "unknown", ARCHITECTURES, [], {}, {}
    function = architecture = kernel = None
    for line in text.splitlines():
        if found := re.match(r"nvcc release ([\d.]+) for ([\d,]+)", line):
            version, compiled = found[1], found[2].split(",")
        elif found := re.search(r"entry function '(?:void )?(.*)' for 'sm_(\d+)'", line):
            function, architecture = found[1], found[2]
            named = re.match(r"kernel_entry<(.*)>\(", function)
            kernel = named[1].strip() if named else None
            if named := re.match(r"described<(.*), (\d+), (\d+)ul>\(", function):
                described[named[1].strip()] = (named[2], named[3])
        elif found := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            if any(int(n) > 0 for n in found.groups()):
                faults.append(f"{function} on sm_{architecture}: {found[0]}")
        elif kernel and (found := re.search(r"Used (\d+) registers", line)):
            registers.setdefault(kernel, {})[architecture] = found[1]
    rows = []
    for kernel in sorted(registers):
        rows.append([kernel, *described.get(kernel, ("?", "?")), *(registers[kernel].get(a, "?") for a in compiled)])
        if "?" in rows[-1]:
            faults.append(f"{kernel}: the report is not complete: {rows[-1][1:]}")
    if not rows:
        faults.append("the report names no kernel")
    return version, compiled, rows, faults


def table_text(version, rows):
    head = ["# Threads a block, bytes of shared memory a block, and registers a thread by architecture.",
            f"# Written by   {REWRITE}", f"# nvcc {version}", "\t".join(HEAD)]
    return "\n".join(head + ["\t".join(row) for row in rows]) + "\n"


def unlisted(text, rows):
    """The kernels that a source defines, structs with a grid that can be called, and the report does not have."""
    defined = [name for name, body in re.findall(r"^struct (\w+)[^;{]*\{(.*?)^\};", text, re.M | re.S)
               if re.search(r"\bint grid\(", body) and "operator()(" in body]
    return [name for name in defined if not any(re.search(rf"\b{name}\b", row[0]) for row in rows)]


def check(report, table):
    version, compiled, rows, faults = read_report(report)
    columns = [i for i, name in enumerate(HEAD) if not name.startswith("sm_") or name[3:] in compiled]
    found = re.search(r"^# nvcc (\S+)$", table, re.M)
    if not found or found[1] != version:
        print(f"The table is of nvcc {found[1] if found else '?'}, this is {version}: numbers are not compared.")
        return faults
    wanted = {line.split("\t")[0]: [line.split("\t")[i] for i in columns] for line in table.splitlines() if "\t" in line}
    wanted.pop(HEAD[0], None)
    for row in rows:
        before = wanted.pop(row[0], None)
        if before is None:
            faults.append(f"{row[0]} is not in the table")
        elif before != row:
            faults.append(f"{row[0]}: " + ", ".join(f"{name} {b} before, {r} now" for name, b, r
                                                   in zip([HEAD[i] for i in columns], before, row) if b != r))
    faults += [f"{kernel} is in the table, but not listed in resources.cu" for kernel in wanted]
    return faults + ([f"the table is rewritten by   {REWRITE}"] if faults else [])


def plant():
    """Reports of one kernel with one fault each; the last has none."""
    def report(stack=0, spilled=0, registers=30, name="dream::A<float>", marker="128, 64ul", all=ARCHITECTURES,
               listed=ARCHITECTURES):
        lines = ["nvcc release 13.0 for " + ",".join(listed)]
        for a in all:
            lines += [f"ptxas info    : Compiling entry function 'void described<{name}, {marker}>()' for 'sm_{a}'",
                      "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads",
                      "ptxas info    : Used 4 registers, used 0 barriers",
                      f"ptxas info    : Compiling entry function 'void dream::kernel_entry<{name} >({name}::Params)' for 'sm_{a}'",
                      f"    {stack} bytes stack frame, {spilled} bytes spill stores, {spilled} bytes spill loads",
                      f"ptxas info    : Used {registers} registers, used 0 barriers, 64 bytes smem"]
        return "\n".join(lines)
    version, _, rows, _ = read_report(report())
    table = table_text(version, rows)
    expected = [(report(stack=8), "8 bytes stack frame"), (report(spilled=4), "4 bytes spill stores"),
                (report(registers=31), "sm_90 30 before, 31 now"),
                (report(registers=31, all=["90"], listed=["90"]), "A<float>: sm_90 30 before, 31 now"), (report(marker="128, 96ul"), "shared 64 before, 96 now"),
                (report(marker="256, 64ul"), "threads 128 before, 256 now"), (report(name="dream::B<int>"), "not in the table"),
                (report(name="dream::B<int>"), "A<float> is in the table"), (report(all=["80"]), "not complete"),
                ("nvcc release 13.0 for 80\n", "names no kernel")]
    for text, sentence in expected:
        faults = check(text, table)
        if not any(sentence in fault for fault in faults):
            sys.exit(f"planted '{sentence}', found {faults}")
    source = "template <class T>\nstruct A {\n  static int grid(const Params&);\n  void operator()(th) {}\n};\n"
    if unlisted(source, rows) or unlisted(source.replace(" A ", " B "), rows) != ["B"]:
        sys.exit("a kernel that is not listed was not found")
    if (check(report(), table) or check(report(registers=31).replace("13.0", "99.0"), table)
            or check(report(all=["90"], listed=["90"]), table)):
        sys.exit("a report without faults was refused")


def main(step, *arguments):
    if step == "compile":
        return compile(arguments[0], arguments[1].split(","), arguments[2], arguments[3:])
    if step == "plant":
        return plant()
    text = open(arguments[0]).read()
    version, compiled, rows, faults = read_report(text)
    if step == "write":
        if compiled != ARCHITECTURES:
            sys.exit(f"{arguments[0]} has only {compiled} of {ARCHITECTURES}; take the preset nightly")
        pathlib.Path(arguments[1]).write_text(table_text(version, rows))
    else:
        faults = check(text, pathlib.Path(arguments[1]).read_text())
        for source in sorted(pathlib.Path(arguments[2]).glob("*.cuh")):
            faults += [f"{name} of {source.name} is not listed in resources.cu" for name in unlisted(source.read_text(), rows)]
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main(*sys.argv[1:])
