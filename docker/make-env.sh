#!/bin/sh
# Write .env from .env.example, with a random value for every secret that is empty there. An existing .env stays.
set -eu

cd "$(dirname "$0")/.."
target="${1:-.env}"
if [ -e "$target" ]; then
    echo "$target exists already and stays as it is: its secrets belong to the data in the volumes" >&2
    exit 1
fi

random_hex() {
    od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'
}

umask 077
while IFS= read -r line; do
    case "$line" in
        AIRFLOW_FERNET_KEY=) printf '%s%s\n' "$line" "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')" ;;
        # Short enough to type.
        AIRFLOW_ADMIN_PASSWORD=) printf '%s%s\n' "$line" "$(random_hex 8)" ;;
        *_PASSWORD=) printf '%s%s\n' "$line" "$(random_hex 20)" ;;
        [A-Z]*=) printf '%s%s\n' "$line" "$(random_hex 40)" ;;
        *) printf '%s\n' "$line" ;;
    esac
done < .env.example > "$target"
echo "wrote $target"
