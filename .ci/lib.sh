# What .ci/run is made of. Sourced, not run.

say() { printf '%s\n' "$*"; }

# Tells when a step begins, and how long the one before took.
step() {
  [ -z "${step_name-}" ] || say "--- $((SECONDS - step_began)) s: $step_name"
  step_name=$* step_began=$SECONDS
  printf '\n=== [%d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"
}

fail() {
  printf '\nFAILED: %s\n' "$*" >&2
  exit 1
}

# One folder for everything, and private places for what programs keep in a person's own.
start_work() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/stoker-ci.XXXXXX")
  chmod 711 "$work" # a test lets another user into a temporary folder
  screen_pid=""
  engines_pid=""
  running_pid=""
  declare -gA lanes=()
  trap finish EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  export STOKER_TEST_CACHE="$work/cache"
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore DEBIAN_FRONTEND=noninteractive
  unset PYTHONPATH PYTHONHOME VIRTUAL_ENV DISPLAY WAYLAND_DISPLAY QT_QPA_PLATFORM
  unset DOCKER_HOST DOCKER_CONTEXT CONTAINER_HOST CONTAINERS_CONF CONTAINERS_REGISTRIES_CONF
}

finish() {
  local status=$? pid
  trap - EXIT
  set +e
  for pid in "$running_pid" "${!lanes[@]}"; do
    [ -z "$pid" ] || kill -TERM "$pid" 2>/dev/null
  done
  end_engines
  for pid in $(pids_of_work); do kill -KILL "$pid" 2>/dev/null; done
  wait 2>/dev/null
  remove_leavings
  rm -rf "$work"
  exit "$status"
}

# Mounts and bridges of engines that had no time to end; what is found is named.
remove_leavings() {
  local name
  mounts_of_work | tac | while read -r name; do say "unmounting $name"; umount --lazy "$name"; done
  for name in $(bridges_of_work); do say "removing the bridge $name"; ip link delete "$name"; done
}

mounts_of_work() {
  cut -d ' ' -f 2 /proc/self/mounts | grep -F -- "$work/" || true
}

# Those that still are, of all whose names the tests' engines have written down.
bridges_of_work() {
  local note name
  for note in $(find "$work" -maxdepth 6 -name bridge.name 2>/dev/null); do
    name=$(cat "$note")
    [ ! -e "/sys/class/net/$name" ] || echo "$name"
  done
}

# --- lanes: commands side by side, each with a work folder, homes and temporary folders of its own ---

# start_lane [--quiet] NAME COMMAND...: with --quiet its output is kept until it is over.
start_lane() {
  local quiet="" name pid
  [ "$1" != --quiet ] || { quiet=yes; shift; }
  name=$1
  shift
  mkdir -m 711 "$work/$name"
  if [ -n "$quiet" ]; then
    step "$name: begun, with the others"
    step_name="" # theirs begin at the same time
    in_lane "$name" "$@" >"$work/$name.log" 2>&1 &
  else
    in_lane "$name" "$@" &
  fi
  pid=$!
  lanes[$pid]=$name
  step_name=""
}

in_lane() {
  local name=$1
  shift
  trap - EXIT INT TERM HUP
  work="$work/$name"
  lanes=()
  mkdir -m 700 "$work/data" "$work/state" "$work/runtime"
  mkdir -m 711 "$work/tmp"
  export XDG_DATA_HOME="$work/data" XDG_STATE_HOME="$work/state" XDG_RUNTIME_DIR="$work/runtime" TMPDIR="$work/tmp"
  "$@"
  stop_screen
  [ -z "$(git -C "$work/stoker" status --porcelain)" ] \
    || fail "the tests left files in the tree: $(git -C "$work/stoker" status --porcelain | head -n 5)"
  nothing_left
  step "done"
  rm -rf "$work"
}

# await_lanes [COUNT]: until no more than that many have yet to pass, 0 by default; the first that fails ends it, and its log is shown. Of a quiet one that passed, what it did.
await_lanes() {
  local pid status log name failed
  while [ "${#lanes[@]}" -gt "${1:-0}" ]; do
    status=0
    wait -n -p pid "${!lanes[@]}" || status=$?
    log="$work/${lanes[$pid]}.log"
    if [ "$status" -ne 0 ]; then
      failed=${lanes[$pid]}
      [ ! -e "$log" ] || { step "${lanes[$pid]}: its whole log"; cat "$log"; }
      unset "lanes[$pid]"
      for name in "${lanes[@]}"; do
        [ ! -e "$work/$name.log" ] || { step "$name: how far it was"; tail -n 30 "$work/$name.log"; }
      done
      fail "$failed (exit $status)"
    fi
    step "${lanes[$pid]}: passed"
    step_name=""
    [ ! -e "$log" ] || grep -E '^=== \[|^--- |^[0-9.]+s (call|setup|teardown) |^=+ .*(passed|failed|error).* =+$|^window ' "$log" || true
    unset "lanes[$pid]"
  done
}

# A command with a limit in seconds, that a signal to this script ends too.
bounded() {
  local limit=$1 status=0
  shift
  timeout --kill-after=20 "$limit" "$@" &
  running_pid=$!
  wait "$running_pid" || status=$?
  running_pid=""
  [ "$status" -ne 124 ] || say "no end after $limit s: $*" >&2
  return "$status"
}

# tested CLONE MARKS COMMAND...: runs tests by a command that ends in pytest. Lanes share the machine, and a test
# may be late for it: those that fail are tried once more, and fail the run if they fail again. Both are printed.
tested() {
  local clone=$1 marks=$2 status=0
  shift 2
  STOKER_CI=1 PYTEST_ADDOPTS="--durations=25 --durations-min=1 -m '$marks'" bounded 2700 env -C "$clone" "$@" || status=$?
  [ "$status" -eq 1 ] || return "$status"
  step "once more, the tests that have failed"
  [ "${*: -1}" = .venv/bin/pytest ] || set -- "${@:1:$#-1}" .venv/bin/pytest
  STOKER_CI=1 PYTEST_ADDOPTS="--last-failed --last-failed-no-failures=none -m '$marks'" bounded 900 env -C "$clone" "$@"
}

# Processes whose program, folder, arguments or environment name the work folder (this shell and its screen aside).
pids_of_work() {
  local pid self=$BASHPID
  # listed first, so that the programs that look are not among them
  local all=(/proc/[0-9]*)
  {
    grep -laFs -- "$work/" "${all[@]/%//cmdline}" "${all[@]/%//environ}"
    find "${all[@]/%//exe}" "${all[@]/%//cwd}" -maxdepth 0 -lname "$work/*"
  } 2>/dev/null | cut -d / -f 3 | sort -nu | while read -r pid; do
    [ "$pid" = "$$" ] || [ "$pid" = "$self" ] || [ "$pid" = "$screen_pid" ] || [ ! -e "/proc/$pid" ] || echo "$pid"
  done
  return 0
}

nothing_left() {
  local left
  left=$(processes_of_work)
  [ -z "$left" ] || fail "processes were left behind:"$'\n'"$left"
  left=$(mounts_of_work)
  [ -z "$left" ] || fail "mounts were left behind:"$'\n'"$left"
  left=$(bridges_of_work)
  [ -z "$left" ] || fail "bridges were left behind: $left"
}

processes_of_work() {
  local pid
  for pid in $(pids_of_work); do
    printf '%s %s\n' "$pid" "$(cat "/proc/$pid/cmdline" 2>/dev/null | tr '\0' ' ' | cut -c1-160)"
  done
}

install_packages() {
  command -v apt-get >/dev/null || { say "no apt-get here: taking what there is"; return 0; }
  local name sudo missing=()
  for name in "$@"; do
    dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'install ok installed' || missing+=("$name")
  done
  [ "${#missing[@]}" -gt 0 ] || { say "all there"; return 0; }
  say "installing: ${missing[*]}"
  sudo=$([ "$(id -u)" -eq 0 ] || command -v sudo || true)
  bounded 300 $sudo apt-get update -qq
  bounded 900 $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$work/apt.log" 2>&1 \
    || { tail -n 20 "$work/apt.log"; fail "packages could not be installed"; }
}

# Node's C headers, which the native part of npm's aws-lambda-ric is compiled with.
headers_of_node() {
  command -v node >/dev/null || return 1
  [ -e "$(node -p 'path.resolve(process.execPath, "../../include/node/node.h")')" ]
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

# All Pythons of 3.11 to 3.13 that have venv, the default python3 first.
find_pythons() {
  pythons=() versions=()
  local candidate version real
  local candidates=(python3 python3.11 python3.12 python3.13)
  for candidate in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[123].*/bin/python3; do candidates+=("$candidate"); done
  for candidate in "${candidates[@]}"; do
    # A version manager's stand-in may be there and refuse; its folder must also hold that `python3`.
    real=$("$candidate" -c 'import sys, ensurepip, venv; print(sys.base_prefix + "/bin/python3")' 2>/dev/null) || continue
    [ -x "$real" ] || continue
    version=$(version_of "$real")
    case "$version" in 3.11 | 3.12 | 3.13) ;; *) continue ;; esac
    case " ${versions[*]-} " in *" $version "*) continue ;; esac
    pythons+=("$real") versions+=("$version")
  done
  [ "${#pythons[@]}" -gt 0 ] || fail "there is no Python 3.11, 3.12 or 3.13 with venv and pip on this machine"
}

# The line after `<!-- command: NAME -->` and the opening of its code block in README.md.
readme_command() {
  local line
  line=$(awk -v mark="<!-- command: $1 -->" '$0 == mark {found = 1; next} found && /^```/ {inside = 1; next} inside {print; exit}' "$root/README.md")
  [ -n "$line" ] || fail "README.md has no command named $1"
  printf '%s\n' "$line"
}

# Parts of reasons. Two tests want to find no engine: only where there is one may they be skipped.
allowed_skips() {
  local name
  printf 'needs a display'
  for name in docker podman; do
    if [ -e "/var/run/$name.sock" ] || [ -e "/run/$name/$name.sock" ]; then
      printf ';a %s is at one of the usual sockets' "$name"
    fi
  done
}

# Docker and Podman, each this lane's own, with the base images; python of a checkout that has been installed.
start_engines() {
  local checkout=$1 said="$work/engines.said"
  mkdir "$work/e"
  mkfifo "$said"
  # as its own command line names the folder, `finish` finds it
  (cd "$checkout" && exec .venv/bin/python -m tests.engines.daemons "$work/e") >"$said" &
  engines_pid=$!
  exec 4<"$said"
  local line count=0
  while [ "$count" -lt 2 ]; do
    read -r -t 150 line <&4 || fail "the engines did not start: $(tail -n 5 "$work"/e/*/*.log 2>/dev/null)"
    export "${line?}"
    say "$line"
    count=$((count + 1))
  done
  exec 4<&-
}

make_images() {
  local checkout=$1 engine
  for engine in docker podman; do
    say "$engine: $(bounded 900 env -C "$checkout" .venv/bin/python -m tests.engines.base_image "$engine" | tr '\n' ' ')"
  done
}

# Into STOKER_TEST_CACHE, as the images.
compile_node_client() {
  timeout 600 env -C "$1" .venv/bin/python -c '
from tests.core.real_clients.node_client import build_node_client
print("Node client:", build_node_client().version)'
}

stop_engines() {
  [ -n "$engines_pid" ] || return 0
  kill -TERM "$engines_pid"
  wait "$engines_pid" || fail "the engines did not end well (exit $?)"
  engines_pid=""
  unset DOCKER_HOST CONTAINER_HOST
}

# Whoever started them: they take down what they have mounted and made.
end_engines() {
  local pid
  for pid in $(pids_of_work); do
    grep -qas -- tests.engines.daemons "/proc/$pid/cmdline" || continue
    kill -TERM "$pid" 2>/dev/null && timeout 90 tail --pid="$pid" -f /dev/null
  done
}

stop_screen() {
  [ -n "$screen_pid" ] || return 0
  kill -TERM "$screen_pid"
  wait "$screen_pid" 2>/dev/null || true
  screen_pid=""
}

start_screen() {
  local number
  mkfifo "$work/display"
  Xvfb -displayfd 3 -screen 0 1600x1000x24 -nolisten tcp 3<>"$work/display" >"$work/xvfb.log" 2>&1 &
  screen_pid=$!
  read -r -t 30 number <>"$work/display" || { cat "$work/xvfb.log"; fail "Xvfb did not start"; }
  export DISPLAY=":$number"
  say "virtual screen $DISPLAY"
}

# Runs a command in a folder that ends by opening the window; waits for the window, closes Stoker with
# SIGTERM and wants exit 0 and nothing left.
open_and_close() {
  local folder=$1 limit=$2 log="$work/open.log" command window="" pid left
  shift 2
  ( cd "$folder" && exec timeout --kill-after=20 "$limit" "$@" ) >"$log" 2>&1 &
  command=$!
  running_pid=$command
  until window=$(xdotool search --onlyvisible --name '^Stoker' 2>/dev/null | head -n 1) && [ -n "$window" ]; do
    kill -0 "$command" 2>/dev/null || { tail -n 40 "$log"; fail "it ended before a window opened: $*"; }
    sleep 0.2
  done
  pid=$(xdotool getwindowpid "$window")
  say "window \"$(xdotool getwindowname "$window")\" of process $pid ($(readlink "/proc/$pid/exe"))"
  kill -TERM "$pid"
  wait "$command" || { local status=$?; tail -n 40 "$log"; fail "it did not end well after SIGTERM: exit $status"; }
  running_pid=""
  left=$(processes_of_work)
  [ -z "$left" ] || fail "processes were left behind:"$'\n'"$left"
  [ ! -s "$log" ] || sed 's/^/  /' "$log" | tail -n 8
}
