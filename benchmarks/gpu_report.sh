#!/usr/bin/env bash
# Everything about one GPU within ten minutes: builds for it, tests, memory and race checks, the kernels beside their
# library baselines, the training step, the same model in PyTorch. Prints one table last.
#
#   benchmarks/gpu_report.sh [FOLDER]                        # leaves logs and JSON in FOLDER (build/gpu_report)
#   benchmarks/gpu_report.sh collect FOLDER                  # copies what building needs from Debian's packages
#
# DREAM_DEPENDENCIES  folders like /usr, separated by colons, with Eigen, Catch2, Google Benchmark and nlohmann-json, on
#                     a machine where these are not installed; `collect` makes one on a machine where they are
# DREAM_DATA          a folder with the sets baby, sports and tiktok; without it, random graphs of their sizes
# DREAM_SECONDS       for all of it (570); what does not fit is left out, and said
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
die() { echo "gpu_report.sh: $1" >&2; exit 1; }

# collect FOLDER: the files of the packages, /usr taken off.
collect() {
  local folder=$1 file
  mkdir -p "$folder"
  dpkg -L libeigen3-dev catch2 nlohmann-json3-dev libbenchmark-dev libbenchmark1debian |
    grep -E '^/usr/(include|lib|share/(eigen3|cmake|nlohmann_json|pkgconfig))' | sort -u |
    while IFS= read -r file; do
      if [[ ! -f $file && ! -L $file ]] || [[ -d $file ]]; then continue; fi
      mkdir -p "$folder/$(dirname "${file#/usr/}")"
      cp -P "$file" "$folder/${file#/usr/}"
    done
  du -sh "$folder"
}
if [[ ${1:-} == collect ]]; then
  [[ -n ${2:-} ]] || die "collect takes a folder"
  command -v dpkg >/dev/null || die "collect needs dpkg"
  collect "$2"
  exit
fi

out=${1:-$root/build/gpu_report}
build=$root/build/gpu
if [[ $(nvidia-smi -L 2>/dev/null) != "GPU "* ]]; then
  die "there is no NVIDIA GPU here (nvidia-smi lists none); nothing was built"
fi
PATH=$PATH:/usr/local/cuda/bin
mkdir -p "$out"
rm -f "$out"/*.json "$out"/*.log "$out"/left_out.txt
deadline=$((SECONDS + ${DREAM_SECONDS:-570}))

# stage NAME LIMIT COMMAND...: its output goes to NAME.log, standard output of *.json stages to NAME.
stage() {
  local name=$1 limit=$2 started=$SECONDS result=0 log
  shift 2
  log=$out/${name%.json}.log
  if ((deadline - SECONDS < 5)); then
    echo "$name: no time was left" | tee -a "$out/left_out.txt"
    return 1
  fi
  if ((limit > deadline - SECONDS)); then limit=$((deadline - SECONDS)); fi
  if [[ $name == *.json ]]; then
    timeout "$limit" "$@" >"$out/$name" 2>"$log" || result=$?
  else
    timeout "$limit" "$@" >"$log" 2>&1 || result=$?
  fi
  case $result in
    0) echo "$name: ok in $((SECONDS - started)) s" ;;
    124) echo "$name: stopped after $limit s" | tee -a "$out/left_out.txt" ;;
    *) echo "$name: FAILED ($result), see $log" | tee -a "$out/left_out.txt"; tail -n 5 "$log" ;;
  esac
  return $result
}
leave_out() { echo "$1: left out, $2" | tee -a "$out/left_out.txt"; }

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
prefixes=${DREAM_DEPENDENCIES:-}

stage configure 60 cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  "-DCMAKE_CXX_FLAGS=-march=native -fno-math-errno -fno-trapping-math" -DCMAKE_CUDA_ARCHITECTURES=native \
  -DDREAM_CUDA=ON -DDREAM_BUILD_EXAMPLES=OFF -DDREAM_BUILD_BENCHMARKS=ON -DDREAM_TEST_HEADERS=OFF \
  -DDREAM_TEST_PACKAGE=OFF "-DCMAKE_PREFIX_PATH=${prefixes//:/;}" || exit 1
stage build 280 cmake --build "$build" --target dream_cuda_tests benchmark_kernels benchmark_gpu_step || exit 1
bin=$build/bin
for program in dream_cuda_tests kernels gpu_step; do
  [[ -x $bin/$program ]] || die "$bin/$program was not built"
done

stage tests 90 "$bin/dream_cuda_tests"
grep -o 'skipped: .*' "$out/tests.log" | sort | uniq -c | sed 's/^ */tests: /' | tee -a "$out/left_out.txt"

data=()
if [[ -d ${DREAM_DATA:-}/baby ]]; then data=(--data "$DREAM_DATA/baby"); fi
step() { stage "step_$1.json" 45 "$bin/gpu_step" "${data[@]}" --features 4096,384 "${@:2}"; }
step frozen
step trainable --trainable

peer() {
  local interactions=random
  if ((${#data[@]} > 0)); then interactions=${DREAM_DATA}/baby/baby.inter; fi
  stage "peer_$1.json" "$2" python3 "$root/benchmarks/peers/dream_torch.py" --shape baby --interactions "$interactions" \
    --device cuda --steps 50 --warmup 10 "${@:3}"
}
has_torch=true
if python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  peer frozen_eager 40 --frozen
  peer frozen_compiled 90 --frozen --compile
else
  has_torch=false
  leave_out "PyTorch" "python3 has no torch that sees the GPU"
fi

if command -v compute-sanitizer >/dev/null; then
  for tool in memcheck racecheck; do
    stage "$tool" 60 compute-sanitizer --tool "$tool" --error-exitcode 9 "$bin/dream_cuda_tests" '*emulator*'
  done
else
  leave_out "memcheck and racecheck" "there is no compute-sanitizer"
fi

# kernels NAME LIMIT REGEX: of the kernels' cases, those whose names begin so.
kernels() {
  stage "kernels_$1" "$2" "$bin/kernels" "--benchmark_filter=^($3)" --benchmark_min_time=0.02 \
    "--benchmark_out=$out/kernels_$1.json" --benchmark_out_format=json
}
kernels info_nce 50 'info_nce/[0-9]+/(64|128)/'
passes='(normalise|normalise_backward|gate|fusion|column_sums)/(2048x64|7050x64|1048576x64|7050x4096)/'
kernels dense 40 "$passes|adam/|adam_factored/|(fill|axpby|add_to_rows|masked_axpby|dropout)/1048576x64/"
losses='bpr|bpr_with_squares|regulariser|regulariser_norms|dot_products|cosine_distance|attention'
kernels batch 30 "($losses)/(2048|65536)x64/"
kernels propagation 30 '(propagated_[a-z_]+|spmm_rows|spmm_places)/2048_of_baby_'
kernels ranking 40 'top_k/(baby|100k_x_20k)/|knn_tile/|ranking_metrics/'
kernels similarity 30 's3/|moments/'
features='gather_features[a-z0-9_]*/2048x4096/|(inverse_row_norms|knn_norms)/7050x4096/|knn_weights/19445x10/'
kernels rows 30 "(gather|scatter|row_groups|sampler)/|$features"
kernels spmm 80 'spmm/[a-zA-Z0-9_]+/(64|128)/'

if $has_torch; then
  peer trainable_eager 40 --trainable
  peer trainable_compiled 80 --trainable --compile
  peer frozen_short_cuts_compiled 80 --frozen --s3-trace --factored-user-graph --compile
fi

result=0
python3 "$root/benchmarks/gpu_table.py" "$out" | tee "$out/table.md" || result=1
if [[ -s $out/left_out.txt ]]; then
  echo "Left out or failed:"
  sed 's/^/  /' "$out/left_out.txt"
  if grep -q 'FAILED\|stopped after\|no time was left' "$out/left_out.txt"; then result=1; fi
fi
exit $result
