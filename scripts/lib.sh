# Shared by the doors in scripts/ (sourced, never run). Everything a person should read goes to stderr,
# so that stdout stays usable in $( ... ).

say() { printf '%s\n' "${0##*/}: $*" >&2; }

die() {
  say "$*"
  exit 1
}

# Runs a command whose output is progress: shown as it comes, indented, on stderr.
shown() { "$@" 2>&1 </dev/null | sed -u 's/^/    /' >&2; }

is_debian() { [ -x /usr/bin/apt-get ] && [ -r /etc/os-release ] && grep -qE '^ID(_LIKE)?=.*debian' /etc/os-release; }

# apt's lists are fetched once per hour at most: they cost seconds, and several doors want them.
apt_update_once() {
  local stamp=/var/lib/apt/periodic/dynamic-sessions-update
  if [ -n "$(find "$stamp" -mmin -60 2>/dev/null)" ] && [ -n "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ]; then
    return
  fi
  say "reading the package lists (apt-get update)"
  shown apt-get -q update || say "some package lists could not be read; going on with the others"
  mkdir -p "${stamp%/*}" && touch "$stamp"
}

# apt_install WHY PACKAGE...: installs what is missing, and says why.
apt_install() {
  local why=$1 package missing=()
  shift
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "${missing[*]} missing ($why), and only root can install packages"
  apt_update_once
  say "installing ${missing[*]}: $why"
  DEBIAN_FRONTEND=noninteractive shown apt-get -q install -y --no-install-recommends "${missing[@]}" \
    || die "could not install ${missing[*]}; apt's own words are above"
}

# The mirror that this machine itself installs Debian from, so that no host name is written down here.
debian_mirror() {
  local codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
    | awk -v suite="$codename" '$2 == suite && $3 == "main" { print $1; exit }'
}

# Where downloads that are worth keeping live.
cache_dir() { echo "${DSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dynamic-sessions}"; }
