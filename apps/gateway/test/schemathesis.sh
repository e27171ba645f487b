#!/usr/bin/env bash
# Runs schemathesis (from PyPI, in a virtual environment below node_modules) against the gateway. Needs Python 3.10 or later.
# Options are passed on, for example: schemathesis.sh --max-examples 500
set -euo pipefail
cd "$(dirname "$0")/.."
version=4.32.5
venv=node_modules/.cache/schemathesis-$version
if ! "$venv/bin/st" --version >/dev/null 2>&1; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
fi
# Requests that fit the document can still be refused: a form spells null as no text, and a call without its function has `"function": null`.
exec node test/schemathesis.ts "$PWD/$venv/bin/st" --max-examples 100 --seed 1 --exclude-checks positive_data_acceptance "$@"
