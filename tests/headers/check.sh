#!/bin/sh
# check.sh LIST COMPILER ARGUMENTS...: each header of LIST, a line each, compiles when a unit includes nothing but it,
# twice. Fails after all were tried.
list=$1
shift
compile='printf "#include <dream/%s>\n#include <dream/%s>\n" "$0" "$0" | "$@" -fsyntax-only -x c++ - || { echo "$0 does not compile alone"; exit 1; }'
xargs -P "$(nproc)" -I HEADER sh -c "$compile" HEADER "$@" <"$list"
