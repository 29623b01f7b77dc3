# shellcheck shell=bash
# The images: what is in them, and that the node takes them.

blob() { tar --extract --to-stdout --file "$1" "blobs/${2/://}"; }

step_image() {
    local archive
    for archive in "$operator_archive" "$emulator_archive"; do
        [[ -s $archive ]] || fail "$archive is missing: make image"
        $NODE_IMAGE_LOAD "$archive" >/dev/null || fail "the node does not take $archive"
    done
    local manifest config files
    manifest=$(blob "$operator_archive" "$(tar --extract --to-stdout --file "$operator_archive" index.json | jq --raw-output '.manifests[0].digest')")
    config=$(blob "$operator_archive" "$(jq --raw-output .config.digest <<<"$manifest")")
    holds 'the image runs the operator as nobody in particular, and says what it is' jq --exit-status '.config |
        .User == "65532:65532" and .Entrypoint == ["/athena-operator"] and
        ([.Labels | .["org.opencontainers.image." + ("title", "version", "revision", "created", "licenses", "source")]] | all(. != null and . != ""))
        or error(tostring)' <<<"$config"
    files=$(jq --raw-output '.layers[].digest' <<<"$manifest" |
        while read -r digest; do blob "$operator_archive" "$digest" | gzip --decompress --force --stdout | tar --list; done | grep -v '/$' | sed 's|^\./||' | sort | tr '\n' ' ')
    [[ $files == 'athena-operator etc/group etc/passwd etc/ssl/certs/ca-certificates.crt ' ]] || fail "the image has more or less in it than it should: $files"
    say 'ok: it holds the binary, the certificate authorities and the name of its user: no shell, no library'
    say "size: $(jq '[.layers[].size] | add / 1048576 * 10 | round / 10' <<<"$manifest") MiB as it is pulled"
}
