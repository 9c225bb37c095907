#!/usr/bin/env bash
# Installs the Debian packages that are missing, with a line for each that says
# which and why. Usage: packages.sh run | test
set -euo pipefail

wanted() {
	cat <<-TXT
		run  libssl-dev       the software token and SDF device are built over OpenSSL 3
		run  libp11-kit-dev   PKCS#11 header of the software token
		run  gcc              the PKCS#11 binding and SQLite are C
		run  make             builds the software token and SDF device
		run  openssl          looks at certificates
		run  slapd            the LDAP master and its slaves
		run  ldap-utils       looks into the directory
		test iproute2         zones are network namespaces
		test nftables         the firewall between the zones
		test postgresql       the ledger is tested on a real PostgreSQL 15
		test libbcprov-java   BouncyCastle verifies what Terrace makes
		test libbcpkix-java   BouncyCastle: CRL, OCSP and path
		test libbcutil-java   BouncyCastle: ASN.1
		test default-jdk-headless compiles and runs the BouncyCastle verifier
		test prometheus       promtool tests the alerts, and a real one sees them fire
		test shellcheck       checks the shell scripts
	TXT
}

installed() {
	case "$1" in
	default-jdk-headless) command -v javac >/dev/null ;;
	gcc | make | openssl | prometheus | shellcheck) command -v "$1" >/dev/null ;;
	slapd) [ -x /usr/sbin/slapd ] ;;
	ldap-utils) command -v ldapsearch >/dev/null ;;
	iproute2) [ -x /sbin/ip ] ;;
	nftables) [ -x /usr/sbin/nft ] ;;
	postgresql) [ -x /usr/lib/postgresql/15/bin/postgres ] ;;
	*) dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed' ;;
	esac
}

sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
missing=()
while read -r set name why; do
	[ "$set" = run ] || [ "${1:-run}" = test ] || continue
	installed "$name" && continue
	echo "installing Debian package $name: $why"
	missing+=("$name")
done < <(wanted)
[ ${#missing[@]} -gt 0 ] || exit 0

# A package must not leave a system daemon running: Debian asks policy-rc.d.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap '$sudo rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' | $sudo tee "$policy" >/dev/null
	$sudo chmod 755 "$policy"
fi
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
