#!/usr/bin/env bash
# Load generators that others wrote, against the bundled simulator with 200 ms to the first token and 40 ms between tokens: they should
# find just that. Runs those that are on the PATH (`pip install guidellm aiperf`; vllm), and prints their tables. Not a part of the tests.
#
#   load-tools.sh TOKENIZER     TOKENIZER: a folder with tokenizer.json, so that nothing is looked for on the network
set -euo pipefail
tokenizer=${1:?a folder with tokenizer.json}
here=$(cd "$(dirname "$0")/.." && pwd)
out=$(mktemp -d)
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 DO_NOT_TRACK=1 VLLM_NO_USAGE_STATS=1

(cd "$here" && node bundle.mjs)
node "$here/dist/paradigm-simulator.cjs" --port 0 --log-level none --mode random \
  --time-to-first-token 200 --inter-token-latency 40 > "$out/line" &
simulator=$!
trap 'kill $simulator; rm -r "$out"' EXIT
until url=$(grep -o 'http://[0-9.:]*' "$out/line"); do sleep 0.1; done

if command -v vllm > /dev/null; then
  echo "== vllm bench serve"
  vllm bench serve --backend openai-chat --base-url "$url" --endpoint /v1/chat/completions --model alfred-4.2 --tokenizer "$tokenizer" \
    --dataset-name random --random-input-len 64 --random-output-len 40 --ignore-eos --num-prompts 100 --request-rate 10 \
    --percentile-metrics ttft,tpot,itl,e2el --disable-tqdm > "$out/log" 2>&1 || cat "$out/log"
  grep -E 'Successful|Failed|(Mean|Median|P99) ' "$out/log"
fi
if command -v guidellm > /dev/null; then
  echo "== guidellm"
  guidellm run --backend "kind=openai_http,target=$url,model=alfred-4.2" --tokenizer "kind=hf_auto,model=$tokenizer" \
    --data 'kind=synthetic_text,prompt_tokens=64,output_tokens=40' --profile 'kind=constant,rate=10' --constraint 'kind=max_requests,count=100' \
    --disable-progress --output kind=console > "$out/log" 2>&1 || cat "$out/log"
  grep -A 8 'Request Latency Statistics' "$out/log"
fi
if command -v aiperf > /dev/null; then
  echo "== aiperf"
  # Its offline mode knows no folders.
  env -u HF_HUB_OFFLINE -u TRANSFORMERS_OFFLINE COLUMNS=200 aiperf profile --model alfred-4.2 --url "$url" --endpoint-type chat --streaming \
    --tokenizer "$tokenizer" --use-server-token-count --synthetic-input-tokens-mean 64 --output-tokens-mean 40 --extra-inputs ignore_eos:true \
    --request-count 100 --request-rate 10 --artifact-dir "$out/aiperf" --ui none > "$out/log" 2>&1 || cat "$out/log"
  grep -E 'Metric|Time to First Token|Inter Token|Request Latency|Request Count' "$out/log"
fi
