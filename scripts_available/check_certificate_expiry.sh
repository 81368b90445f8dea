#!/bin/sh
# Days until certificates expire; less than nothing when they have.
# Tells: certificate_days_left with the tag file.
# Needs: openssl, and the right to read the files. Copy it into scripts_enabled and name your own files here.
FILES="/etc/letsencrypt/live/*/cert.pem /etc/ssl/private/*.crt"

code=0
now=$(date +%s)
for file in $FILES; do
    [ -e "$file" ] || continue
    end=$(openssl x509 -noout -enddate -in "$file") && end=$(date -d "${end#notAfter=}" +%s) || { code=1; continue; }
    days=$(LC_ALL=C awk "BEGIN { printf \"%.2f\", ($end - $now) / 86400 }")
    echo "certificate_days_left $days certificate stack file=$(printf %s "$file" | tr ' ' _)"
done
exit $code
