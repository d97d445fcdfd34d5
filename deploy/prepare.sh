#!/bin/sh
# Makes the secrets that deploy/compose.yaml needs, in the folder "secrets" beside it, and empty files for those that only
# you can know. What is there already stays as it is. Needs openssl.
#
# The folder is for its owner alone; the files in it are readable, because Compose mounts them with the owner they have on
# this machine and every container has a user of its own.
#
# `set -e` sees no failure inside of another command's words or before a pipe, hence the files and variables between.
set -eu
umask 022
cd "$(dirname "$0")"

# $1: why nothing more is made
fail() {
    echo "prepare.sh: $1" >&2
    exit 1
}

# An empty password is one that everybody knows.
command -v openssl >/dev/null || fail "there is no openssl here; install it (apt-get install openssl) and run this again"
mkdir -p secrets
chmod 700 secrets
echo '*' >secrets/.gitignore
scratch=$(mktemp -d secrets/.unfinished.XXXXXX)
trap 'rm -rf "$scratch"' EXIT

# $1: the file that receives standard input, whole or not at all, unless it exists
keep() {
    if [ -e "secrets/$1" ]; then
        echo "kept  secrets/$1"
        cat >/dev/null
    else
        cat >"$scratch/new"
        [ -s "$scratch/new" ] || fail "secrets/$1 would be empty, so it was not made; see what openssl says"
        mv "$scratch/new" "secrets/$1"
        echo "made  secrets/$1"
    fi
}

# $1: the file that is for you to fill, unless it exists
leave_empty() {
    if [ -e "secrets/$1" ]; then
        echo "kept  secrets/$1"
    else
        : >"secrets/$1"
        echo "made  secrets/$1 (empty)"
    fi
}

# $1: the file that receives a new password, unless it exists; hexadecimal needs no escaping in an address
password() {
    openssl rand -hex 24 | tr -d '\n' | keep "$1"
}

# $1: the file a password is in; prints RabbitMQ's salted SHA-256 of it
hash_of() {
    openssl rand 4 >"$scratch/salt"
    cat "$scratch/salt" "secrets/$1" | openssl dgst -sha256 -binary >"$scratch/digest"
    cat "$scratch/salt" "$scratch/digest" | openssl base64 -A
}

base64url() {
    openssl base64 -A >"$scratch/base64"
    tr '+/' '-_' <"$scratch/base64" | tr -d '='
}

password postgres-password
password postgres-worker-password
password rabbitmq-worker-password
password rabbitmq-operator-password
password rabbitmq-sandbox-password

# Named like the settings they are: the worker finds them in /run/secrets.
printf 'amqp://provisioner:%s@rabbitmq:5672/provisioning' "$(cat secrets/rabbitmq-worker-password)" |
    keep provisioner_broker__url
printf 'postgresql://provisioner:%s@postgres:5432/provisioner' "$(cat secrets/postgres-worker-password)" |
    keep provisioner_ledger__url
openssl rand 32 >"$scratch/key"
key=$(base64url <"$scratch/key")
id=$(openssl rand -hex 6)
printf '{"keys": [{"id": "k%s", "created": "%s", "key": "%s"}]}\n' \
    "$id" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$key" |
    keep provisioner_sealing__keys

# An empty file counts as not set: a provider without its credentials is not configured.
for name in credentials__keys providers__canary_speech__api_key providers__phone_com__token \
    providers__phone_com__extra_fields providers__gateway360__api_key providers__postcode_eu__key \
    providers__postcode_eu__secret; do
    leave_empty "provisioner_$name"
done

worker_hash=$(hash_of rabbitmq-worker-password)
sandbox_hash=$(hash_of rabbitmq-sandbox-password)
operator_hash=$(hash_of rabbitmq-operator-password)
keep rabbitmq-definitions.json <<JSON
{
  "vhosts": [{"name": "provisioning"}, {"name": "sandbox"}],
  "users": [
    {"name": "provisioner", "password_hash": "$worker_hash", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""},
    {"name": "sandbox", "password_hash": "$sandbox_hash", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ""},
    {"name": "operator", "password_hash": "$operator_hash", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": "administrator"}
  ],
  "permissions": [
    {"vhost": "provisioning", "user": "provisioner", "configure": "^provisioning[.].+", "write": "^provisioning[.].+", "read": "^provisioning[.].+"},
    {"vhost": "sandbox", "user": "sandbox", "configure": ".*", "write": ".*", "read": ".*"},
    {"vhost": "provisioning", "user": "operator", "configure": ".*", "write": ".*", "read": ".*"},
    {"vhost": "sandbox", "user": "operator", "configure": ".*", "write": ".*", "read": ".*"}
  ]
}
JSON

# For the sandbox: its broker address, and a throw-away consumer whose private key is the .pem file.
printf 'amqp://sandbox:%s@rabbitmq:5672/sandbox' "$(cat secrets/rabbitmq-sandbox-password)" | keep sandbox-broker-url
openssl ecparam -name prime256v1 -genkey -noout | keep sandbox-consumer.pem
openssl ec -in secrets/sandbox-consumer.pem -pubout -outform DER -out "$scratch/public" 2>/dev/null
tail -c 64 "$scratch/public" >"$scratch/point"
x=$(head -c 32 "$scratch/point" | base64url)
y=$(tail -c 32 "$scratch/point" | base64url)
printf '{"keys": [{"kid": "sandbox", "use": "enc", "kty": "EC", "crv": "P-256", "x": "%s", "y": "%s"}]}\n' "$x" "$y" |
    keep sandbox-consumer-keys.json
