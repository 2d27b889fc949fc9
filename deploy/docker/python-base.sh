#!/usr/bin/env bash
# Builds an image with Python and pip from Debian packages, for machines without access to a registry. It needs root,
# Docker and mmdebstrap (apt-get install mmdebstrap), and takes half a minute.
#
#   deploy/docker/python-base.sh [NAME]          default: dagyo-python-base
set -euo pipefail

name=${1:-dagyo-python-base}
command -v mmdebstrap >/dev/null || { echo 'mmdebstrap is missing: apt-get install mmdebstrap' >&2; exit 1; }

# The essential packages, Python and pip, without documentation and without this machine's resolver and package sources.
mmdebstrap --quiet --variant=essential --include=python3-minimal,python3-pip \
	--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--customize-hook='rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/apt/sources.list' \
	bookworm - |
	docker import --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' --change 'CMD ["python3"]' - "$name"
