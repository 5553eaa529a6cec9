#!/usr/bin/env bash
# Makes a data set, trains LightGCN and DREAM on it, compares them, and leaves the results in a folder.
#   examples/demo.sh PROGRAM FOLDER       FOLDER is emptied first
set -euo pipefail

program=${1:?usage: demo.sh PROGRAM FOLDER}
folder=${2:?usage: demo.sh PROGRAM FOLDER}
trap 'echo; echo "Stopped. $folder/ holds what was finished; run the demo again to start over." >&2; exit 130' INT TERM

if [[ -e $folder && ! -e $folder/.made-by-demo && -n $(ls -A "$folder" 2>/dev/null) ]]; then
  echo "error: $folder/ is not from an earlier demo; it will not be removed" >&2
  exit 1
fi
rm -rf "$folder"
mkdir -p "$folder"
touch "$folder/.made-by-demo"

# The defaults rank a little better and take twice as long.
quick=(--set train_batch_size=512 --set learning_rate=0.003)

say() { printf '\n== %s\n' "$*"; }

say "1/6  A data set with planted structure: $folder/data"
"$program" synth --out "$folder/data" --users 2000 --items 2000 --interactions 16000 --groups 150
say "2/6  LightGCN, which sees interactions only"
"$program" train --data "$folder/data" --out "$folder/lightgcn" --model lightgcn "${quick[@]}"
say "3/6  DREAM, which sees interactions and features"
"$program" train --data "$folder/data" --out "$folder/dream" --model dream "${quick[@]}"
say "4/6  The 20 best items for every user"
"$program" recommend --data "$folder/data" --checkpoint "$folder/dream/best.safetensors" --k 20 --out "$folder/recommendations.tsv"
say "5/6  Embeddings"
"$program" export --checkpoint "$folder/dream/best.safetensors" --out "$folder/embeddings"
say "6/6  On the held-out test interactions"
"$program" compare --data "$folder/data" "$folder/dream" "$folder/lightgcn"

cat <<END

The results are in $folder/:
  embeddings/            user_embeddings.npy and item_embeddings.npy (float32, row = id)
  recommendations.tsv    user, item, rank, score
  dream/best.safetensors the checkpoint of the best epoch; dream/metrics.jsonl has every epoch
Next, on your own data:   $program train --data YOUR_FOLDER --out runs/first
END
