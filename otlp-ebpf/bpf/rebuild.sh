#!/bin/sh
# Compiles the programs of this folder for both machines, or, with --check, compares what that gives with what is
# checked in. The bytes follow from the sources, clang 14 and libbpf's headers: on Debian 12 (packages clang, llvm and
# libbpf-dev) they are always the same.
#
# What is checked in is a part of every program that captures, so it is small, and compressed: the kernel and the loader
# need the types and what is relocated by them. Which line of a source an instruction is of they only print, where a program is refused: to
# see that, compile without `sed`.
set -eu
cd "$(dirname "$0")"
clang=${CLANG:-clang}
strip=${LLVM_STRIP:-llvm-strip}
copy=${LLVM_OBJCOPY:-llvm-objcopy}
to=.
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
case "${1-}" in
--check) to=$(mktemp -d) && trap 'rm -rf "$to" "$lines"' EXIT ;;
"") ;;
*) echo "usage: $0 [--check]" >&2 && exit 2 ;;
esac
case $("$clang" --version) in
*"clang version 14."*) ;;
*) echo "the objects are made with clang 14; set CLANG to it" >&2 && exit 2 ;;
esac

for machine in x86:x86_64 arm64:aarch64; do
    mkdir -p "$to/${machine#*:}"
    # For kernels without a ring there is another one of what sees the network.
    for object in aggregate network network_per_cpu opened process sample; do
        program=${object%_per_cpu}
        [ "$program" = "$object" ] && buffer= || buffer=-DPER_CPU
        object=$to/${machine#*:}/$object.o
        # Only <linux/types.h> is of the machine that compiles, and says the same on all of them.
        "$clang" -target bpf -D"__TARGET_ARCH_${machine%:*}" -O2 -g -mcpu=v3 -Wall -Wextra -Werror \
            -Wno-unused-parameter $buffer -ffile-prefix-map="$PWD=." -fdebug-compilation-dir=. \
            -idirafter "/usr/include/$(uname -m)-linux-gnu" -S -emit-llvm "$program.bpf.c" -o "$lines"
        # Calls keep their lines, for those that are inlined must have one; so do functions, which begin a line.
        sed -i -E -e '/^  call void @llvm\.dbg\./d' -e '/^  .*call /!s/^(  .*), !dbg ![0-9]+/\1/' "$lines"
        "$clang" -target bpf -O2 -g -mcpu=v3 -mllvm -disable-block-placement -x ir -c "$lines" -o "$object"
        # Leaves BTF, whose own relocations nobody needs.
        "$strip" --strip-debug "$object"
        # What the kernel calls back is found by its name.
        "$copy" --discard-all --wildcard --keep-symbol='*_step' -R .rel.BTF -R .rel.BTF.ext -R .llvm_addrsig "$object"
        gzip -9nf "$object"
    done
done

[ "$to" = . ] && exit
for object in */*.o.gz; do
    # Not every version of gzip packs alike.
    gzip -dc "$object" >"$lines"
    gzip -dc "$to/$object" | cmp "$lines" - || { echo "$object is not what its source gives: run $0" >&2 && exit 1; }
done
echo "the objects are what their sources give"
