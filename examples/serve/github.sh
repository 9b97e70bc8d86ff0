#!/bin/sh
# GitHub's web hooks become records of a topic, and a worker runs a command for each push:
#
#   kq dev --topic hooks:1 -- examples/serve/github.sh
#
# Here this script is GitHub as well: it signs an event as GitHub does, and sends it. In production `kq serve` stands
# behind a proxy that has the certificate, the secret is the one of the hook's settings, and the worker is a service
# of its own. GitHub does not send a failed delivery again by itself: kq answers 503 at once while Kafka is away, and
# the hook's page, or its API, sends again what failed.
#
# It needs curl and openssl.
set -eu
folder=$(mktemp -d)
serve=
trap 'status=$?; [ -z "$serve" ] || kill "$serve" 2>/dev/null || true; rm -rf "$folder"; exit $status' EXIT

(umask 077 && openssl rand -hex 32 >"$folder/secret")
kq serve hooks --listen 127.0.0.1:0 --webhook "github:$folder/secret" --route /hooks/github=hooks \
  --key-from json:/repository/full_name --copy-header 'X-GitHub-*' --quiet >"$folder/address" &
serve=$!
# kq prints its address once it can publish.
until [ -s "$folder/address" ]; do
  kill -0 "$serve"
  sleep 0.1
done

# deliver EVENT BODY: sends what GitHub sends, and prints the status.
deliver() {
  digest=$(printf %s "$2" | openssl dgst -sha256 -hmac "$(cat "$folder/secret")" -r)
  curl --silent --output "$folder/answer" --write-out '%{http_code}\n' "$(cat "$folder/address")/hooks/github" \
    --header 'Content-Type: application/json' --header "X-GitHub-Event: $1" \
    --header "X-GitHub-Delivery: $(openssl rand -hex 16)" \
    --header "X-Hub-Signature-256: sha256=${digest%% *}" --data-binary "$2"
}

test "$(deliver push '{"ref":"refs/heads/main","repository":{"full_name":"acme/shop"}}')" = 200
test "$(deliver ping '{"zen":"Keep it logically awesome.","repository":{"full_name":"acme/shop"}}')" = 200

# What somebody else sends is refused.
test "$(curl --silent --output /dev/null --write-out '%{http_code}' "$(cat "$folder/address")/hooks/github" \
  --header 'Content-Type: application/json' --header 'X-Hub-Signature-256: sha256=00' --data '{}')" = 403

# The worker: records of one repository run one after the other.
kq worker hooks --group deploy --end --where-header x-github-event=push -- \
  'echo "deploy $KQ_RECORD_KEY: $(cat)"'

kill -TERM "$serve"
wait "$serve"
serve=
