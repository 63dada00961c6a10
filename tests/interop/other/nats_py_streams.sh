#!/bin/sh
# Runs the suites about streams of nats.py on the server that is given: its own JetStream, key-value and object tests, and those of the
# packages nats-jetstream and nats-key-value.
#
#   nats_py_streams.sh CHECKOUT SERVER [PYTEST ARGUMENTS]
#
# CHECKOUT is a work tree of github.com/nats-io/nats.py; SERVER the command that stands for nats-server ("nats-server", or "python -m midge
# serve"). Python is $PYTHON, at least 3.13, with pytest, pytest-asyncio and pytest-timeout. The first suite uses fixed ports: run it where
# nobody else does, as in "unshare -n sh -c 'ip link set lo up; ...'".
set -u
checkout=$(cd "$1" && pwd) server=$2
shift 2
python=${PYTHON:-python3}
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
printf '#!/bin/sh\nexec %s "$@"\n' "$server" >"$bin/nats-server"
chmod +x "$bin/nats-server"
PATH=$bin:$PATH
export PATH
failed=0
(cd "$checkout" && PYTHONPATH=nats/src "$python" -m pytest -q --timeout 60 -k "not Cluster and not cluster" nats/tests/test_js.py "$@") || failed=1
for package in nats-jetstream nats-key-value; do
    sources=$checkout/nats-core/src:$checkout/nats-server/src:$checkout/nats-jetstream/src:$checkout/nats-key-value/src
    (cd "$checkout/$package" && PYTHONPATH=$sources "$python" -m pytest -q --timeout 60 tests "$@") || failed=1
done
exit $failed
