# Sourced by scripts of tests: a temporary folder $dir, processes in the background that end with the script, and `dagyo up`.
# If the script fails, the ends of the logs in $dir are printed.

dir=$(mktemp -d)
pids=()
finish() {
	local status=$?
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	[ $status = 0 ] || tail -n 40 "$dir"/*.log >&2
	rm -rf "$dir"
}
trap finish EXIT

# up starts Dagyo with more flags, and returns when it has printed its addresses: it is up. Its process is $dagyo.
export XDG_CONFIG_HOME=$dir/config
up() {
	rm -f "$dir/up"
	mkfifo "$dir/up"
	bin/dagyo up --data "$dir/data" --port -1 -o json "$@" >"$dir/up" 2>>"$dir/dagyo.log" &
	dagyo=$!
	pids+=("$dagyo")
	read -r up <"$dir/up"
}

# value prints a value of what `dagyo up` has printed.
value() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<<"$up"; }

# dagyo runs a command of the user against it.
dagyo() { bin/dagyo --server "$(value server)" --creds "$(value creds)" "$@"; }
