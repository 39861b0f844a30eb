# A private apt, to be sourced: it needs no rights, changes nothing of the host's, and finds what it needs on a host
# whose own has no lists.

needs_apt() { # WHAT [SETTING]: SETTING names one that was fetched elsewhere
    local program
    for program in apt-get dpkg-deb; do
        command -v "$program" >/dev/null ||
            { echo "$1: needs $program: fetch it on Debian${2:+, or give $2}" >&2; exit 1; }
    done
}

own_release() { (. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}"); }

debian_mirror() {
    local mirror
    mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
    mirror=${mirror:-http://deb.debian.org/debian}
    echo "${mirror%/}"
}

private_apt() { # FOLDER STATUS RELEASE...: exports APT_CONFIG; STATUS is what counts as installed
    local folder=$1 status=$2 keys=/usr/share/keyrings/debian-archive-keyring.gpg mirror archive suite
    shift 2
    mirror=$(debian_mirror)
    mkdir -p "$folder"/{lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d}
    for suite in "$@"; do
        archive=$mirror
        case $suite in *-security) archive=${mirror%/debian}/debian-security ;; esac
        echo "deb [signed-by=$keys] $archive $suite main"
    done | sort -u >"$folder/etc/sources.list"
    cat >"$folder/apt.conf" <<A
Dir::Etc "$folder/etc"; Dir::Etc::sourcelist "$folder/etc/sources.list"; Dir::Etc::sourceparts "-";
Dir::State::lists "$folder/lists"; Dir::State::status "$status"; Dir::Cache "$folder/cache";
Acquire::Languages "none"; APT::Sandbox::User "$(id -un)"; Debug::NoLocking "1";
A
    export APT_CONFIG=$folder/apt.conf
}

unpack() { # FOLDER ROOT: everything that the private apt in FOLDER has fetched
    local package
    for package in "$1"/cache/archives/*.deb; do
        dpkg-deb --fsys-tarfile "$package" |
            tar -x -C "$2" --keep-directory-symlink --exclude './usr/share/man' --exclude './usr/share/locale'
    done
}
