#!/bin/sh
# Units of systemd by their state.
# Tells: systemd_units with the tag state (active, inactive, failed, activating, ...); systemd_units_failed, also when it is 0.
# Needs: systemctl, and that systemd runs this machine.

units=$(systemctl list-units --all --plain --no-legend --no-pager) || exit
printf '%s\n' "$units" | awk '
    NF { count[$3]++ }
    END {
        for (state in count) printf "systemd_units %d systemd stack state=%s\n", count[state], state
        printf "systemd_units_failed %d systemd stack\n", count["failed"]
    }'
