# What `.ci/run` and `.ci/long` share: steps, and tools that are kept outside the clone.

tools="${XDG_CACHE_HOME:-$HOME/.cache}/gatelodge-ci"
export PATH="$tools/bin:$HOME/.cargo/bin:$PATH"
export CARGO_TERM_COLOR=never

step() {
    local name="$1" begin="$SECONDS"
    shift
    printf '\n== %s\n' "$name"
    if ! "$@"; then
        printf '== %s: FAILED after %s s\n' "$name" "$((SECONDS - begin))"
        exit 1
    fi
    printf '== %s: %s s\n' "$name" "$((SECONDS - begin))"
}

# A Debian package for each program that is missing.
debian() {
    local missing=() program package
    while read -r program package; do
        command -v "$program" >/dev/null || missing+=("$package")
    done
    [ "${#missing[@]}" -eq 0 ] && return
    local as=()
    [ "$(id -u)" -eq 0 ] || as=(sudo)
    "${as[@]}" apt-get update -q && "${as[@]}" apt-get install -qy --no-install-recommends "${missing[@]}"
}

# Debian's compiler with its standard library for another architecture, and an emulator. An index that
# does not load is taken out again: with half of it nothing can be installed at all.
cross() {
    local arch="$1" target="$2" gnu="$3" emulator="$4" was rustc
    for rustc in rustc /usr/bin/rustc; do
        compgen -G "$("$rustc" --print target-libdir --target "$target")/libstd-*.rlib" &&
            command -v "$gnu-gcc" && command -v "$emulator" && return
    done
    was="$(dpkg --print-foreign-architectures)"
    dpkg --add-architecture "$arch" && apt-get update -q && apt-get install -qy \
        --no-install-recommends rustc-web "libstd-rust-web-dev:$arch" "gcc-$gnu" \
        "libc6-dev-$arch-cross" qemu-user-static && return
    grep -qx "$arch" <<<"$was" || dpkg --remove-architecture "$arch"
    apt-get update -q
    return 1
}

# The packages of a folder's lock file, in another folder. They run no scripts of their own here.
modules() {
    local from="$1" to="$2"
    mkdir -p "$to" || return
    if ! cmp -s "$from/package-lock.json" "$to/installed.json"; then
        cp "$from/package.json" "$from/package-lock.json" "$to/" || return
        npm ci --prefix "$to" --ignore-scripts --no-audit --no-fund || return
        cp "$from/package-lock.json" "$to/installed.json" || return
    fi
}

# What the documents are linted, tried and made into clients with.
document_tools() {
    local home="$tools/sdk"
    modules tests/sdk "$home" || return
    if ! cmp -s tests/sdk/requirements.txt "$home/installed.txt"; then
        rm -rf "$home/python"
        python3 -m venv "$home/python" || return
        "$home/python/bin/pip" install -q --disable-pip-version-check -r tests/sdk/requirements.txt || return
        cp tests/sdk/requirements.txt "$home/installed.txt" || return
    fi
}

# A client that was made of a document, beside a server of its own.
with_server() {
    tests/sdk/with-server target/debug/gatelodge "$@"
}

# Every document, as an admin and as a reader, for so many seconds and examples each.
explored() {
    local dialect who
    for dialect in native pin pair signup gpodder; do
        for who in ann bob; do
            with_server tests/sdk/explore "$tools/sdk/python/bin/schemathesis" "$dialect" "$who" "$@" || return
        done
    done
}

# The release build where there is one of this state, the package's own or one built by hand; else the
# debug build.
best_binary() {
    local binary=target/debug/gatelodge release
    for release in target/{x86_64-unknown-linux-gnu/,}release/gatelodge; do
        [ "$release" -nt "$binary" ] && binary="$release"
    done
    echo "$binary"
}
