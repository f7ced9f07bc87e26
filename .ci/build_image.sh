#!/usr/bin/env bash
# Build the image and run it where there is neither a Docker daemon nor an image registry, as root on Debian:
#   apt-get install buildah debootstrap && .ci/build_image.sh FOLDER
# FOLDER takes all that is made, some 15 GB. The base image cannot be pulled without a registry: Debian bookworm with its
# Python 3.11 stands in for it. Packages come from where apt and pip of this machine are told to look.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p "$1"
folder=$(realpath "$1")
bundle=/etc/ssl/certs/ca-certificates.crt

buildah() {
  command buildah --storage-driver vfs --root "$folder/storage" --runroot "$folder/run" "$@"
}

if ! buildah inspect --type image localhost/stand-in >/dev/null 2>&1; then
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Codename: bookworm' | head -1)
  debootstrap --variant=minbase --include=ca-certificates,python3-pip bookworm "$folder/base" ${mirror:+"$mirror"}
  # As in the official image: a Python that is nobody else's, by this name too.
  rm "$folder/base/usr/lib/python3.11/EXTERNALLY-MANAGED"
  ln -s python3 "$folder/base/usr/bin/python"
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$folder/base" /
  buildah commit --quiet --rm "$container" localhost/stand-in
  rm -rf "$folder/base"
fi

# What pip is told here, and the local folders that it is told of; uv asks for no certificates of the system by itself.
echo "system-certs = true" >"$folder/uv.toml"
mounts=(--volume "$bundle:$bundle:ro" --volume "$folder/uv.toml:/etc/uv/uv.toml:ro")
for path in /etc/pip.conf /etc/xdg/pip $(python3 -m pip config list | grep -oE "(/[[:alnum:]._-]+)+" | sort -u); do
  if [ -e "$path" ] && [ "$path" != "$bundle" ]; then mounts+=(--volume "$path:$path:ro"); fi
done

buildah bud --isolation chroot --format docker --from localhost/stand-in "${mounts[@]}" \
  --build-arg CODE_VERSION="$(git describe --always)" --tag spoken-video-curation .
container=$(buildah from spoken-video-curation)
run() { # as `docker run` does: the image's user, folder and environment
  echo "+ $*"
  buildah run --isolation chroot "${mounts[@]}" "$container" -- "$@"
}
run id
run python -m flows --version
run python -m extract.speech.weights weights
# A file of two seconds: found, brought, and cut where somebody speaks, which is nowhere; so no splits can be drawn.
run python -m flows curate --from tests/golden/features --root data/root --scale || [ $? = 3 ]
run python -m flows status --root data/root
health=$(buildah inspect "$container" | python3 -c '
import json, shlex, sys
print(shlex.join(json.load(sys.stdin)["Docker"]["config"]["Healthcheck"]["Test"][1:]))')
run bash -c "time $health"
