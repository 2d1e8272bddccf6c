#!/usr/bin/env bash
# Mail::DMARC dies on a DMARC report with a namespace, and reads the disposition `pass` as `none`.
#
# Guess: elements are found by their names, with or without xmlns; and an unknown word is kept, or its record is left out.
# What happens: Mail::DMARC 1.20211209 (Debian 12) looks for elements without a namespace. In a report with the xmlns of RFC 9990, or with the one of
# RFC 7489's schema of 2015, it does not even find the metadata: "Can't call method "findnodes" on an undefined value". A report without xmlns is
# read, but `pass`, RFC 9990's word for mail that satisfied the policy, becomes `none`, the word for mail without a policy action.
# parsedmarc 11.1.0 reads all of them, and keeps `pass`.
# Where it matters: reports that follow the RFC are read by some receivers and not by others, and the sender gets no error.
# Waypost: sends the namespace of RFC 9990 anyway; its own reader accepts reports with and without.
set -euo pipefail
. "$(dirname "$0")/box.sh"
box libmail-dmarc-perl=1.20211209-4 parsedmarc==11.1.0

report() { # FILE XMLNS DISPOSITION
    cat >"$1" <<END
<?xml version="1.0" encoding="UTF-8"?>
<feedback$2>
  <version>1.0</version>
  <report_metadata>
    <org_name>far.test</org_name><email>dmarc@far.test</email><report_id>1</report_id>
    <date_range><begin>1795000000</begin><end>1795086399</end></date_range>
  </report_metadata>
  <policy_published><domain>here.test</domain><adkim>r</adkim><aspf>r</aspf><p>reject</p><sp>reject</sp></policy_published>
  <record>
    <row>
      <source_ip>192.0.2.1</source_ip><count>7</count>
      <policy_evaluated><disposition>$3</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated>
    </row>
    <identifiers><header_from>here.test</header_from></identifiers>
    <auth_results><spf><domain>here.test</domain><scope>mfrom</scope><result>pass</result></spf></auth_results>
  </record>
</feedback>
END
}
report none.xml "" none
report pass.xml "" pass
report rfc9990.xml ' xmlns="urn:ietf:params:xml:ns:dmarc-2.0"' pass
report rfc7489.xml ' xmlns="http://dmarc.org/dmarc-xml/0.1"' none

cat >read.pl <<'END'
use Mail::DMARC::Report;
use Mail::DMARC::Report::Receive;
local *Mail::DMARC::Report::save_aggregate = sub { 1 };
open my $file, '<', $ARGV[0];
my $receive = Mail::DMARC::Report::Receive->new;
eval { $receive->handle_body(do { local $/; <$file> }); 1 } or do { print $@ =~ s/ at .*//sr; exit };
print join ', ', map { $_->row->count . ' ' . $_->row->policy_evaluated->disposition } @{ $receive->report->aggregate->record };
END
cat >read.py <<'END'
import parsedmarc, sys

report = parsedmarc.parse_aggregate_report_xml(open(sys.argv[1]).read(), offline=True)
print(", ".join("%s %s" % (record["count"], record["policy_evaluated"]["disposition"]) for record in report["records"]))
END
by_perl() { perl read.pl "$1" 2>/dev/null; }
by_python() { /usr/bin/python3 read.py "$1" 2>/dev/null; }
lost='Can'"'"'t call method "findnodes" on an undefined value'
echo
must "Mail::DMARC, no xmlns, disposition none:" "$(by_perl none.xml)" "7 none"
must "Mail::DMARC, no xmlns, disposition pass:" "$(by_perl pass.xml)" "7 none"
must "Mail::DMARC, RFC 9990's xmlns, pass:" "$(by_perl rfc9990.xml)" "$lost"
must "Mail::DMARC, RFC 7489's xmlns, none:" "$(by_perl rfc7489.xml)" "$lost"
must "parsedmarc, no xmlns, disposition pass:" "$(by_python pass.xml)" "7 pass"
must "parsedmarc, RFC 9990's xmlns, pass:" "$(by_python rfc9990.xml)" "7 pass"
must "parsedmarc, RFC 7489's xmlns, none:" "$(by_python rfc7489.xml)" "7 none"
