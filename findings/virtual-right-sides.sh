#!/usr/bin/env bash
# Right sides of Postfix's virtual map that look broken are delivered: percent, bang, source route, group, and each word of a comment.
#
# Guess: the right side is a list of addresses with commas. `x%c.test` and `c.test!x` have no domain and get Postfix's own ($myorigin); a group,
# a source route or a semicolon is an error; what follows a # is ignored or an error.
# What happens with Postfix 3.7.11, without a warning of postmap:
#   x%c.test, c.test!x           x@c.test
#   team: x@c.test, y@c.test;    x@c.test and y@c.test; team is a group's name
#   <@relay.test:x@c.test>       x@c.test, by RFC 821's source route
#   x@c.test; y@c.test           both
#   x@c.test (a, b)              x@c.test; (a, b) is one comment, including the comma
#   x@c.test # to Joe            x@c.test, #@origin.test, to@origin.test and Joe@origin.test
# and an empty group, `team: ;`, defers the sender's mail again and again.
# Where it matters: a program that imports such a map by splitting at commas and requiring an @ loses mailboxes that receive mail today.
# Waypost: imports from such a map what it understands as Postfix does, and names the line of everything else.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box postfix=3.7.11-0+deb12u1

sink 2600 sink
cat >virtual <<'END'
percent@v.test   x%c.test
bang@v.test      c.test!x
group@v.test     team: x@c.test, y@c.test;
route@v.test     <@relay.test:x@c.test>
semicolon@v.test x@c.test; y@c.test
remark@v.test    x@c.test (a, b)
hash@v.test      x@c.test # to Joe
empty@v.test     team: ;
END
must "what postmap says:" "$(postmap hash:/tmp/virtual 2>&1)" ""
postfix_starts <<'END'
myorigin = origin.test
mynetworks = 127.0.0.1
relayhost = [127.0.0.1]:2600
virtual_alias_domains = v.test
virtual_alias_maps = hash:/tmp/virtual
END
to() { # ALIAS: who gets its mail
    swaks -s 127.0.0.1 -f me@c.test -t "$1@v.test" >/dev/null
    wait_for grep -q "orig_to=<$1@v.test>.*status=sent" postfix.log
    sleep 1
    grep "orig_to=<$1@v.test>.*status=sent" postfix.log | grep -o ' to=<[^>]*>' | cut -c6- | tr -d '>' | sort -u | paste -sd' '
}
must "x%c.test" "$(to percent)" "x@c.test"
must "c.test!x" "$(to bang)" "x@c.test"
must "team: x@c.test, y@c.test;" "$(to group)" "x@c.test y@c.test"
must "<@relay.test:x@c.test>" "$(to route)" "x@c.test"
must "x@c.test; y@c.test" "$(to semicolon)" "x@c.test y@c.test"
must "x@c.test (a, b)" "$(to remark)" "x@c.test"
must "x@c.test # to Joe" "$(to hash)" "#@origin.test Joe@origin.test to@origin.test x@c.test"
refused() { swaks -s 127.0.0.1 -f me@c.test -t "$1@v.test" | sed -nE 's/^<\*\* +(4[^:]*: [^:]*)$/\1/p'; }
must "team: ;" "$(refused empty)" "451 4.3.0 Error: queue file write error"
