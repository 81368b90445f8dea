#!/bin/sh
# Packages of Debian and Ubuntu that wait for an upgrade.
# Tells: apt_upgradable, all of them; apt_upgradable_security, those from a security archive.
# Needs: apt-get. It looks at the lists as they are; something else (unattended-upgrades, cron) must refresh them.
# Once an hour is enough: in conf/scripts.ini, [check_apt_updates.sh], check_period_seconds = 3600.

if ! ls /var/lib/apt/lists | grep -q Packages; then
    echo "there are no lists of packages yet; apt-get update fetches them" >&2
    exit 1
fi
upgrades=$(apt-get --simulate -o Debug::NoLocking=true upgrade) || exit
printf '%s\n' "$upgrades" | awk '
    $1 == "Inst" { all++; if (tolower($0) ~ /security/) security++ }
    END { printf "apt_upgradable %d apt stack\napt_upgradable_security %d apt stack\n", all, security }'
