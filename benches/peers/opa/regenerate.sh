#!/bin/sh
# Builds policy.wasm from policy.rego with OPA's own compiler, which the Go module proxy has. Needs Go.
#
#   benches/peers/opa/regenerate.sh
set -eu
cd "$(dirname "$0")"
version=$(sed -n 's|^.*github.com/open-policy-agent/opa \(v[0-9.]*\).*$|\1|p' go.mod)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
GOBIN="$folder" GOFLAGS=-mod=mod go install "github.com/open-policy-agent/opa@$version"
"$folder/opa" fmt --fail policy.rego filters.rego >/dev/null
"$folder/opa" build -t wasm -e tamis/allow -e tamis/allowed policy.rego -o "$folder/bundle.tar.gz"
tar -xPOzf "$folder/bundle.tar.gz" /policy.wasm >policy.wasm
echo "policy.wasm: OPA $version, $(wc -c <policy.wasm) bytes"
