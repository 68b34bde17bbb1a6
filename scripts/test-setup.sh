#!/bin/sh
# Installs the programs that interop tests drive: on Debian as root, with
# apt-get. Elsewhere it says what is missing, and those tests skip themselves;
# with CI=true something missing is a failure.
set -eu

PATH=$PATH:/usr/sbin:/sbin
policy=/usr/sbin/policy-rc.d

# program-or-path:package
wanted='
swaks:swaks
curl:curl
postfix:postfix
/usr/lib/dovecot/imap:dovecot-imapd
/usr/lib/dovecot/pop3:dovecot-pop3d
/usr/lib/dovecot/lmtp:dovecot-lmtpd
msmtp:msmtp
gsasl:gsasl
mbsync:isync
fetchmail:fetchmail
neomutt:neomutt
dnsmasq:dnsmasq
unbound:unbound
ldns-signzone:ldnsutils
postgrey:postgrey
microsocks:microsocks
tinyproxy:tinyproxy-bin
strace:strace
/usr/bin/python3:python3
ps:procps
ss:iproute2
'

missing_packages() {
	for pair in $wanted; do
		command -v "${pair%%:*}" >/dev/null 2>&1 || printf '%s ' "${pair##*:}"
	done
	# swaks speaks TLS through a module of perl's.
	perl -MNet::SSLeay -e 1 >/dev/null 2>&1 || printf 'libnet-ssleay-perl '
}

missing=$(missing_packages)
if [ -z "$missing" ]; then
	exit 0
fi

if [ -e /etc/debian_version ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	echo "test-setup: installs with apt-get: $missing"
	# Daemons must not start by being installed. A policy that stands there
	# already is put back afterwards.
	kept=
	if [ -e "$policy" ] || [ -L "$policy" ]; then
		kept=$policy.hayauma-kept
		mv "$policy" "$kept"
	fi
	restore() {
		rm -f "$policy"
		[ -z "$kept" ] || mv "$kept" "$policy"
	}
	trap restore EXIT
	trap 'exit 130' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	export DEBIAN_FRONTEND=noninteractive
	log=$(mktemp)
	# shellcheck disable=SC2086 # a list of packages
	if { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
		rm -f "$log"
	else
		tail -n 20 "$log" >&2
		echo "test-setup: apt-get failed, whole log in $log" >&2
	fi
	missing=$(missing_packages)
	if [ -z "$missing" ]; then
		exit 0
	fi
fi

echo "test-setup: not installed: $missing(the tests that need them are skipped)"
if [ "${CI:-}" = true ]; then
	echo "test-setup: CI=true needs them all" >&2
	exit 1
fi
