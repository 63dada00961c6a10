#!/bin/sh
# Runs the suites about streams of natsio on the server that is given: its JetStream, key-value and object tests, and those of its extensions
# about batches, counters, schedules, codecs and groups of consumers.
#
#   natsio_streams.sh CHECKOUT SERVER [PYTEST ARGUMENTS]
#
# CHECKOUT is a work tree of github.com/corruptmane/natsio; SERVER the command that stands for nats-server ("nats-server", or "python -m midge
# serve"). Python is $PYTHON, at least 3.13, with natsio and its extensions installed (they are asked for their versions), pytest,
# pytest-asyncio and pytest-timeout. Each server gets a free port.
set -u
checkout=$(cd "$1" && pwd) server=$2
shift 2
python=${PYTHON:-python3}
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
printf '#!/bin/sh\nexec %s "$@"\n' "$server" >"$bin/nats-server"
chmod +x "$bin/nats-server"
NATS_SERVER_BIN=$bin/nats-server
PYTHONPATH=$checkout/natsio/src
for extension in "$checkout"/extensions/natsio-*/src; do
    PYTHONPATH=$PYTHONPATH:$extension
done
export NATS_SERVER_BIN PYTHONPATH
failed=0
cd "$checkout/natsio" && "$python" -m pytest -q --timeout 60 tests/integration -k "jetstream or kv or objectstore" "$@" || failed=1
for extension in jetstream-batch counters schedules kvcodec pcgroups; do
    (cd "$checkout/extensions/natsio-$extension" && "$python" -m pytest -q --timeout 60 tests -k live "$@") || failed=1
done
exit $failed
