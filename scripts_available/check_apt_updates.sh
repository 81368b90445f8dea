#!/bin/sh
# Packages of Debian and Ubuntu that wait for an upgrade.
# Tells: apt_upgradable, all of them; apt_upgradable_security, those from a security archive.
# Needs: apt-get. It looks at the lists as they are; something else (unattended-upgrades, cron) must refresh them.
# Once an hour is enough: in conf/scripts.ini, [check_apt_updates.sh], check_period_seconds = 3600.

apt-get --simulate -o Debug::NoLocking=true upgrade | awk '
    $1 == "Inst" { all++; if (tolower($0) ~ /security/) security++ }
    END { printf "apt_upgradable %d apt stack\napt_upgradable_security %d apt stack\n", all, security }'
