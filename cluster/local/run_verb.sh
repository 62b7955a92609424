# shellcheck shell=bash
# Sourced by `up`, `down` and `add-reader`: runs the verb named like the script.
here=$(cd "$(dirname "$0")" && pwd)
python=$here/../../.venv/bin/python
[ -x "$python" ] || python=python3
if ! "$python" -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("rnnlane"))'; then
    echo "error: rnnlane must be installed to start a cluster, but $python has none -- run \`make setup\` first" >&2
    exit 2
fi
exec "$python" "$here/local_cluster.py" "$(basename "$0")" "$@"
