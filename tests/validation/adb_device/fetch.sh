#!/bin/bash
# fetch.sh FOLDER: an arm64 userland with a genuine adbd in FOLDER/root, from Debian 13's packages.
# Nothing is installed on this machine: apt works in FOLDER with a package list of its own. Ready when FOLDER/root/.ready is.
set -euo pipefail
folder=$(realpath -m "$1")
[ -e "$folder/root/.ready" ] && exit 0
mkdir -p "$folder"/apt/{lists/partial,cache/archives/partial}
# Where this machine takes Debian's packages from.
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
[ -n "$mirror" ] || { echo "fetch.sh: no Debian mirror in apt's sources; run apt-get update" >&2; exit 1; }
echo "deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" \
  > "$folder/apt/sources.list"
: > "$folder/apt/status"
apt=(apt-get -qq -o Dir::Etc::SourceList="$folder/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
  -o Dir::State::Lists="$folder/apt/lists" -o Dir::State::Status="$folder/apt/status" -o Dir::Cache="$folder/apt/cache"
  -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Install-Recommends=false
  -o Acquire::Languages=none -o APT::Sandbox::User=root)
"${apt[@]}" update
"${apt[@]}" install --download-only -y adbd mksh toybox
rm -rf "$folder/root"
# Debian 13 has /bin, /lib and /sbin as links; the packages expect them.
mkdir -p "$folder"/root/{usr/bin,usr/lib,usr/sbin,system/bin,data/local/tmp,proc,sys,dev,tmp}
for name in bin lib sbin; do ln -s "usr/$name" "$folder/root/$name"; done
for package in "$folder"/apt/cache/archives/*.deb; do dpkg -x "$package" "$folder/root"; done
# The shell that adbd starts (Debian says /bin/sh), and Android's tools, which are toybox.
for shell in system/bin/sh usr/bin/sh; do ln -s /usr/bin/mksh "$folder/root/$shell"; done
for tool in cat chmod cp cut echo grep head ls mkdir mv printf rm sed sleep tail test touch true uname; do
  ln -s /usr/bin/toybox "$folder/root/system/bin/$tool"
done
rm -rf "$folder/apt"
touch "$folder/root/.ready"
