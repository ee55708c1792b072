#!/bin/sh
# Writes generated/policy.c and policy.h anew from wit/, for when the contract has changed. The contract's version
# also stands below, in three export names in runtime.c, and in the manifest in tenant.c.
#
# WIT_BINDGEN names the generator; without it, `wit-bindgen` from the PATH.
set -eu

version=0.61.1
contract=0.1.0

cd "$(dirname "$0")"
generator=${WIT_BINDGEN:-wit-bindgen}
found=$("$generator" --version 2>/dev/null || :)
case $found in
*" $version" | *" $version "*) ;;
*)
    echo "regenerate.sh: needs wit-bindgen $version, found: ${found:-none}. To install it:" >&2
    echo "    cargo install wit-bindgen-cli --version $version --locked --no-default-features --features c" >&2
    exit 1
    ;;
esac

# --rename: `exports_gates_decision_t` instead of `exports_tamis_policy_gates_decision_t`.
# --no-object-file: no description of the contract to link in, since Tamis adds it.
"$generator" c --world policy --rename "tamis:policy/gates@$contract=gates" --no-object-file \
    --out-dir generated ../../../wit
